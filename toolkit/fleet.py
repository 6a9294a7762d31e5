"""Many targets in one run: each is one scan, and what becomes of one stops none of the others.

The scans run in threads. The main thread only waits, for Ctrl-C reaches it alone, and makes this host's
bundle when the first scan asks for it. Nothing is printed here.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import toolkit
from toolkit import runs
from toolkit.auditor import Auditing, Entering
from toolkit.bundle.build import Bundle
from toolkit.errors import BarescanError, CallError, InterruptedScanError, ScanError
from toolkit.reports import hdf
from toolkit.reports.files import write_new
from toolkit.reports.text import visible
from toolkit.runtimes.base import Bundles
from toolkit.scan import FAILED, NOT_REVIEWED, Request, Result, Watcher, check, scan
from toolkit.stop import Stop

DEFAULT_JOBS, MOST_JOBS = 4, 100
DEFAULT_RETRIES, MOST_RETRIES = 0, 20
_LONGEST_PAUSE = 30.0
_RESTS = 9
"""So many times as long as writing `run.json` took it is left alone: else 3000 targets cost two minutes."""
_WORST_FIRST = (InterruptedScanError.status, CallError.status, ScanError.status, FAILED, NOT_REVIEWED, 0)
_TRACEBACK_FILES = ("engine.log", "traceback.log")


@dataclass(frozen=True)
class Outcome:
    """How it went with one target; without a status it was not begun."""

    uri: str
    status: int | None = None
    seconds: float = 0.0
    attempts: int = 0
    folder: Path | None = None
    cause: str = ""
    remedy: str = ""
    kept: str = ""
    """Where what was seen until it failed is, as a sentence."""
    summary: hdf.Summary | None = None
    earlier: bool = False
    """Whether it was scanned before the run was resumed."""

    @property
    def scanned(self) -> bool:
        """Whether the scan came to its end."""
        return self.summary is not None


def exit_status(outcomes: Iterable[Outcome]) -> int:
    """Return the worst: interrupted, a bad call, not scannable, failed, not reviewed, passed."""
    occurred = {InterruptedScanError.status if each.status is None else each.status for each in outcomes}
    return next((status for status in _WORST_FIRST if status in occurred), 0)


def shard(uris: Iterable[str], index: int, count: int) -> tuple[str, ...]:
    """Return those of the targets that worker `index` of `count` scans; it depends on the URI alone."""
    return tuple(uri for uri in uris if _number(uri) % count == index)


def _number(uri: str) -> int:
    return int.from_bytes(hashlib.sha256(uri.encode(errors="surrogateescape")).digest())


class FleetWatcher:
    """What a front end may want to know of a run; called from several threads. This one wants nothing."""

    def target(self, uri: str) -> AbstractContextManager[Watcher]:
        """Return the watcher of a target whose scan begins; it is left when that ends."""
        del uri
        return nullcontext(Watcher())

    def finished(self, outcome: Outcome, done: int, total: int) -> None:
        """Take how it went with one target."""

    def interrupted(self) -> None:
        """Take that the scans that run are being ended."""


@dataclass
class Run:
    """A run's folder, and its `run.json`: what was asked for, and how it went with each target so far."""

    folder: Path
    about: Mapping[str, Any]
    outcomes: dict[str, Outcome]
    before: float = 0.0
    """Seconds that the run took before it was resumed."""
    trouble: BarescanError | None = None
    """Why `run.json` could not be written the last time."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _began: float = field(default_factory=time.monotonic)
    _rests_until: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the run, or its resumption, began."""
        return time.monotonic() - self._began

    @property
    def used(self) -> bool:
        """Whether a target has a folder in it."""
        return any(path.is_dir() for path in self.folder.iterdir())

    def discard(self) -> None:
        """Leave nothing of a run in which no scan came as far as a folder."""
        if not self.used:
            (self.folder / runs.RUN_FILE).unlink(missing_ok=True)
            self.folder.rmdir()

    def write(self, *, ended: bool = False) -> None:
        """Write or replace `run.json`; raises CallError or ScanError where that can't be done."""
        outcomes = self.outcomes.values()
        content = {
            **self.about,
            "ended": runs.now() if ended else None,
            "status": exit_status(outcomes) if ended else None,
            "seconds": round(self.before + self.seconds, 3),
            "sum_of_seconds": round(sum(each.seconds for each in outcomes), 3),
            "targets": [_as_json(each) for each in outcomes],
        }
        runs.write_run(self.folder, content)

    def take(self, outcome: Outcome) -> int:
        """Record how it went with a target; return how many have ended. It never raises.

        What has ended may be in memory only for a moment: a run of thousands would else mostly write. A run
        is resumed by the records of its scans, which are never behind.
        """
        with self._lock:
            self.outcomes[outcome.uri] = outcome
            if time.monotonic() >= self._rests_until:
                self._try_to_write()
            return sum(each.status is not None for each in self.outcomes.values())

    def end(self) -> None:
        """Record that no more will come."""
        with self._lock:
            self._try_to_write(ended=True)

    def _try_to_write(self, *, ended: bool = False) -> None:
        began = time.monotonic()
        try:
            self.write(ended=ended)
        except BarescanError as error:
            self.trouble = error
        else:
            self.trouble = None
        now = time.monotonic()
        self._rests_until = now + _RESTS * (now - began)


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "uri": outcome.uri,
        "folder": outcome.folder.name if outcome.folder else None,
        "status": outcome.status,
        "seconds": round(outcome.seconds, 3),
        "attempts": outcome.attempts,
        "cause": outcome.cause or None,
        "remedy": outcome.remedy or None,
    }


def describe(
    request: Request, *, jobs: int | None = 1, retries: int | None = 0, shard: str = ""
) -> dict[str, Any]:
    """Return what `run.json` says was asked for: names of inputs, never their values.

    Without `jobs` and `retries`, those of the run that is resumed are taken.
    """
    options = request.options
    return {
        "barescan": toolkit.__version__,
        "started": runs.now(),
        "profile": request.profile,
        "engine": request.engine,
        "options": {
            "profile_sha256": request.profile_sha256 or None,
            "inputs": [name for name, _ in options.inputs],
            "input_files": [str(path) for path in options.input_files],
            "controls": list(options.controls),
            "waiver_files": [str(path) for path in options.waiver_files],
            "threshold": str(request.threshold) if request.threshold else None,
            "timeout": request.timeout,
            "entering": asdict(request.entering),
            "formats": list(request.formats),
            "auditing": asdict(request.auditing),
        },
        "jobs": jobs,
        "retries": retries,
        "shard": shard or None,
    }


def begin(uris: Iterable[str], request: Request, about: Mapping[str, Any]) -> Run:
    """Make the folder of a run of these targets."""
    return Run(runs.new_run(request.report_dir), about, {uri: Outcome(uri) for uri in uris})


def resume(folder: Path, request: Request, about: Mapping[str, Any]) -> tuple[Run, Request]:
    """Return a run there is, with what was scanned in it to the end, and the request that goes on with it.

    `jobs` and `retries` are the run's own where `about` has none.

    Raises CallError when the folder is no run, and when what is asked now is not what was asked then.
    """
    said = runs.read_run(folder)
    request = _the_same(request, said)
    complete = runs.complete_scans(folder)
    known = {str(each["uri"]): each for each in said["targets"]}
    outcomes = {uri: _earlier(uri, complete.get(uri), each) for uri, each in known.items()}
    kept: dict[str, Any] = {
        key: said.get(key) for key in ("started", "profile", "engine", "options", "shard")
    }
    kept |= {
        key: _within(said.get(key), least, most, usual) if about.get(key) is None else about[key]
        for key, least, most, usual in (
            ("jobs", 1, MOST_JOBS, DEFAULT_JOBS),
            ("retries", 0, MOST_RETRIES, DEFAULT_RETRIES),
        )
    }
    before = said.get("seconds")
    run = Run(folder, {**about, **kept, "resumed": runs.now()}, outcomes)
    run.before = float(before) if isinstance(before, int | float) else 0.0
    return run, request


def _within(value: object, least: int, most: int, usual: int) -> int:
    """Return a number that a record has, or the usual one where it has none that could be."""
    return value if isinstance(value, int) and least <= value <= most else usual


def _the_same(request: Request, said: Mapping[str, Any]) -> Request:
    """Return the request with what the run remembers; raises CallError where it asks for something else."""
    if request.profile not in {"", said["profile"]}:
        raise CallError(
            f"the run was made with the profile {visible(said['profile'], 200)}",
            "leave --profile out, or begin a run of its own for another one",
        )
    had = said.get("options")
    had = had if isinstance(had, dict) else {}
    given = request.options
    for flag, was, now in (
        (
            "--input and --input-file",
            had.get("inputs") or had.get("input_files"),
            given.inputs or given.input_files,
        ),
        ("--waiver-file", had.get("waiver_files"), given.waiver_files),
        ("--threshold", had.get("threshold"), request.threshold),
    ):
        if was and not now:
            raise CallError(
                f"the run was made with {flag}, whose values it does not keep",
                "give them again, the same ones",
            )
    controls = tuple(map(str, had.get("controls") or ()))
    if given.controls and given.controls != controls:
        raise CallError("the run was made with other --controls", "leave them out, or begin a run of its own")
    pinned = str(had.get("profile_sha256") or "")
    if request.profile_sha256 not in {"", pinned}:
        raise CallError(
            f"the run was made with --profile-sha256 {visible(pinned, 80) or '(none)'}",
            "leave it out, or begin a run of its own: what was scanned was not held to another hash",
        )
    engine = str(said.get("engine") or "auto") if request.engine == "auto" else request.engine
    options = replace(given, controls=controls)
    entering = _as_before(Entering(), Entering, had.get("entering"))
    if request.entering not in {Entering(), entering}:
        raise CallError(
            "the run was made with other flags for what the auditor may do, or what has to hold it",
            f"leave {', '.join(_ENTERING)} out, or begin a run of its own",
        )
    request = replace(
        request,
        auditing=_as_before(request.auditing, Auditing, had.get("auditing")),
        formats=request.formats or tuple(map(str, had.get("formats") or ())),
        entering=entering,
    )
    return replace(
        request, profile=str(said["profile"]), profile_sha256=pinned, engine=engine, options=options
    )


_ENTERING = (
    *("--include-remote-mounts", "--trust-target", "--allow-network", "--allow-target-exec"),
    "--require-confinement",
)
_How = TypeVar("_How", Auditing, Entering)


def _as_before(now: _How, kind: type[_How], said: object) -> _How:
    """Return how the auditor is brought, or may act: as before, where nothing is asked for now.

    What the targets are also depends on that, by the context.
    """
    usual = kind()
    kinds = {name: type(value) for name, value in asdict(usual).items()}
    if now != usual or not isinstance(said, dict):
        return now
    try:
        return kind(**{name: kinds[name](value) for name, value in said.items()})
    except (LookupError, ValueError, TypeError):
        return usual


def _earlier(uri: str, folder: Path | None, said: Mapping[str, Any]) -> Outcome:
    """Return how it went with a target before, as far as its scan came to an end and its report is whole."""
    if folder is None:
        return Outcome(uri)
    scanned = runs.read_scan(folder)
    try:
        summary = hdf.summarise(hdf.load(folder / "report.hdf.json"))
        seconds = said.get("seconds") or scanned.get("engine_seconds") or 0.0
        return Outcome(
            uri,
            int(scanned["status"]),
            float(seconds),
            int(said.get("attempts") or 1),
            folder,
            summary=summary,
            earlier=True,
        )
    except (CallError, ValueError, TypeError):
        return Outcome(uri)


def added_auditors(outcomes: Iterable[Outcome]) -> bool:
    """Return whether an entry of an ephemeral container was left in a pod by one of the scans made now."""
    for each in outcomes:
        target = runs.read_scan(each.folder).get("target") if each.folder and not each.earlier else None
        auditor = target.get("auditor") if isinstance(target, dict) else None
        if isinstance(auditor, dict) and auditor.get("kind") == "ephemeral":
            return True
    return False


def scan_one(
    request: Request, bundles: Bundles, watcher: Watcher, about: Mapping[str, Any], *, retries: int = 0
) -> tuple[Result, Outcome]:
    """Scan one target in this thread, as `scan` does and raising as it does; its run has a `run.json` too."""
    target = _Target(request, watcher, Stop(), retries, about)
    status, cause, remedy, result = InterruptedScanError.status, "", "", None
    try:
        result = target.scan(bundles)
        status = result.status
    except BarescanError as error:
        status, cause, remedy = error.status, error.cause, error.remedy
        raise
    except Exception as error:
        status, cause = ScanError.status, _sentence(error)
        raise
    finally:
        outcome = target.outcome(status, cause, remedy, result=result)
        if target.run:
            target.run.take(outcome)
            target.run.end()
    if target.run and target.run.trouble:
        raise target.run.trouble
    return result, outcome


@dataclass
class _Target:
    """One target's scan, tried again as often as allowed where that may help."""

    request: Request
    watcher: Watcher
    stop: Stop
    retries: int
    about: Mapping[str, Any] | None = None
    """For a run of this target alone, which begins with its first folder."""
    run: Run | None = None
    folder: Path | None = None
    attempts: int = 0
    waited: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def scan(self, bundles: Bundles) -> Result:
        watcher = cast(Watcher, _Noting(self.watcher, self._recorded_in))
        while True:
            self.attempts += 1
            try:
                return scan(self.request, lambda: self._waiting(bundles), watcher, self.stop)
            except BarescanError as error:
                # What broke off in mid-scan may not be back at once: then it can't even be found.
                is_off = self.attempts > 1 and isinstance(error, ScanError)
                if self.attempts > self.retries or not (error.transient or is_off):
                    raise
                pause = min(2.0 ** (self.attempts - 1), _LONGEST_PAUSE)
                self.watcher.warning(f"{self.request.target}: {error.cause}; tried again in {pause:g} s")
            self.stop.pause(pause)

    def _waiting(self, bundles: Bundles) -> Bundle:
        """Return the bundle; the time that takes is not the target's."""
        began = time.monotonic()
        try:
            return bundles()
        finally:
            self.waited += time.monotonic() - began

    def _recorded_in(self, folder: Path) -> None:
        self.folder = folder
        if self.about is not None and self.run is None:
            uri = self.request.target
            self.run = Run(folder.parent, self.about, {uri: Outcome(uri)})
            self.run.write()
            self.request = replace(self.request, run=folder.parent)

    def outcome(
        self, status: int, cause: str = "", remedy: str = "", kept: str = "", result: Result | None = None
    ) -> Outcome:
        seconds = time.monotonic() - self.began - self.waited
        summary = result.summary if result else None
        uri = self.request.target
        return Outcome(uri, status, seconds, self.attempts, self.folder, cause, remedy, kept, summary)


class _Noting:
    """A watcher that passes all on, and notes where a scan is recorded."""

    def __init__(self, watcher: Watcher, note: Callable[[Path], None]) -> None:
        self._watcher = watcher
        self._note = note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._watcher, name)

    def recorded_in(self, folder: Path) -> None:
        self._note(folder)
        self._watcher.recorded_in(folder)


def _sentence(error: Exception) -> str:
    """Return what to say of an error that was not foreseen; its own words may hold what is secret."""
    return f"an error of barescan itself ({type(error).__name__})"


def scan_all(  # noqa: PLR0913
    uris: Sequence[str],
    request: Request,
    bundles: Bundles,
    *,
    run: Run,
    jobs: int = DEFAULT_JOBS,
    retries: int = 0,
    watcher: FleetWatcher | None = None,
    stop: Stop | None = None,
    failed: Mapping[str, BarescanError] | None = None,
) -> tuple[Outcome, ...]:
    """Scan targets, `jobs` at a time, into the folder of a run; return how it went with each, in their order.

    `request` says all but the target. `failed` has those of which it is known already why they can't be
    scanned. On Ctrl-C and SIGTERM, or when another thread asks `stop`, the scans that run are ended and those
    that were not begun are left. Raises CallError, before a target is entered, for what is wrong with every
    scan.
    """
    check(request)
    fleet = _Fleet(
        replace(request, run=run.folder),
        run,
        watcher or FleetWatcher(),
        stop or Stop(),
        retries,
        failed or {},
    )
    with runs.held(run.folder), _signals(fleet.interrupt):
        run.write()
        fleet.work(uris, bundles, jobs)
        run.end()
    return tuple(run.outcomes[uri] for uri in uris)


@contextlib.contextmanager
def _signals(take: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM call `take`, where this is the main thread, instead of raising anywhere."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: take()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@dataclass
class _Fleet:
    request: Request
    run: Run
    watcher: FleetWatcher
    stop: Stop
    retries: int
    failed: Mapping[str, BarescanError]
    events: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    """What the main thread is woken by: a target that has ended, the first wish for a bundle, a signal."""
    wrong: BarescanError | None = None
    """What is wrong with every scan and shows with a bundle only, such as a profile that it has not."""
    making: bool = False
    """Whether the main thread makes the bundle, which is ended as any other work: by KeyboardInterrupt."""

    def work(self, uris: Sequence[str], bundles: Bundles, jobs: int) -> None:
        bundle = _HostBundle(bundles, lambda: self.events.put("bundle"))
        with ThreadPoolExecutor(jobs, "scan") as pool:
            ended = [pool.submit(self._one, uri, bundle) for uri in uris]
            for each in ended:
                each.add_done_callback(lambda _: self.events.put("ended"))
            try:
                while not self._all_ended(ended, bundle):
                    self._end(bundle)
            finally:
                self.stop.ask()  # only an error of our own gets here early
                bundle.refuse()
        for each in ended:
            each.result()
        if self.wrong:
            self.run.discard()
            raise self.wrong

    def _all_ended(self, ended: Sequence[Future[None]], bundle: _HostBundle) -> bool:
        """Wait until all have ended; False when Ctrl-C comes first."""
        try:
            while not all(each.done() for each in ended):
                event = self.events.get()
                if event == "interrupted":
                    return False
                if event == "bundle":
                    self._make(bundle)
        except KeyboardInterrupt:
            return False
        return True

    def _make(self, bundle: _HostBundle) -> None:
        self.making = True
        try:
            bundle.make()
        finally:
            self.making = False

    def interrupt(self) -> None:
        """Take a signal, in the main thread between any two steps: the second may come while ending."""
        if self.making:
            raise KeyboardInterrupt
        self.events.put("interrupted")

    def _end(self, bundle: _HostBundle) -> None:
        if not self.stop.asked:
            self.watcher.interrupted()
        self.stop.ask()
        bundle.refuse()

    def _one(self, uri: str, bundles: Bundles) -> None:
        """Scan one target; whatever happens becomes its outcome."""
        if self.stop.asked:
            return
        with self.watcher.target(uri) as watcher:
            target = _Target(replace(self.request, target=uri), watcher, self.stop, self.retries)
            outcome = self._outcome(target, bundles)
        if self.wrong:
            return
        done = self.run.take(outcome)
        self.watcher.finished(outcome, done, len(self.run.outcomes))

    def _outcome(self, target: _Target, bundles: Bundles) -> Outcome:
        try:
            if known := self.failed.get(target.request.target):
                raise known
            result = target.scan(bundles)
        except BarescanError as error:
            if error.whatever_target and not self.run.used:
                self.wrong = self.wrong or error  # or an auditor would be added to each pod for nothing
                self.stop.ask()
            return target.outcome(error.status, error.cause, error.remedy, error.kept)
        except Exception as error:
            target.folder = target.folder or self._folder(target)
            place = _keep_traceback(target.folder) if target.folder else None
            remedy = f"report it, with what {place} says" if place else "report it"
            return target.outcome(ScanError.status, _sentence(error), remedy)
        return target.outcome(result.status, result=result)

    def _folder(self, target: _Target) -> Path | None:
        try:
            return runs.new_folder(self.run.folder, target.request.target)
        except BarescanError:
            return None


def _keep_traceback(folder: Path) -> Path | None:
    lines = "".join(f"{visible(line)}\n" for line in traceback.format_exc().splitlines())
    for name in _TRACEBACK_FILES:
        with contextlib.suppress(BarescanError):
            write_new(lines.encode(), folder / name)
            return folder / name
    return None


class _HostBundle:
    """The bundle of this host for scans in other threads, made at most once and by the main thread."""

    def __init__(self, make: Bundles, ask: Callable[[], None]) -> None:
        self._make = make
        self._ask = ask
        self._asked = False
        self._lock = threading.Lock()
        self._made: Future[Bundle] = Future()

    def __call__(self) -> Bundle:
        with self._lock:
            if not self._asked:
                self._asked = True
                self._ask()
        try:
            return self._made.result()
        except BarescanError as error:  # each scan writes into its own
            raise type(error)(error.cause, error.remedy, transient=error.transient) from None

    def make(self) -> None:
        """Make it; what goes wrong goes to those who wait."""
        if self._made.done():
            return
        try:
            bundle = self._make()
        except Exception as error:
            self._made.set_exception(error)
        else:
            self._made.set_result(bundle)

    def refuse(self) -> None:
        """Let nobody wait any longer."""
        if not self._made.done():
            self._made.set_exception(InterruptedScanError("the scan was interrupted"))
