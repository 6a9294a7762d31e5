"""What the view library noted of the audit's own programs, and whether somebody else interfered with them.

Root of the target may be the same user as the engine, and then may kill single commands of the audit or
lower their limits (kill(2), prlimit(2)): a shell takes that for "not found". It can't be prevented, so it
ends the scan. A note is the name of an empty file, KIND.NUMBER.NUMBER, made by `toolkit/bundle/view/notes.c`.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections import defaultdict

from toolkit.agent import kernel
from toolkit.agent.failure import AgentError

PLACE = ".notes"
"""A directory in the scratch directory; its bounded number of inodes bounds what is read."""
_NAME = re.compile(r"([a-z-]+)\.(\d{1,10})\.(\d{1,10})", re.ASCII)
_REMEDY = "treat this target as hostile; if memory is short, give the scan more"


def prepare(scratch: int) -> None:
    """Make the place for notes in the scratch directory, before any program of the audit is started."""
    os.mkdir(PLACE, 0o700, dir_fd=scratch)


def check(scratch: int, ended: list[tuple[int, int]], ended_by_us: set[int]) -> None:
    """Raise AgentError when a command of the audit was ended, or held up, by somebody else.

    `ended` are the wait statuses, by number, of the engine and of processes that nobody else waited for;
    `ended_by_us` those that were alive when the engine had ended. Of a SIGPIPE only the process itself can
    tell whose it was.
    """
    notes = _read(scratch)
    killed = notes["killed"] | {
        (pid, os.WTERMSIG(status))
        for pid, status in ended
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGPIPE
    }
    for pid, number in sorted(killed):
        if not _sent(notes, pid, number):
            raise AgentError(
                f"a command of the audit was ended by signal {number}, which the audit did not send", _REMEDY
            )
    if notes["own-limit"]:
        return
    for _, number in sorted(notes["limit"]):
        raise AgentError(f"a command of the audit could not open a file: {os.strerror(number)}", _REMEDY)
    signalled = {pid for pid, _ in notes["sent"] | killed}
    begun = {pid for pid, _ in notes["began"]} | signalled | ended_by_us
    started = {pid for pid, _ in notes["start"]} - signalled - ended_by_us
    started |= {pid for pid, _ in notes["spawned"]} - begun
    if started and not notes["all"]:
        raise AgentError("a command of the audit was started and did not begin", _REMEDY)


def _read(scratch: int) -> defaultdict[str, set[tuple[int, int]]]:
    notes: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
    try:
        place = kernel.open_beneath(scratch, PLACE, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES}:
            raise
        raise AgentError(
            "what was noted of the audit's commands is gone", "no check may touch files that it did not make"
        ) from None
    try:
        with os.scandir(place) as entries:
            names = [entry.name for entry in entries]
    finally:
        os.close(place)
    for name in names:
        if match := _NAME.fullmatch(name):
            notes[match[1]].add((int(match[2]), int(match[3])))
    return notes


def _sent(notes: defaultdict[str, set[tuple[int, int]]], pid: int, number: int) -> bool:
    """Say whether the audit sent a signal itself: to this process, or to several, not being the sender.

    A sender passes on what it got, as timeout(1) does, and then ends by it; but nobody passes on SIGKILL.
    """
    if (pid, number) in notes["sent"]:
        return True
    return any(
        sent == number and (sender != pid or number == signal.SIGKILL) for sender, sent in notes["all"]
    )
