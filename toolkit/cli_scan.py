"""What `scan` does once its flags are read: one target, or many in one run, and how the outcome is shown."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.text import Text

from toolkit import fleet
from toolkit import scan as scanning
from toolkit.cli_base import complain, console, notes, say
from toolkit.errors import CallError, InterruptedScanError, ScanError
from toolkit.fleet import Outcome, Run
from toolkit.progress import LiveFleet, LiveWatcher
from toolkit.reports.console import Row, print_lifted, print_overview, print_summary
from toolkit.reports.text import counted, legible
from toolkit.runtimes.base import FORMS, Bundles, Expanded, Selection, expand

_MOST_SHARDS = 100_000
_LEFT_ENTRIES = (
    "Kubernetes keeps the entries of ephemeral containers in their pods until these are deleted; "
    "they end by themselves"
)
PROFILE_FORMS = "an InSpec profile (directory, .tar.gz, .zip), FILE.xml#PROFILE-ID, or scap:NAME#PROFILE-ID"


@dataclass(frozen=True)
class Wanted:
    """What the user wants scanned, and how; the request has all but the target."""

    request: scanning.Request
    selection: Selection = field(default_factory=Selection)
    jobs: int | None = None
    """Without it the usual number, or that of the run which is resumed; `retries` likewise."""
    retries: int | None = None
    resume: Path | None = None
    shard: str = ""


def scan_and_show(wanted: Wanted, local: Bundles) -> int:
    """Scan what is wanted, show how it went, and return the exit status."""
    if wanted.resume:
        return _resume(wanted, wanted.resume, local)
    if not wanted.selection.targets and not wanted.selection.looks:
        raise CallError(
            "no target was named",
            f"use --target with one of {', '.join(FORMS)}; or --selector, --namespace for pods of a cluster",
        )
    if not wanted.request.profile:
        raise CallError(
            "no profile was named", f"use --profile with {PROFILE_FORMS}; `invoke profiles` lists some"
        )
    part = _shard(wanted.shard)
    expanded = expand(wanted.selection, wanted.request.auditing)
    for note in expanded.notes:
        say(note)
    uris = fleet.shard(expanded.uris, *part) if part else expanded.uris
    if not uris:
        say(f"shard {wanted.shard} has none of {counted(len(expanded.uris), 'target')}: nothing to do")
        return 0
    if part:
        say(f"{len(uris)} of {counted(len(expanded.uris), 'target')} are in shard {wanted.shard}")
    if len(expanded.uris) == 1:
        return _one(uris[0], wanted, local)
    scanning.check(wanted.request)
    run = fleet.begin(uris, wanted.request, _about(wanted))
    return _many(uris, expanded, run, wanted.request, local)


def _about(wanted: Wanted) -> dict[str, Any]:
    """Return what a new run is made with."""
    return fleet.describe(
        wanted.request,
        jobs=fleet.DEFAULT_JOBS if wanted.jobs is None else wanted.jobs,
        retries=fleet.DEFAULT_RETRIES if wanted.retries is None else wanted.retries,
        shard=wanted.shard,
    )


def show_one(request: scanning.Request, local: Bundles, *, entries_stay: bool = True) -> int:
    """Scan the target of a request, show the whole summary, and return the exit status.

    `entries_stay` says whether what is added to a pod is there for longer than this process.
    """
    return _one(request.target, Wanted(request), local, entries_stay=entries_stay)


def _one(uri: str, wanted: Wanted, local: Bundles, *, entries_stay: bool = True) -> int:
    request, about = replace(wanted.request, target=uri), _about(wanted)
    if request.profile_sha256:  # before the target is so much as looked for
        scanning.check(request)
    with LiveWatcher(notes, uri) as watcher:
        result, outcome = fleet.scan_one(request, local, watcher, about, retries=about["retries"])
    print_summary(console, result.report, result.verdict)
    _tell(f"report: {result.folder / 'report.hdf.json'}")
    if entries_stay:
        _tell_of_entries([outcome])
    return result.status


def _resume(wanted: Wanted, folder: Path, local: Bundles) -> int:
    if wanted.selection.targets or wanted.selection.looks or wanted.shard:
        raise CallError(
            "a run that is resumed has its targets already",
            "leave out --target, --selector, --namespace, --all-namespaces and --shard",
        )
    about = fleet.describe(wanted.request, jobs=wanted.jobs, retries=wanted.retries)
    run, request = fleet.resume(folder, wanted.request, about)
    left = tuple(uri for uri, outcome in run.outcomes.items() if not outcome.scanned)
    if not left:
        say("every target of the run was scanned to the end: nothing to do")
        return _show(run)
    scanning.check(request)
    expanded = _expanded_anew(left, request)
    for uri in set(left) - set(expanded.uris):
        del run.outcomes[uri]
    run.outcomes |= {uri: Outcome(uri) for uri in expanded.uris if uri not in run.outcomes}
    say(f"{counted(len(expanded.uris), 'target')} of {len(run.outcomes)} left to scan")
    uris = tuple(uri for uri in expanded.uris if not run.outcomes[uri].scanned)
    return _many(uris, expanded, run, request, local)


def _expanded_anew(uris: tuple[str, ...], request: scanning.Request) -> Expanded:
    """Return what is left of a run: a pod that could not be looked up then may be there now."""
    try:
        return expand(Selection(uris), request.auditing)
    except ScanError as error:
        return Expanded(uris, failed={uris[0]: error})


def _many(
    uris: tuple[str, ...], expanded: Expanded, run: Run, request: scanning.Request, local: Bundles
) -> int:
    done = len(run.outcomes) - len(uris)
    with LiveFleet(notes, done, len(run.outcomes)) as watcher:
        fleet.scan_all(
            uris,
            request,
            local,
            run=run,
            jobs=run.about["jobs"],
            retries=run.about["retries"],
            watcher=watcher,
            failed=expanded.failed,
        )
    return _show(run, request.entering.lifted())


def _show(run: Run, lifted: Iterable[str] = ()) -> int:
    outcomes = list(run.outcomes.values())
    print_lifted(console, lifted)
    print_overview(console, map(_row, outcomes))
    _tell(_sentence(outcomes, run.seconds))
    _tell(f"reports: {run.folder}")
    _tell_of_entries(outcomes)
    status = fleet.exit_status(outcomes)
    if run.trouble:
        complain(run.trouble.cause, run.trouble.remedy)
        if status not in {CallError.status, InterruptedScanError.status}:
            status = ScanError.status
    if any(each.status in {None, InterruptedScanError.status} for each in outcomes):
        _tell(f"scan the rest with --resume {run.folder}")
    elif not all(each.scanned for each in outcomes):
        _tell(f"scan those that failed again with --resume {run.folder}")
    return status


def _tell(text: str) -> None:
    """Print a line of the result; what to do next goes there too, not where a capture would put it before."""
    console.print(Text(legible(text)), highlight=False, soft_wrap=True)


def _row(outcome: Outcome) -> Row:
    if outcome.status is None:
        return Row(outcome.uri, None, "not begun")
    return Row(outcome.uri, outcome.summary, str(outcome.status), outcome.cause, outcome.remedy)


def _sentence(outcomes: list[Outcome], seconds: float) -> str:
    """Return how many targets took how long, and how many of them came to nothing."""
    now = [each for each in outcomes if not each.earlier and each.status is not None]
    parts = []
    if now:
        alone = sum(each.seconds for each in now)
        parts.append(f"{counted(len(now), 'target')} in {seconds:.1f} s")
        if len(now) > 1:
            parts.append(f"one after another they would have taken {alone:.1f} s")
    failed = sum(each.status is not None and not each.scanned for each in outcomes)
    idle = sum(each.status is None for each in outcomes)
    before = sum(each.earlier for each in outcomes)
    parts += [f"{failed} could not be scanned"] if failed else []
    parts += [f"{idle} were not begun"] if idle else []
    parts += [f"{before} had been scanned before"] if before else []
    return "; ".join(parts)


def _tell_of_entries(outcomes: Iterable[Outcome]) -> None:
    if fleet.added_auditors(outcomes):
        _tell_of_entries_once()


@functools.cache
def _tell_of_entries_once() -> None:
    say(_LEFT_ENTRIES)


def _shard(text: str) -> tuple[int, int] | None:
    """Read I/N; raises CallError for anything else."""
    if not text:
        return None
    index, _, count = text.partition("/")
    last = ""
    if all(each.isascii() and each.isdigit() and len(each) < 7 for each in (index, count)) and (
        0 < int(count) <= _MOST_SHARDS
    ):
        if int(index) < int(count):
            return int(index), int(count)
        last = f": parts count from 0, and the last is {int(count) - 1}/{int(count)}"
    raise CallError(
        f"{text!r} is no shard{last}",
        "write --shard I/N, with I from 0 to N-1; in an Indexed Job $(JOB_COMPLETION_INDEX)/N",
    )
