"""Our own machine: what pid://, rootfs:// and image:// need of it."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import toolkit
from toolkit import debian
from toolkit.agent import confine, kernel, landlock
from toolkit.auditor import python_command
from toolkit.bundle import build, namespaces
from toolkit.doctor.records import Check, Finding, State, look, no, ok, unknown
from toolkit.runtimes.local import loader
from toolkit.unpack import rootless, tree

OLDEST_PYTHON = (3, 11)
OLDEST_KERNEL = (5, 12)
"""The first with every system call that entering needs, see docs/entering.md."""
_NO_DESCRIPTOR = -1
_HIGHEST_DESCRIPTORS = 0xFFFFFFF0


def machine() -> Iterator[Check]:
    """Look at what every way, or every way on this machine, rests on."""
    yield look("Python", _python)
    yield look("kernel", _kernel)
    if platform.system() == "Linux":
        yield look("system calls", _system_calls)
        yield look("Landlock", _landlock, needed=False)
    yield look("bundle", _bundle)
    yield look("InSpec engine", _inspec, needed=False)
    yield look("building a bundle", _building, needed=False)


def processes() -> Iterator[Check]:
    """Look at what entering a process or a directory needs besides."""
    yield look("root", _root)
    yield look("capabilities", _capabilities)


def images() -> Iterator[Check]:
    """Look at what unpacking and entering an image needs besides."""
    yield look("umoci", _unpacking)
    if os.geteuid() == 0:
        yield look("capabilities", _capabilities)
    else:
        yield look("user namespaces", _user_namespaces)


def _python() -> Finding:
    about = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        return no(about, "use Python 3.11 or newer")
    return ok(about)


def too_old(release: str) -> bool | None:
    """Return whether a kernel is too old, by its release; None when that is no version of Linux."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) < OLDEST_KERNEL if found else None


def _kernel() -> Finding:
    if platform.system() != "Linux":
        return no(
            f"this is {platform.system()}",
            "scan containers with docker:// or k8s-container://, or run barescan on Linux",
        )
    release = platform.release()
    if too_old(release):
        return no(f"Linux {release}", "use a kernel of 5.12 or newer")
    return ok(f"Linux {release}")


_PROBES: dict[str, Callable[[], object]] = {
    "pidfd_open": lambda: os.close(kernel.pidfd_open(os.getpid())),
    "openat2": lambda: kernel.open_beneath(_NO_DESCRIPTOR, ".", os.O_PATH),
    "close_range": lambda: kernel.close_from(_HIGHEST_DESCRIPTORS),
    "open_tree": lambda: os.close(kernel.clone_tree("/")),
    "move_mount": lambda: kernel.move_mount(_NO_DESCRIPTOR, _NO_DESCRIPTOR),
    "mount_setattr": lambda: kernel.mount_setattr(_NO_DESCRIPTOR, kernel.MOUNT_ATTR_RDONLY),
    "fsopen": lambda: os.close(kernel.new_filesystem("tmpfs", {}, kernel.MOUNT_ATTR_NOEXEC)),
}
"""Each is called so that it changes nothing; what it says tells whether it is there."""


def _system_calls() -> Finding:
    missing, refused = [], []
    for name, call in _PROBES.items():
        try:
            call()
        except kernel.MissingFeatureError:
            missing.append(name)
        except OSError as error:
            if error.errno == errno.EPERM:
                refused.append(name)
    if missing and too_old(platform.release()):
        return no(f"this kernel has no {', '.join(missing)}", "use a kernel of 5.12 or newer")
    if missing or (refused and not _missing_capabilities()):
        return no(
            f"{', '.join(missing or refused)} not allowed here, as by a seccomp profile",
            "run barescan on the host itself, or with a profile that allows them",
        )
    return ok(f"all there: {', '.join(_PROBES)}")


def _landlock() -> Finding:
    version, why = landlock.version()
    lacking = "scans here are held by one layer less, and --require-confinement full is refused"
    if not version:
        return no(f"{why}: {lacking}", "use a kernel with Landlock; with scopes from 6.12 on")
    if version < landlock.SCOPES:
        return no(f"version {version}, which has no scopes: {lacking}", "use a kernel of 6.12 or newer")
    return ok(f"version {version}, with scopes")


def _missing_capabilities() -> list[str]:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return confine.missing_capabilities(int(found[1], 16) if found else 0)


def _root() -> Finding:
    if os.geteuid() != 0:
        return no("entering a process needs root", "run the same command with sudo")
    return ok("this is root")


def _capabilities() -> Finding:
    if platform.system() != "Linux":
        return no(f"this is {platform.system()}", "run barescan on Linux")
    missing = _missing_capabilities()
    if missing:
        return no(f"this process lacks {', '.join(missing)}", "run as root (sudo), outside of a container")
    return ok("all that entering needs")


def _bundle() -> Finding:
    found = build.cached_bundle()
    if found:
        return ok(f"{found.path}: {_engines(found)}")
    building = _building()
    if building.state is State.NO:
        return no(f"there is none yet, and {building.detail}", building.fix)
    return unknown(
        "there is none yet; the first scan builds it from Debian's archive, in a minute or two",
        "invoke bundle.build",
    )


def _engines(bundle: build.Bundle) -> str:
    engines = bundle.manifest["engines"]
    return ", ".join(f"{name} {about['version']}" for name, about in engines.items())


def _inspec() -> Finding:
    given = os.environ.get("BARESCAN_GEMS", "")
    found = build.cached_bundle()
    if found and "cinc" in found.manifest["engines"]:
        return ok("in the bundle" + (f", with the gems of {given}" if given else ""))
    if not found:
        return unknown("the bundle is not built yet", "invoke bundle.build")
    return no(
        "the bundle has OpenSCAP only, InSpec profiles can't be run with it",
        "give CINC Auditor's gems (BARESCAN_GEMS=DIR, or --gems DIR): invoke bundle.build --gems DIR",
    )


def _building() -> Finding:
    namespaces.require(
        "building a bundle", {"mmdebstrap": "mmdebstrap"}, {debian.KEYRING: debian.KEYRING.stem}
    )
    return ok(f"mmdebstrap and {debian.KEYRING} are there")


def _unpacking() -> Finding:
    tree.require_programs()
    return ok(f"{shutil.which('umoci')} and what else unpacking takes are there")


def _user_namespaces() -> Finding:
    """Really make the namespace in which an image is unpacked without root."""
    if platform.system() != "Linux":
        return no(f"this is {platform.system()}", "run barescan on Linux")
    bundle = build.cached_bundle()
    python = python_command(str(bundle.path), loader(bundle.path)) if bundle else [sys.executable, "-I", "-S"]
    try:
        prefix = rootless.command(python, str(Path(toolkit.__file__).parent.parent))
    except rootless.RootlessError as error:
        cause, remedy = error.args
        return no(cause, remedy)
    return ok(f"{rootless.id_count(prefix)} owners can be kept without root")
