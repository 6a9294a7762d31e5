"""A plugin for RubyGems in the target, which is read whenever gems are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import auditing, payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.auditor, payload.needs("gem")]
VERSIONS = ("3.1.0", "3.3.0")


def _plant(root: Path) -> None:
    folders = ["/usr/local/lib/site_ruby", "/usr/lib/ruby/vendor_ruby"]
    folders += [f"/var/lib/gems/{version}/plugins" for version in VERSIONS]
    auditing.write(root, *(f"{folder}/rubygems_plugin.rb" for folder in folders))


@payload.both
def test_it_is_not_read(works, bundle, container, tmp_path, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("gem"), "list"])
    works(naive.owned and payload.SHOUT in naive.complaint, "gem in the chroot reads it")
    auditing.audit(target, bundle, tmp_path, exec_allowed=exec_allowed)
