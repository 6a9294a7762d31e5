"""A start-up file for Ruby's shell in the homes and directories of the target."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import auditing, payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.auditor, payload.needs("irb")]


def _plant(root: Path) -> None:
    auditing.write(root, *(f"{folder}/.irbrc" for folder in ("", "/root", auditing.HOME)))


@payload.both
def test_it_is_not_read(works, bundle, container, tmp_path, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("sh"), "-c", "echo exit | irb"])
    works(naive.owned and payload.SHOUT in naive.complaint, "irb in the chroot reads it")
    auditing.audit(target, bundle, tmp_path, exec_allowed=exec_allowed)
