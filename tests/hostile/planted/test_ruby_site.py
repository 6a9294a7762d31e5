"""Ruby code in the target's site_ruby, with the names of parts of Ruby's own library."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import auditing, payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.auditor, payload.needs("ruby")]
VERSIONS = ("3.1.0", "3.3.0")
MODULES = ("json", "yaml", "psych", "set", "csv", "erb", "pathname", "rspec", "train", "inspec")


def _plant(root: Path) -> None:
    folders = ["/usr/local/lib/site_ruby", "/usr/lib/ruby/vendor_ruby"]
    folders += [f"/usr/local/lib/site_ruby/{version}" for version in VERSIONS]
    auditing.write(root, *(f"{folder}/{module}.rb" for folder in folders for module in MODULES))


@payload.both
def test_it_is_not_read(works, bundle, container, tmp_path, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("ruby"), "-rjson", "-e", "1"])
    works(naive.owned and payload.SHOUT in naive.complaint, "ruby in the chroot reads the target's json.rb")
    auditing.audit(target, bundle, tmp_path, exec_allowed=exec_allowed)
