"""A Gemfile in the root directory of the target, which Bundler runs to know which gems to use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import auditing, payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.auditor, payload.needs("ruby")]


def _plant(root: Path) -> None:
    auditing.write(root, "/Gemfile", f"{auditing.HOME}/Gemfile")


@payload.both
def test_it_is_not_read(works, bundle, container, tmp_path, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("ruby"), "-rbundler/setup", "-e", "1"])
    works(naive.owned and payload.SHOUT in naive.complaint, "ruby in the chroot reads it")
    auditing.audit(target, bundle, tmp_path, exec_allowed=exec_allowed)
