"""Owners kept without root: a user namespace in which the user's subordinate ids stand for an image's owners.

`command` is for the client; `main` runs on the bundle's Python, sets the namespace up and becomes the program
it was given. newuidmap(1) writes the maps, since only it may use subordinate ids. unshare(1) does the same
from util-linux 2.38 on, which Ubuntu 22.04 does not have.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from toolkit.agent import kernel

_NEEDED_IDS = 65_536  # what an image's owners come from, as Docker gives a container that is remapped
_REFUSED = 125
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from toolkit.unpack.rootless import main; sys.exit(main(sys.argv[1:]))"
)


class RootlessError(Exception):
    """Such a namespace is not to be had for this user: cause and remedy."""


def command(python: list[str], package_parent: str) -> list[str]:
    """Return what to put before a command; `python` starts a Python of version 3.11 without its site.

    Raises RootlessError when the user has no subordinate ids, the programs to map them are missing, or the
    system allows no user namespaces.
    """
    for program in ("newuidmap", "newgidmap"):
        if shutil.which(program) is None:
            raise RootlessError(f"{program} is missing", "apt-get install uidmap, or use sudo")
    ranges = [*_subordinate("/etc/subuid"), *_subordinate("/etc/subgid")]
    prefix = [*python, "-c", _START, package_parent, *map(str, ranges)]
    try:
        tried = subprocess.run(
            [*prefix, "true"], check=False, capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise RootlessError(
            f"{python[0]} can't be run: {error.strerror}", "let every user read the bundle"
        ) from None
    if tried.returncode:
        said = tried.stderr.strip().splitlines() or [f"status {tried.returncode}"]
        raise RootlessError(
            said[-1][:300], "use sudo, or allow user namespaces (sysctl user.max_user_namespaces, AppArmor)"
        )
    return prefix


def id_count(prefix: Sequence[str]) -> int:
    """Return how many owners there are in the namespace that `command` describes: 0 to this less one."""
    return min(int(prefix[-3]), int(prefix[-1])) + 1


def _subordinate(file: str) -> tuple[int, int]:
    """Return first and number of the user's largest range, subuid(5)."""
    user = pwd.getpwuid(os.getuid()).pw_name
    found = []
    if Path(file).is_file():
        for line in Path(file).read_text().splitlines():
            fields = line.split(":")
            if len(fields) == 3 and fields[0] in {user, str(os.getuid())} and fields[2].isdigit():
                found.append((int(fields[1]), int(fields[2])))
    if not found:
        raise RootlessError(
            f"{user} has no subordinate ids in {file}",
            f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}, or use sudo",
        )
    return max(found, key=lambda each: each[1])


def main(arguments: list[str]) -> int:
    """Become the command that follows the four numbers of the ranges, as root of a new user namespace."""
    uid_first, uid_count, gid_first, gid_count, *program = arguments
    maps = {
        "newuidmap": ["0", str(os.getuid()), "1", "1", uid_first, uid_count],
        "newgidmap": ["0", str(os.getgid()), "1", "1", gid_first, gid_count],
    }
    ready, tell_ready = os.pipe()
    us = os.getpid()
    helper = os.fork()
    if helper == 0:
        os.close(tell_ready)
        os._exit(_map_once_ready(ready, us, maps))
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
    except OSError as error:
        os.close(tell_ready)
        os.waitpid(helper, 0)
        return _fail(f"this system allows no user namespaces: {error.strerror}")
    os.write(tell_ready, b"x")
    os.close(tell_ready)
    os.close(ready)
    if os.waitpid(helper, 0)[1]:
        return _fail("the subordinate ids were refused")
    try:
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)  # only now: a change of owner clears it
        os.execvp(program[0], program)  # noqa: S606 no shell is wanted
    except OSError as error:
        return _fail(f"{program[0]}: {error.strerror}")


def _map_once_ready(ready: int, process: int, maps: dict[str, list[str]]) -> int:
    """Have the maps written, from outside the namespace as they must be."""
    if not os.read(ready, 1):
        return 1
    return any(subprocess.call([name, str(process), *numbers]) for name, numbers in maps.items())


def _fail(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return _REFUSED
