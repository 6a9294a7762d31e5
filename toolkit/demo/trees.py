"""Full Debian trees, and ones that pass for Ubuntu 22.04, to compare a scan with the engine run natively.

Made by mmdebstrap, kept by suite, packages and recipe. `targets.run_inside` starts a process in one.
"""

from __future__ import annotations

import inspect
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from toolkit import debian
from toolkit.demo import cache, needs, packages
from toolkit.errors import CallError

SUITES = {"stable": "trixie", "trixie": "trixie", "bookworm": "bookworm", "ubuntu2204": "bookworm"}
"""Name of a tree → Debian suite its packages are of. `ubuntu2204` is bookworm under another name."""

# What SSG's platform checks read beside os-release: lsb-release for Ubuntu, debian_version for Debian.
SYSTEMS: dict[str, dict[str, str | None]] = {
    "debian12": {
        "etc/debian_version": "12.5\n",
        "usr/lib/os-release": """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION_CODENAME=bookworm
ID=debian
""",
    },
    "rhel9": {
        "etc/debian_version": None,
        "etc/lsb-release": None,
        "etc/redhat-release": "Red Hat Enterprise Linux release 9.5 (Plow)\n",
        "usr/lib/os-release": """\
NAME="Red Hat Enterprise Linux"
VERSION="9.5 (Plow)"
ID="rhel"
ID_LIKE="fedora"
VERSION_ID="9.5"
PLATFORM_ID="platform:el9"
PRETTY_NAME="Red Hat Enterprise Linux 9.5 (Plow)"
CPE_NAME="cpe:/o:redhat:enterprise_linux:9::baseos"
""",
    },
    "ubuntu2204": {
        "etc/lsb-release": """\
DISTRIB_ID=Ubuntu
DISTRIB_RELEASE=22.04
DISTRIB_CODENAME=jammy
DISTRIB_DESCRIPTION="Ubuntu 22.04.5 LTS"
""",
        "usr/lib/os-release": """\
PRETTY_NAME="Ubuntu 22.04.5 LTS"
NAME="Ubuntu"
VERSION_ID="22.04"
VERSION="22.04.5 LTS (Jammy Jellyfish)"
VERSION_CODENAME=jammy
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=jammy
""",
    },
}
"""System that a tree can pass for → its files; None is one that it has not."""


def tree(
    suite: str,
    extra: Iterable[str] = (),
    dest: Path | None = None,
    progress: cache.Progress = cache.silent,
) -> Path:
    """Return a full root of `suite`: a minimal one and the packages `extra` (`openscap-scanner`, …).

    The cached tree itself, which is not to be written to, or its copy at `dest` (which must not exist).
    Raises CallError for an unknown suite, ScanError when the host lacks something.
    """
    if suite not in SUITES:
        raise CallError(f"there is no tree {suite!r}", f"take one of {', '.join(SUITES)}")
    needs.root("building a tree")
    wanted = sorted(set(extra))
    recipe = inspect.getsource(sys.modules[__name__])
    path = cache.folder("trees") / f"{suite}-{cache.key([debian.mirror(), *wanted, recipe])}"

    def build(root: Path) -> None:
        progress(f"building a full root of {suite}: {' '.join(wanted) or 'nothing extra'}")
        _debootstrap(SUITES[suite], wanted, root)
        if suite == "ubuntu2204":
            pass_for(root, "ubuntu2204")

    cached = cache.built_once(path, build)
    if dest is None:
        return cached
    needs.run(["cp", "--archive", "--reflink=auto", str(cached), str(dest)], "see whether the disk is full")
    return dest


def _debootstrap(suite: str, extra: list[str], root: Path) -> None:
    # A directory that exists must be empty, and mmdebstrap wants to set its mode itself.
    arguments = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet"]
    arguments += [f"--include={','.join(extra)}"] if extra else []
    arguments += [suite, str(root), *debian.sources(suite)]
    needs.run(
        arguments,
        packages.OFFLINE,
        environment={"DEBIAN_FRONTEND": "noninteractive", "TMPDIR": os.environ.get("TMPDIR", "/tmp")},  # noqa: S108
    )
    for name in ("dev", "run"):
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir()
        (root / name).chmod(0o755)
    # Made at boot by systemd (tmpfiles.d/etc.conf) and by Docker; oscap looks for mounts there.
    mtab = root / "etc/mtab"
    mtab.unlink(missing_ok=True)
    mtab.symlink_to("../proc/self/mounts")


def pass_for(root: Path, system: str) -> None:
    """Make a tree's own statements those of another system, one of `SYSTEMS`."""
    for path, text in SYSTEMS[system].items():
        place = root / path
        if text is None:
            place.unlink(missing_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
    release = root / "etc/os-release"
    if not release.exists() and not release.is_symlink():
        release.symlink_to("../usr/lib/os-release")
