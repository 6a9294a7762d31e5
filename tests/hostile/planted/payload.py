"""What attacks plant, whose only act is to show that it was loaded, and the audit that must not load it."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.conftest import Attempt, Container, Scan
from tests.hostile.naive import OWNED, PATH
from toolkit.bundle.build import Bundle

LIBRARIES = f"usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
"""Where Debian's libraries are; `/lib` and `/lib64` are links there that nothing may be planted over."""
SHOUT = "a planted library was loaded"
SCRATCH = "/sys/firmware/tmp"
MARKED = "owned"
"""What a payload makes in `SCRATCH`, the one directory of a scan in which anything can be written."""
SHELL = f"echo '{SHOUT}' >&2; touch {OWNED} {SCRATCH}/{MARKED} 2>/dev/null"
"""What `library` does, as shell code."""
RUBY = f"warn '{SHOUT}'; %w[{OWNED} {SCRATCH}/{MARKED}].each {{ |f| File.write(f, '') rescue nil }}\n"
"""The same as Ruby code."""
both = pytest.mark.parametrize("exec_allowed", [False, True], ids=["noexec", "exec"])
"""Every attack is tried as a scan is by default, and where programs of the target may be started."""

_LIBRARY = r"""
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
%s
__attribute__((constructor)) static void owned(void)
{
    static const char shout[] = "%s\n";
    write(2, shout, sizeof shout - 1);
    close(open("%s", O_WRONLY | O_CREAT, 0644));
    close(open("%s", O_WRONLY | O_CREAT, 0644));
}
"""

_FREESTANDING = f"""
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
void _start(void)
{{
    static const char shout[] = "{SHOUT}\\n";
    syscall(SYS_write, 2, shout, sizeof shout - 1);
    syscall(SYS_openat, AT_FDCWD, "{OWNED}", O_WRONLY | O_CREAT, 0644);
    syscall(SYS_exit_group, 0);
}}
"""


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip where this host lacks a program that the naive way, or the planting, is done with."""
    missing = [name for name in names if shutil.which(name, path=PATH) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def unbound(bundle: Bundle, name: str, called: str = "") -> list[str]:
    """Return how to start a program of the bundle with nothing that protects it: not where it belongs, with
    no library preloaded. For what this host has not itself.
    """
    loader = [str(bundle.path / bundle.manifest["loader"]), "--library-path", str(bundle.path / "lib")]
    return [*loader, "--argv0", called or name, str(bundle.path / "bin" / name)]


def library(place: Path, more: str = "", *options: str) -> Path:
    """Compile a shared library that says so and writes `OWNED` when it is loaded; `more` is further C."""
    return _compile(place, more, "-shared", "-fPIC", *options)


def program(place: Path, more: str = "int main(void) { return 0; }", *options: str) -> Path:
    """Compile a program that does the same when it is started, static if nothing else is said."""
    return _compile(place, more, *(options or ("-static",)))


def freestanding(place: Path) -> Path:
    """Compile a program that does the same as a loader: there nothing is set up yet, and no libc works."""
    return compiled(place, _FREESTANDING, "-static-pie", "-nostartfiles")


def _compile(place: Path, more: str, *options: str) -> Path:
    return compiled(place, _LIBRARY % (more, SHOUT, OWNED, f"{SCRATCH}/{MARKED}"), *options)


def compiled(place: Path, source: str, *options: str) -> Path:
    """Compile C source to a file that may be executed."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    place.parent.mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-w", "-x", "c", "-o", str(place), "-", *options]
    subprocess.run(command, input=source, text=True, check=True, timeout=60)
    place.chmod(0o755)
    return place


def write(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    """Put a file into a tree, with the directories above it."""
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(mode)


def audit(scan: Scan, target: Container, script: str, **job: Any) -> Attempt:
    """Scan a target with a script: it has to come to its end, and nothing that was planted may have run."""
    attempt = scan(target.uri, script, outputs=(MARKED,), **job)
    assert attempt.outcome.complete, attempt.error
    assert SHOUT not in attempt.outcome.stderr + "\n".join(attempt.lines)
    assert attempt.outputs == {}
    assert target.written() == set()
    return attempt
