"""A Rakefile in the root directory of the target, which is where a visitor starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import auditing, payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.auditor, payload.needs("rake")]


def _plant(root: Path) -> None:
    auditing.write(root, "/Rakefile", f"{auditing.HOME}/Rakefile", f"{auditing.HOME}/.rake/planted.rake")


@payload.both
def test_it_is_not_read(works, bundle, container, tmp_path, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("rake"), "-T"])
    works(naive.owned and payload.SHOUT in naive.complaint, "rake in the chroot reads it")
    auditing.audit(target, bundle, tmp_path, exec_allowed=exec_allowed)
