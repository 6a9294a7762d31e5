"""What the attacks on trees share: a host's secret, trees and images to plant in, what waits for ever."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.hostile.conftest import Container
from tests.hostile.naive import from_outside

SECRET = "a secret of the host"
MAKE = r"""
#define _GNU_SOURCE
#include <stdio.h>
static void make(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}
"""
"""Put before the C of an attack: `make` writes a file, such as /tmp/log."""


def empty(root: Path) -> Path:
    """Give a tree the directories that a container's root has."""
    for name in ("proc", "sys", "dev", "etc", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(0o755)
    return root


def waits(*command: str | Path, seconds: float = 0.5) -> bool:
    """Say whether a program still runs after some seconds; it is killed then."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
        return False


def output(*command: str | Path) -> str:
    """Return what a program of this host says, on both of its streams."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=30)
    return done.stdout.decode(errors="replace")


def privately(script: str, *arguments: str | Path) -> str:
    """Return what a shell script says that may mount as it likes: nobody else sees those mounts."""
    command: Sequence[str | Path] = ("sh", "-c", script, "naive", *arguments)
    return output("unshare", "--mount", "--propagation", "private", *command)


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[Path]:
    """Mount a tmpfs on a directory of this host for a while."""
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def ready(target: Container, seconds: float = 10) -> None:
    """Wait until an attack says that it is ready; it may not have begun its log yet."""
    until = time.monotonic() + seconds
    while not from_outside(target.pid, "/tmp/log").exists():
        assert time.monotonic() < until, "the attack said nothing"
        time.sleep(0.01)
    target.wait_for("ready", seconds)
