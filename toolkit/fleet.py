"""Many targets in one run: a scan each, some at a time. Nothing is printed here.

The main thread takes signals, builds this host's bundle where a target needs it, and hears what came of each
target; a pool of threads scans. What fails with one target never ends the scan of another.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import NamedTuple

import toolkit
from toolkit import runs
from toolkit.bundle.build import Bundle
from toolkit.errors import BarescanError, InterruptedScanError, ScanError
from toolkit.ledger import Attempt, Entry, Ledger, State, counts
from toolkit.reports.files import write_new
from toolkit.reports.text import visible
from toolkit.runtimes.base import Bundles
from toolkit.scan import Request, Result, Watcher, scan, unforeseen
from toolkit.stop import Stop

WORST_FIRST = (130, 1, 2, 100, 101, 0)
"""Which exit status speaks for a run in which several occurred."""
DEFAULT_JOBS = 4
_INTERRUPTED = "the scan was interrupted"
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 15.0
"""Before a target is scanned again; doubled each time between these."""


class Shard(NamedTuple):
    """One worker's part of the targets: those whose hash falls on `part` of 0 to `of` - 1."""

    part: int
    of: int

    def takes(self, uri: str) -> bool:
        """Say whether a target is of this part; the same on every machine."""
        digest = hashlib.sha256(uri.encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.part

    def __str__(self) -> str:
        """Return it as the user writes it."""
        return f"{self.part}/{self.of}"


def overall(statuses: Iterable[int]) -> int:
    """Return the exit status of a run; without any target there was nothing to fail."""
    occurred = set(statuses)
    return next((status for status in WORST_FIRST if status in occurred), 2 if occurred else 0)


class Listener:
    """What a front end may want to know while a run goes on; this one wants nothing.

    `watch` is called from the thread that scans the target, the rest from the main one.
    """

    def watch(self, number: int, uri: str) -> Watcher:
        """Return what wants to know of the scan of a target, which begins; numbers count from 1."""
        del number, uri
        return Watcher()

    def ended(self, number: int, entry: Entry) -> None:
        """Take what came of a target."""

    def ending(self) -> None:
        """Take that the user wants it to end, and that what runs is being ended."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    folder: Path
    entries: tuple[Entry, ...]
    status: int
    seconds: float

    @property
    def one_by_one(self) -> float:
        """The sum of the seconds that the targets took, those scanned before it was resumed left out."""
        return sum(entry.seconds for entry in self.entries if not entry.earlier)


def scan_one(
    request: Request, bundles: Bundles, watcher: Watcher, ledger: Ledger, retries: int = 0
) -> Result:
    """Scan the only target of a run, in this thread; raises as `scan` does, also KeyboardInterrupt."""
    trials = _Trials(request, bundles, watcher, Stop(), ledger, retries)
    try:
        result = trials.run()
    except BaseException:
        with contextlib.suppress(BarescanError):  # of the two errors this is the lesser
            _complete(ledger, trials.entry)
        raise
    _complete(ledger, trials.entry)
    return result


def _complete(ledger: Ledger, entry: Entry) -> None:
    ledger.put(entry)
    if ledger.folder is not None and entry.status is not None:
        ledger.close(entry.status, entry.seconds)


class Fleet:
    """The targets of a run that have no result yet, scanned `jobs` at a time."""

    def __init__(
        self,
        request: Request,
        bundles: Bundles,
        ledger: Ledger,
        listener: Listener | None = None,
        *,
        jobs: int = DEFAULT_JOBS,
        retries: int = 0,
    ) -> None:
        """Take what is asked of each target; the request's own target is none."""
        self._request = request
        self._bundles = bundles
        self._ledger = ledger
        self._listener = listener or Listener()
        self._jobs = jobs
        self._retries = retries
        self._stop = Stop()
        self._events = SimpleQueue[_Ended | _Asked]()
        self._lock = threading.Lock()
        self._built: Future[Bundle] | None = None
        self._building = False
        self._interrupted = False
        self._wrong: BarescanError | None = None

    def run(self) -> Outcome:
        """Scan; a target that can't be scanned is part of the outcome, as is an interruption.

        Raises CallError where the call is wrong whatever the target, and as `Ledger.close` does.
        """
        begun = time.monotonic()
        waiting = [entry.target for entry in self._ledger.entries.values() if not entry.earlier]
        with self._signals(), ThreadPoolExecutor(max(1, min(self._jobs, len(waiting))), "scan") as pool:
            try:
                for number, uri in enumerate(waiting, 1):
                    pool.submit(self._work, number, uri)
                self._hear(len(waiting))
            except BaseException:
                self._stop.ask()
                raise
        entries = tuple(self._ledger.entries.values())
        statuses = [entry.status for entry in entries if entry.status is not None]
        status = overall([*statuses, *([InterruptedScanError.status] if self._interrupted else [])])
        seconds = time.monotonic() - begun
        if self._wrong and not self._ledger.used:
            raise self._wrong
        return Outcome(self._ledger.close(status, seconds), entries, status, seconds)

    def _hear(self, left: int) -> None:
        """Serve the threads until each target has ended."""
        while left:
            match self._events.get():
                case _Ended(number, entry):
                    left -= 1
                    if not self._wrong or self._ledger.used:
                        self._listener.ended(number, entry)
                case _Asked.TO_BUILD:
                    self._build()
                case _Asked.TO_END if not self._interrupted:
                    self._end()

    def _end(self) -> None:
        self._interrupted = True
        self._listener.ending()
        self._stop.ask()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Hear of Ctrl-C and SIGTERM as of everything else, so that nothing is left half done."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, _signal: int, _frame: FrameType | None) -> None:
        if self._building:  # which knows how to end
            self._building = False
            raise KeyboardInterrupt
        self._events.put(_Asked.TO_END)  # of all queues the one that may be used here

    def _build(self) -> None:
        """Build this host's bundle for the threads that wait for it."""
        assert self._built is not None  # noqa: S101 for the type checker
        if not self._built.set_running_or_notify_cancel():
            return
        try:
            self._building = True
            bundle = self._bundles()
            self._building = False
        except KeyboardInterrupt:
            self._built.set_exception(InterruptedScanError(_INTERRUPTED))
            self._end()
        except BaseException as error:
            self._building = False
            self._built.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            self._built.set_result(bundle)

    def _bundle(self) -> Bundle:
        """Return this host's bundle, which the main thread builds once."""
        with self._lock:
            if self._built is None:
                self._built = Future()
                self._events.put(_Asked.TO_BUILD)
        with self._stop.calling(self._built.cancel):
            try:
                return self._built.result()
            except CancelledError:
                raise InterruptedScanError(_INTERRUPTED) from None

    def _work(self, number: int, uri: str) -> None:
        """Scan one target, in a thread of the pool; whatever happens is what came of it."""
        entry = Entry(uri, status=InterruptedScanError.status, cause="not begun when the run was interrupted")
        try:
            if not self._stop.asked:
                entry = self._scan(number, uri)
        except BaseException as error:  # or the main thread would wait for ever
            failure = unforeseen(error)
            entry = Entry(uri, State.FAILED, failure.status, failure.cause, failure.remedy)
        self._ledger.put(entry)
        self._events.put(_Ended(number, entry))

    def _scan(self, number: int, uri: str) -> Entry:
        watcher, request = self._listener.watch(number, uri), replace(self._request, target=uri)
        trials = _Trials(
            request, self._bundle, watcher, self._stop, self._ledger, self._retries, keeps_all=True
        )
        try:
            trials.run()
        except BarescanError as error:
            if error.whatever_target and not self._ledger.used:
                self._wrong = error
                self._stop.ask()
        except Exception:  # noqa: S110 it is in the record
            pass
        return trials.entry


class _Asked(Enum):
    """What the main thread is asked for."""

    TO_BUILD = auto()
    TO_END = auto()


class _Ended(NamedTuple):
    """What came of a target."""

    number: int
    entry: Entry


class _Trials:
    """One target, scanned until there is a result or no point in trying again."""

    def __init__(
        self,
        request: Request,
        bundles: Bundles,
        watcher: Watcher,
        stop: Stop,
        ledger: Ledger,
        retries: int,
        *,
        keeps_all: bool = False,
    ) -> None:
        """Take all that a scan needs; `keeps_all` has attempts recorded that did not get as far as a scan."""
        self._request = request
        self._bundles = bundles
        self._watcher = watcher
        self._stop = stop
        self._ledger = ledger
        self._retries = retries
        self._keeps_all = keeps_all
        self._begun = time.monotonic()
        self._attempts: list[Attempt] = []
        self.entry = Entry(request.target, State.RUNNING)
        ledger.put(self.entry)

    def run(self) -> Result:
        """Scan, and scan again where that may help; raises what the last attempt raised."""
        for number in itertools.count(1):
            try:
                return self._try(number)
            except BarescanError as error:
                if not self._may_help(error, number):
                    raise
                self._watcher.again(error)
            try:
                self._stop.pause(min(_FIRST_PAUSE_SECONDS * 2 ** (number - 1), _LONGEST_PAUSE_SECONDS))
            except (InterruptedScanError, KeyboardInterrupt):
                cause = f"interrupted before it was scanned again: {self.entry.cause}"
                self.entry = replace(self.entry, status=InterruptedScanError.status, cause=cause)
                raise
        raise AssertionError("attempts are counted")

    def _may_help(self, error: BarescanError, number: int) -> bool:
        """Say whether to try again; what broke off once may not be back at once, in whatever way."""
        is_off = number > 1 and isinstance(error, ScanError)
        return number <= self._retries and not self._stop.asked and (error.transient or is_off)

    def _try(self, number: int) -> Result:
        request, begun, folders = replace(self._request, attempt=number), time.monotonic(), list[Path]()

        def place() -> Path:
            folders.append(self._ledger.place(request.target))
            return folders[-1]

        try:
            result = scan(request, self._bundles, self._watcher, stop=self._stop, place=place)
        except BaseException as error:
            failure = self._known(error, begun=bool(folders))
            if not folders and self._keeps_all and self._worth_a_record(failure):
                with contextlib.suppress(BarescanError):  # its cause is in the record of the run too
                    _record(request, failure, error, place())
            self._note(State.FAILED, begun, folders, failure.status, (failure.cause, failure.remedy))
            if failure is not error and isinstance(error, BarescanError):
                raise failure from None
            raise
        self._note(State.COMPLETE, begun, folders, result.status)
        self.entry = replace(self.entry, counts=counts(result.summary))
        return result

    @staticmethod
    def _worth_a_record(failure: BarescanError) -> bool:
        """Say whether it is about the target that it did not get as far as a scan."""
        return not failure.whatever_target and not isinstance(failure, InterruptedScanError)

    def _known(self, error: BaseException, *, begun: bool) -> BarescanError:
        """Return what the record says of an error."""
        if isinstance(error, KeyboardInterrupt) or (self._stop.asked and not begun):
            return InterruptedScanError(_INTERRUPTED)
        return error if isinstance(error, BarescanError) else unforeseen(error)

    def _note(
        self,
        state: State,
        begun: float,
        folders: Sequence[Path],
        status: int,
        said: tuple[str, str] = ("", ""),
    ) -> None:
        now = time.monotonic()
        folder = folders[-1].name if folders else ""
        self._attempts.append(Attempt(folder, status, now - begun, *said))
        attempts, seconds = tuple(self._attempts), now - self._begun
        self.entry = Entry(self._request.target, state, status, *said, seconds=seconds, attempts=attempts)


def _record(request: Request, failure: BarescanError, error: BaseException, folder: Path) -> None:
    """Leave a record of an attempt that did not get as far as a scan."""
    if failure is not error and not isinstance(failure, InterruptedScanError):
        lines = "".join(traceback.format_exception(error)).splitlines()
        write_new("".join(f"{visible(line)}\n" for line in lines).encode(), folder / "engine.log")
    content = {
        "barescan": toolkit.__version__,
        "target": {"uri": request.target},
        "ended": runs.now(),
        "attempt": request.attempt,
        "status": failure.status,
        "complete": False,
        "error": {"cause": failure.cause, "remedy": failure.remedy},
    }
    runs.write_json(folder / "scan.json", content)
