"""Ruby code in the target's vendor_ruby: RubyGems reads its operating_system.rb at every start of Ruby."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import auditing, payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.auditor, payload.needs("ruby")]
VERSIONS = ("3.1.0", "3.3.0")
FILE = "rubygems/defaults/operating_system.rb"


def _plant(root: Path) -> None:
    folders = ("/usr/lib/ruby/vendor_ruby", *(f"/usr/lib/ruby/{version}" for version in VERSIONS))
    auditing.write(root, *(f"{folder}/{FILE}" for folder in folders))


@payload.both
def test_it_is_not_read(works, bundle, container, tmp_path, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("ruby"), "-e", "1"])
    works(naive.owned and payload.SHOUT in naive.complaint, "ruby in the chroot reads it")
    auditing.audit(target, bundle, tmp_path, exec_allowed=exec_allowed)
