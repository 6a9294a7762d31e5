"""What attacks plant: libraries and files whose only act is to show that they were loaded."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

from tests.hostile.naive import OWNED

LIBRARIES = f"usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
"""Where Debian's libraries are; `/lib` and `/lib64` are links there that nothing may be planted over."""
SHOUT = "a planted library was loaded"
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
}
"""


def library(place: Path, more: str = "", *options: str) -> Path:
    """Compile a shared library that says so and writes `OWNED` when it is loaded; `more` is further C."""
    place.parent.mkdir(parents=True, exist_ok=True)
    source = _LIBRARY % (more, SHOUT, OWNED)
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-o", str(place), *options, "-"]
    subprocess.run(command, input=source, text=True, check=True, timeout=60)
    place.chmod(0o755)
    return place


def write(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    """Put a file into a tree, with the directories above it."""
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(mode)
