"""One scan: resolve → attach → run → collect → judge. Nothing is printed here."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import toolkit
from toolkit import confinement, engines, runs
from toolkit.auditor import Auditing, Entering
from toolkit.bundle.build import Bundle
from toolkit.engines.base import Engine, Options, Plan, Progress, RawResult
from toolkit.errors import BarescanError, CallError, InterruptedScanError, ScanError
from toolkit.reports import formats, hdf, threshold
from toolkit.reports.files import write_new
from toolkit.reports.text import visible
from toolkit.runtimes.base import Bundles, Runtime, resolve
from toolkit.runtimes.session import Outcome, converse
from toolkit.stop import Stop

FAILED, NOT_REVIEWED = 100, 101
DEFAULT_TIMEOUT_SECONDS = 1800.0
_MOST_SEEN = 100_000
"""Controls that a record of what was seen can have; a profile may print what looks like more without end."""
SCANNING = "scan"
"""The phase in which the agent is beside the target."""


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    target: str
    profile: str
    profile_sha256: str = ""
    """The only hash (lower-case hexadecimal) that the profile may have; any where it is empty."""
    engine: str = "auto"
    options: Options = field(default_factory=Options)
    threshold: Path | None = None
    report_dir: Path = Path("reports")
    run: Path | None = None
    """The folder of a run there is, for the target's own folder; without it the scan makes one."""
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    entering: Entering = field(default_factory=Entering)
    auditing: Auditing = field(default_factory=Auditing)
    formats: tuple[str, ...] = ()
    """What the report is also written as (`toolkit.reports.formats`), beside `report.hdf.json`."""


@dataclass(frozen=True)
class Result:
    """A scan that came to a trustworthy end."""

    folder: Path
    report: dict[str, Any]
    summary: hdf.Summary
    verdict: threshold.Verdict | None
    status: int
    facts: dict[str, Any]
    seconds: float


class Watcher:
    """What a front end may want to know while a scan runs; this one wants nothing."""

    def phase(self, name: str) -> None:
        """Take the name of the step that begins."""

    def recorded_in(self, folder: Path) -> None:
        """Take where the scan will be recorded."""

    def chosen(self, profile: str, engine: str) -> None:
        """Take what is about to be run and by what."""

    def warning(self, text: str) -> None:
        """Take what the user said that has no effect."""

    def planned(self, total: int | None) -> None:
        """Take the number of controls, where known."""

    def control(self, progress: Progress) -> None:
        """Take one control that has finished."""


def scan(
    request: Request, bundles: Bundles, watcher: Watcher | None = None, stop: Stop | None = None
) -> Result:
    """Scan one target; every outcome, good or bad, leaves a `scan.json` in the run's folder.

    `bundles` gives this host's bundle, for runtimes that use it. Raises CallError for what is wrong with the
    call, ScanError when the target could not be scanned to a trustworthy end, InterruptedScanError on
    KeyboardInterrupt and, soon after, when another thread asks `stop` for the end.
    """
    watcher, stop = watcher or Watcher(), stop or Stop()
    _check_options(request)
    runtime = resolve(request.target, request.auditing)
    runtime.tell = _Teller(watcher, stop)
    runtime.stop = stop
    runtime.trust_target = request.entering.trust_target
    limits = threshold.load(request.threshold) if request.threshold else None
    runs.check_place(request.report_dir)
    with _interruptions(runtime) as folders, contextlib.closing(runtime):
        found = cache(lambda: runtime.bundle(bundles))
        plan, engine = _plan(request, found)  # before a bundle is built, where it needs none
        bundle = found()
        engines.require(engine)
        stop.check()
        folder = runs.new_folder(request.run or runs.new_run(request.report_dir), request.target)
        folders.append(folder)
        watcher.recorded_in(folder)
        return _Scan(request, bundle, watcher, runtime, engine, plan, folder).run(limits)


@contextlib.contextmanager
def _interruptions(runtime: Runtime) -> Iterator[list[Path]]:
    """Turn Ctrl-C at any time into InterruptedScanError, which says what is recorded and what is left.

    The folder that the scan is recorded in, once there is one, is added to the list.
    """
    folders: list[Path] = []
    try:
        yield folders
    except (KeyboardInterrupt, InterruptedScanError) as error:
        interrupted = error if isinstance(error, InterruptedScanError) else _interrupted()
        place = (
            f"what there is of it is in {folders[0]}" if folders else "it had not begun: there is no record"
        )
        kept = interrupted.kept or place
        interrupted.kept = "; ".join(filter(None, (kept, runtime.left_behind())))
        raise interrupted from None


def _interrupted() -> InterruptedScanError:
    return InterruptedScanError("the scan was interrupted")


def _plan(request: Request, found: Bundles) -> tuple[Plan, Engine]:
    """Return what is to be run and by what; a CallError is of the call, whatever its target."""
    try:
        engine = engines.choose(request.engine, request.profile, _Manifest(found))
        plan = engine.plan(request.profile, request.options)
        _check_profile(request, plan)
        return plan, engine
    except CallError as error:
        error.whatever_target = True
        raise


def check(request: Request) -> None:
    """Raise CallError for what is wrong whatever the target is, as far as it shows without a bundle."""
    _check_options(request)
    if request.threshold:
        threshold.load(request.threshold)
    runs.check_place(request.report_dir)
    engine = engines.choose(request.engine, request.profile, _Manifest(_no_bundle))
    with contextlib.suppress(_NoBundleError):
        _check_profile(request, engine.plan(request.profile, request.options))


def _check_profile(request: Request, plan: Plan) -> None:
    """Raise CallError unless the profile, as it was read for this run, is the one that was pinned."""
    if request.profile_sha256 and request.profile_sha256 != plan.sha256:
        raise CallError(
            f"the profile {visible(plan.title, 200)} has SHA-256 {plan.sha256}, "
            f"and --profile-sha256 asks for {request.profile_sha256}",
            "find out why it changed (SCAP content comes with the bundle) before you pin the new hash, which "
            "`invoke profiles --profile P` prints",
        )


class _NoBundleError(Exception):
    """What is asked can't be told without a bundle."""


def _no_bundle() -> NoReturn:
    raise _NoBundleError


def _trusting(request: Request) -> dict[str, bool]:
    """Return which flags trust more than the confinement does, and whether they were given."""
    return {
        "--trust-target": request.entering.trust_target,
        "--include-remote-mounts": request.entering.remote_mounts,
        "--privileged": request.auditing.privileged,
    }


def _check_options(request: Request) -> None:
    formats.require(request.formats)
    entering = request.entering
    if entering.require_confinement not in {"", confinement.FULL}:
        raise CallError(
            f"there is no confinement {entering.require_confinement!r}",
            f"write --require-confinement {confinement.FULL}, or leave it out",
        )
    against = entering.lifted() + [flag for flag, given in _trusting(request).items() if given]
    if entering.require_confinement and against:
        raise CallError(
            f"--require-confinement {confinement.FULL} does not go with {' and '.join(against)}",
            "leave the one or the other out",
        )
    if not request.timeout > 0:
        raise CallError(f"a time-out of {request.timeout:g} seconds is none", "give a number above 0")


class _Teller:
    """Passes on what a runtime tells, which is where one that takes long learns that it is to end."""

    def __init__(self, watcher: Watcher, stop: Stop) -> None:
        self._watcher = watcher
        self._stop = stop

    def __call__(self, text: str) -> None:
        self._stop.check()
        self._watcher.phase(text)


class _Manifest(Mapping[str, Any]):
    """The manifest of a bundle that is found, or built, when it is first looked at."""

    def __init__(self, found: Bundles) -> None:
        self._found = found

    def __getitem__(self, key: str) -> Any:
        return self._found().manifest[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found().manifest)

    def __len__(self) -> int:
        return len(self._found().manifest)


@dataclass
class _Scan:
    request: Request
    bundle: Bundle
    watcher: Watcher
    runtime: Runtime
    engine: Engine
    plan: Plan
    folder: Path
    outcome: Outcome = field(default_factory=Outcome)
    seen: list[Progress] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    started: str = field(default_factory=runs.now)

    def run(self, limits: threshold.Threshold | None) -> Result:
        """Run and judge; whatever happens is recorded before it is raised on."""
        try:
            report = self._evaluate()
            result = self._judge(report, limits)
        except KeyboardInterrupt:
            raise self._interrupted() from None
        except OSError as error:
            raise runs.unwritable(self.folder, error) from None
        except BarescanError as error:
            if self.runtime.stop.asked:  # whatever broke, broke because of that
                raise self._interrupted() from None
            self._record_failure(error)
            raise
        self._record(status=result.status, complete=True)
        return result

    def _interrupted(self) -> InterruptedScanError:
        error = _interrupted()
        self._record_failure(error)
        return error

    def _evaluate(self) -> dict[str, Any]:
        request = self.request
        job = {
            **self.runtime.job(),
            "bundle": str(self.bundle.path),
            "argv": list(self.plan.argv),
            "env": dict(self.plan.env),
            "outputs": list(self.plan.outputs),
            "unpack": dict(self.plan.unpack),
            "timeout": request.timeout,
            **asdict(request.entering),
        }
        version = self.bundle.manifest["engines"][self.engine.name]["version"]
        self.watcher.chosen(self.plan.title, f"{self.engine.name} {version}")
        self._warn(self.plan.warnings)
        self.watcher.planned(self.plan.total)
        # Beside the report: a client that is killed leaves nothing anywhere else.
        with tempfile.TemporaryDirectory(prefix=".raw-", dir=self.folder) as temporary:
            self._converse(job, Path(temporary))
            if not self.outcome.complete or self.outcome.exit_status is None:
                raise ScanError("the scan did not come to its end", "run again; if it stays so, report it")
            self.runtime.check(self.outcome.facts)
            self._check_confinement()
            raw = RawResult(self.outcome.exit_status, self.outcome.outputs, self.outcome.stderr)
            report = self.engine.to_hdf(self.plan, raw, target=request.target)
        self._warn(self.engine.warnings(self.plan, report))
        return report

    def _check_confinement(self) -> None:
        """Raise ScanError when the agent does not say of every layer that it was on, where all had to be."""
        if self.request.entering.require_confinement and (lacking := confinement.lacking(self.outcome.facts)):
            raise ScanError(
                f"the full confinement is required, and the agent does not say that it was: {lacking[0]}",
                "use client and auditor of one version",
            )

    def _warn(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.warnings.append(text)
            self.watcher.warning(text)

    def _converse(self, job: dict[str, Any], folder: Path) -> None:
        with (
            self.runtime.attach(self.bundle.path, self.request.timeout) as connection,
            self.runtime.stop.calling(connection.abort),
        ):
            self.watcher.phase(SCANNING)
            try:
                converse(connection, job, self.plan.files, folder, self._on_line, self.outcome)
            except ScanError as error:
                broke = error
            else:
                return
        self.runtime.stop.check()
        # The agent's own words are complete only once it has ended.
        raise self.runtime.explained(broke, connection.complaint)

    def _on_line(self, line: str) -> None:
        progress = self.engine.progress(line)
        if progress:
            if len(self.seen) < _MOST_SEEN:
                self.seen.append(progress)
            self.watcher.control(progress)
        elif len(self.log) < 10_000:
            self.log.append(line[:2000])

    def _judge(self, report: dict[str, Any], limits: threshold.Threshold | None) -> Result:
        summary = hdf.summarise(report)
        if summary.total == 0:
            raise ScanError(
                "the profile holds no control for this target", "found nothing is not clean: check it"
            )
        if summary.total == summary.count(hdf.Status.NOT_APPLICABLE):
            raise self._nothing_applies(report)
        verdict = threshold.judge(limits, report) if limits else None
        self._describe(report)
        hdf.write(report, self.folder / "report.hdf.json")
        formats.write_all(report, self.request.formats, self.folder)
        status = exit_status(summary, verdict)
        seconds = self.outcome.engine_seconds
        return Result(self.folder, report, summary, verdict, status, self.outcome.facts, seconds)

    def _nothing_applies(self, report: dict[str, Any]) -> ScanError:
        found = self._os_release()
        system = " ".join(filter(None, (found.get("ID"), found.get("VERSION_ID"))))
        target = f"it is {visible(system, 200)} by its os-release" if system else "it has no os-release"
        asked = ", ".join(
            visible(str(each["platform"]), 100)
            for profile in report["profiles"]
            for each in profile.get("supports") or []
            if isinstance(each, dict) and "platform" in each
        )
        which = "controls named by --controls" if self.plan.controls else "profile's controls"
        remedy = "use a profile for its system: `invoke profiles` lists those of the bundle"
        if system and all(word in asked for word in system.split()):
            remedy = "its content tells systems by more than os-release, often by the package database"
        return ScanError(
            f"none of the {which} applies to this target: {target}"
            + (f", the profile is for {asked}" if asked else ""),
            remedy,
        )

    def _describe(self, report: dict[str, Any]) -> None:
        """Say in the report which system was found in the target, and by hash which profile was run."""
        system = self._os_release()
        if system.get("ID"):
            report["platform"] |= {"name": system["ID"], "release": system.get("VERSION_ID", "")}
        report.setdefault("passthrough", {})["barescan"] = {
            "lifted": self.request.entering.lifted(),
            "confinement": confinement.of(self.outcome.facts),
        }
        for profile in report["profiles"]:
            profile["sha256"] = profile.get("sha256") or self.plan.sha256

    def _os_release(self) -> dict[str, str]:
        """Return the target's os-release, texts by name as the receiver of facts has checked."""
        return dict(self.outcome.facts.get("os_release", {}))

    def _record_failure(self, error: BarescanError) -> None:
        self._record(
            status=error.status, complete=False, error={"cause": error.cause, "remedy": error.remedy}
        )
        if self.seen:
            seen = [{"control": progress.control, "status": progress.status} for progress in self.seen]
            runs.write_json(
                self.folder / "report.partial.json", {"complete": False, "reason": error.cause, "seen": seen}
            )
            error.kept = f"what was seen by then is marked as partial in {self.folder}"
        else:
            error.kept = f"no control had finished; the record of the scan is {self.folder}/scan.json"

    def _record(self, *, status: int, complete: bool, error: dict[str, str] | None = None) -> None:
        log = "\n".join([*self.log, self.outcome.stderr])
        if log.strip():
            lines = "".join(f"{visible(line)}\n" for line in log.splitlines())
            write_new(lines.encode(), self.folder / "engine.log")
        manifest = self.bundle.manifest
        facts = {key: value for key, value in self.outcome.facts.items() if key != confinement.FACT}
        content = {
            "barescan": toolkit.__version__,
            "target": {**facts, **self.runtime.facts(), "uri": self.request.target},
            "profile": {"name": self.plan.title, "sha256": self.plan.sha256},
            "engine": {"name": self.engine.name, **manifest["engines"][self.engine.name]},
            "bundle": {"architecture": manifest.get("architecture"), "sha256": manifest.get("sha256")},
            "confinement": confinement.of(self.outcome.facts),
            "lifted": self.request.entering.lifted(),
            "trusted": [flag for flag, given in _trusting(self.request).items() if given],
            "required_confinement": self.request.entering.require_confinement or None,
            "started": self.started,
            "ended": runs.now(),
            "engine_seconds": self.outcome.engine_seconds,
            "status": status,
            "complete": complete,
            "warnings": self.warnings,
            "error": error,
        }
        runs.write_json(self.folder / "scan.json", content)


def exit_status(summary: hdf.Summary, verdict: threshold.Verdict | None) -> int:
    """Return 0, 100 or 101; with a threshold the gate alone decides between 0 and 100."""
    if verdict is not None:
        return 0 if verdict.met else FAILED
    if summary.count(hdf.Status.FAILED) or summary.count(hdf.Status.PROFILE_ERROR):
        return FAILED
    return NOT_REVIEWED if summary.count(hdf.Status.NOT_REVIEWED) else 0
