"""A gem of the target, whose description is Ruby code that is run to know what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import auditing, payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.auditor, payload.needs("gem")]
VERSIONS = ("3.1.0", "3.3.0")


def _plant(root: Path) -> None:
    folders = ["/usr/share/rubygems-integration/all", f"{auditing.HOME}/.gem/ruby/3.3.0"]
    folders += [f"/var/lib/gems/{version}" for version in VERSIONS]
    folders += [f"/usr/local/lib/ruby/gems/{version}" for version in VERSIONS]
    auditing.write(root, *(f"{folder}/specifications/planted-1.0.0.gemspec" for folder in folders))


@payload.both
def test_it_is_not_evaluated(works, bundle, container, tmp_path, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("gem"), "list"])
    works(naive.owned and payload.SHOUT in naive.complaint, "gem in the chroot evaluates it")
    auditing.audit(target, bundle, tmp_path, exec_allowed=exec_allowed)
