"""The record of a run, `run.json`: what was asked, what came of each target; what a run is resumed from."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import toolkit
from toolkit import runs
from toolkit.errors import BarescanError, CallError
from toolkit.reports import files, hdf
from toolkit.scan import Request

NAME = "run.json"
_FORMAT = 1
_LARGEST = 64 << 20  # a target takes a few hundred bytes
_LARGEST_SCAN = 1 << 20
_SAVE_SECONDS = 1.0
"""How long what came of a target may be in memory only: a run of thousands would else mostly write."""
_EXACT = {"inputs": "--input", "controls": "--controls", "engine": "--engine"}
_PRESENT = {"input_files": "--input-file", "waiver_files": "--waiver-file", "threshold": "--threshold"}


class State(StrEnum):
    """How far a target is."""

    NOT_BEGUN = "not begun"
    RUNNING = "running"
    FAILED = "failed"
    """No trustworthy result."""
    COMPLETE = "complete"


@dataclass(frozen=True)
class Attempt:
    """One scan of a target: its folder's name in the run, where it got one, and what came of it."""

    folder: str
    status: int
    seconds: float
    cause: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Entry:
    """One target of a run."""

    target: str
    state: State = State.NOT_BEGUN
    status: int | None = None
    cause: str = ""
    remedy: str = ""
    seconds: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    counts: Mapping[hdf.Status, int] | None = None
    """Controls by status; none where there is no result."""
    earlier: bool = False
    """Whether this is from before the run was resumed."""

    @property
    def folder(self) -> str:
        """The folder of the last attempt that has one."""
        return next((each.folder for each in reversed(self.attempts) if each.folder), "")

    def as_json(self) -> dict[str, Any]:
        """Return it as `run.json` has it."""
        return {
            "target": self.target,
            "state": self.state.value,
            "status": self.status,
            "cause": self.cause,
            "remedy": self.remedy,
            "seconds": round(self.seconds, 2),
            "folder": self.folder or None,
            "controls": self.counts and {status.value: count for status, count in self.counts.items()},
            "attempts": [
                {
                    "folder": each.folder or None,
                    "status": each.status,
                    "seconds": round(each.seconds, 2),
                    "cause": each.cause,
                }
                for each in self.attempts
            ],
        }


def counts(summary: hdf.Summary) -> dict[hdf.Status, int]:
    """Return how many controls have which status."""
    return {status: summary.count(status) for status in hdf.Status}


def asked(request: Request, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what was asked, without the values of inputs: those are in no file of ours."""
    options, auditing = request.options, request.auditing
    return {
        "profile": request.profile,
        "engine": request.engine,
        "inputs": sorted({name for name, _ in options.inputs}),
        "input_files": [str(path) for path in options.input_files],
        "waiver_files": [str(path) for path in options.waiver_files],
        "controls": list(options.controls),
        "threshold": str(request.threshold) if request.threshold else None,
        "timeout": request.timeout,
        "include_remote_mounts": request.remote_mounts,
        "trust_target": request.trust_target,
        "image": auditing.image,
        "privileged": auditing.privileged,
        **(more or {}),
    }


@dataclass(frozen=True)
class Earlier:
    """A run as it was left: what was asked, and which targets have a result."""

    folder: Path
    content: Mapping[str, Any]
    targets: tuple[str, ...]
    done: Mapping[str, Entry]

    @property
    def profile(self) -> str:
        """What was scanned with."""
        return str(self.content["asked"]["profile"])

    def check(self, request: Request) -> None:
        """Raise CallError where the rest would be scanned otherwise than what has been scanned."""
        was, now = self.content["asked"], asked(request)
        if now["profile"] != was["profile"]:
            raise CallError(
                f"the run was begun with the profile {was['profile']}, not {now['profile']}",
                "leave --profile out, or begin a run of its own",
            )
        for key, flag in (_EXACT | _PRESENT).items():
            if was.get(key) and not now[key]:
                raise CallError(
                    f"the run was begun with {flag}, and none is given now",
                    f"give {flag} again: the values are not kept with the run",
                )
            if (was.get(key) != now[key]) if key in _EXACT else (bool(was.get(key)) != bool(now[key])):
                raise CallError(
                    f"the run was begun with another {flag}",
                    "give the same again, or begin a run of its own",
                )


def load(folder: Path) -> Earlier:
    """Return a run as it was left; raises CallError where there is none, or none that can be read."""
    try:
        content = json.loads(files.read_capped(folder / NAME, _LARGEST, "record of a run"))
        targets = tuple(str(each["target"]) for each in content["targets"])
        if content["format"] != _FORMAT or not isinstance(content["asked"]["profile"], str):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CallError(
            f"{folder / NAME} is no record of a run of this version of barescan", "begin a new run"
        ) from None
    except CallError as error:
        raise CallError(error.cause, "name the folder of a run, such as reports/TIME-ID") from None
    return Earlier(folder, content, targets, _done(folder, frozenset(targets)))


def _done(folder: Path, targets: frozenset[str]) -> dict[str, Entry]:
    """Return what has a result, by the records of the scans: that of the run may be a second behind."""
    found = dict[str, Entry]()
    for path in sorted(folder.glob("*/scan.json")):
        try:
            said = json.loads(files.read_capped(path, _LARGEST_SCAN, "record of a scan"))
            target = str(said["target"]["uri"])
            if said["complete"] is not True or target not in targets:
                continue
            summary = hdf.summarise(hdf.load(path.parent / "report.hdf.json"))
            seconds = (_time(said["ended"]) - _time(said["started"])).total_seconds()
            attempt = Attempt(path.parent.name, int(said["status"]), seconds)
        except (BarescanError, ValueError, KeyError, TypeError, RecursionError):
            continue  # not a result that could be shown: it is scanned again
        found[target] = Entry(
            target,
            State.COMPLETE,
            attempt.status,
            seconds=seconds,
            attempts=(attempt,),
            counts=counts(summary),
            earlier=True,
        )
    return found


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Ledger:
    """Keeps `run.json` of one run, which is made with the first folder that a target gets. Thread-safe."""

    def __init__(
        self,
        reports: Path,
        targets: Iterable[str],
        asked_for: Mapping[str, Any],
        earlier: Earlier | None = None,
    ) -> None:
        """Make nothing yet; with `earlier` its folder goes on to be used, and its results stay."""
        self._reports = reports
        self._lock = threading.RLock()
        self._held: int | None = None
        self._saved = 0.0
        self.folder: Path | None = None
        self.used = False
        """Whether a target has a folder."""
        self.entries = {target: Entry(target) for target in targets}
        self._content: dict[str, Any] = {
            "format": _FORMAT,
            "barescan": toolkit.__version__,
            "started": runs.now(),
            "ended": None,
            "seconds": None,
            "one_by_one_seconds": None,
            "status": None,
            "complete": False,
            "asked": dict(asked_for),
        }
        if earlier:
            self._go_on(earlier)

    def _go_on(self, earlier: Earlier) -> None:
        self.folder = earlier.folder
        self._hold()
        self.entries = {target: Entry(target) for target in earlier.targets} | dict(earlier.done)
        kept = {key: earlier.content.get(key) for key in ("started", "asked")}
        resumed = [*(earlier.content.get("resumed") or []), runs.now()]
        self._content |= kept | {"resumed": resumed}

    def _hold(self) -> None:
        """Keep others from resuming this run meanwhile; a client that is killed lets go."""
        assert self.folder is not None  # noqa: S101 for the type checker
        self._held = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # not every file system has locks
            if error.errno == errno.EWOULDBLOCK:
                self._release()
                raise CallError(
                    f"the run in {self.folder} is still at work", "wait until it has ended, or end it"
                ) from None

    def _release(self) -> None:
        """Let others resume this run."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def place(self, target: str) -> Path:
        """Make and return a folder for an attempt at a target; raises CallError or ScanError."""
        with self._lock:
            if self.folder is None:
                self.folder = runs.new_run(self._reports)
                self._hold()
                self.entries[target] = replace(self.entries[target], state=State.RUNNING)
                self._save()
            self.used = True
            return runs.target_folder(self.folder, target)

    def put(self, entry: Entry) -> None:
        """Take what is known of a target now."""
        with self._lock:
            self.entries[entry.target] = entry
            if self.folder is not None and time.monotonic() - self._saved > _SAVE_SECONDS:
                with contextlib.suppress(BarescanError):  # `close` tells of a disk that stays full
                    self._save()

    def close(self, status: int, seconds: float) -> Path:
        """Complete the record; return the run's folder. Raises CallError or ScanError when it can't."""
        with self._lock:
            if self.folder is None:
                self.folder = runs.new_run(self._reports)
            scanned = [entry for entry in self.entries.values() if not entry.earlier]
            self._content |= {
                "ended": runs.now(),
                "seconds": round(seconds, 2),
                "one_by_one_seconds": round(sum(entry.seconds for entry in scanned), 2),
                "status": status,
                "complete": all(entry.state is State.COMPLETE for entry in self.entries.values()),
            }
            self._save()
            self._release()
            return self.folder

    def _save(self) -> None:
        assert self.folder is not None  # noqa: S101 for the type checker
        content = self._content | {"targets": [entry.as_json() for entry in self.entries.values()]}
        try:
            files.replace(json.dumps(content, indent=2).encode() + b"\n", self.folder / NAME)
        except OSError as error:
            raise runs.unwritable(self.folder, error) from None
        self._saved = time.monotonic()
