"""The engines run natively in a full tree, to compare with: on its own Ruby, with its own shell and tools.

None of the bundle's launcher, shim and view library has a part in it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

AUDITOR_PACKAGES = ("acl", "e2fsprogs", "iproute2", "kmod", "procps", "rpm", "ruby3.3", "which")
"""Ruby for the auditor, and what profiles use: a tool the tree lacks is the bundle's in a scan."""
GEMS, PROFILE = "/opt/gems", "/opt/profile"
REPORT = "/dev/shm/report.json"  # noqa: S108 a private tmpfs of the tree
AUDITOR_ENVIRONMENT = {"GEM_HOME": GEMS, "GEM_PATH": GEMS, "HOME": "/dev/shm", "TMPDIR": "/dev/shm"}  # noqa: S108
_START = (
    "gem 'inspec-core'; require 'inspec'; require 'inspec/cli'; "
    "Inspec::InspecCLI.start(ARGV, enforce_license: false)"
)


def furnish(root: Path, gems: Path, profile: Path) -> None:
    """Put a GEM_HOME and an InSpec profile (directory) into a tree that has `AUDITOR_PACKAGES`."""
    shutil.copytree(gems, root / GEMS.lstrip("/"))
    shutil.copytree(profile, root / PROFILE.lstrip("/"))


def auditor_command() -> list[str]:
    """Return the command line that runs `PROFILE` in such a tree and writes `REPORT`."""
    command = ["/usr/bin/ruby3.3", "-e", _START, "--", "exec", PROFILE, "--no-create-lockfile", "--no-color"]
    return [*command, f"--reporter=json:{REPORT}"]


def openscap_command(content: str, profile: str) -> list[str]:
    """Return the command line for a data stream of the tree's own SCAP content, such as `debian12`."""
    results = "/dev/shm/results.xml"  # noqa: S108
    stream = f"/usr/share/xml/scap/ssg/content/ssg-{content}-ds.xml"
    return ["oscap", "xccdf", "eval", "--profile", profile, "--results", results, stream]
