"""What the attacks on trees share: a host's secret, trees and images to plant in, what waits for ever."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SECRET = "a secret of the host"
LOG = 'static void say(const char *what) { FILE *f = fopen("/tmp/log", "a"); fputs(what, f); fclose(f); }\n'
"""C of an attack that speaks in /tmp/log; `<stdio.h>` has to come before."""


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
