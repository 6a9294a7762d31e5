"""What `scan` does once its flags are read: one target with all that was found, or many with a line each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.markup import escape

from toolkit import fleet, ledger
from toolkit.cli_base import console, notes, say
from toolkit.errors import CallError, InterruptedScanError
from toolkit.fleet import Fleet, Outcome, Shard
from toolkit.ledger import Earlier, Ledger, State
from toolkit.progress import FleetWatcher, LiveWatcher
from toolkit.reports.console import TargetLine, print_summary, print_targets
from toolkit.reports.text import counted, visible
from toolkit.runtimes.base import Bundles, Selection, expand
from toolkit.scan import Request

MOST_JOBS = 256
MOST_RETRIES = 100
_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})", re.ASCII)


@dataclass(frozen=True)
class Wanted:
    """Which targets, and how the run goes about them."""

    selection: Selection = field(default_factory=Selection)
    jobs: int = fleet.DEFAULT_JOBS
    retries: int = 0
    resume: Path | None = None
    shard: Shard | None = None


def shard(text: str) -> Shard:
    """Return what `--shard I/N` says; raises CallError."""
    found = _SHARD.fullmatch(text)
    if not found or not int(found[1]) < int(found[2]):
        raise CallError(
            f"{text!r} is no shard", "write --shard I/N with I from 0 to N-1, such as --shard 0/4"
        )
    return Shard(int(found[1]), int(found[2]))


def run(request: Request, wanted: Wanted, local: Bundles) -> int:
    """Find the targets, scan them, show what came of it; return the exit status."""
    if wanted.resume:
        return _resume(request, wanted, local, ledger.load(wanted.resume))
    expanded = expand(wanted.selection, request.auditing)
    for note in expanded.notes:
        say(note)
    uris = expanded.uris
    if wanted.shard:
        uris = tuple(uri for uri in uris if wanted.shard.takes(uri))
        say(f"{len(uris)} of {counted(len(expanded.uris), 'target')} fall on shard {wanted.shard}")
    if len(uris) == 1:
        return one(replace(request, target=uris[0]), local, wanted.retries)
    more = {
        "jobs": wanted.jobs,
        "retries": wanted.retries,
        "shard": str(wanted.shard) if wanted.shard else None,
    }
    return _many(request, wanted, local, Ledger(request.report_dir, uris, ledger.asked(request, more)))


def one(request: Request, local: Bundles, retries: int = 0) -> int:
    """Scan one target and show all that was found."""
    record = Ledger(request.report_dir, [request.target], ledger.asked(request, {"retries": retries}))
    with LiveWatcher(notes, request.target) as watcher:
        result = fleet.scan_one(request, local, watcher, record, retries)
    print_summary(console, result.report, result.verdict)
    console.print(
        f"report: {escape(str(result.folder / 'report.hdf.json'))}", highlight=False, soft_wrap=True
    )
    return result.status


def _resume(request: Request, wanted: Wanted, local: Bundles, earlier: Earlier) -> int:
    if wanted.selection.targets or wanted.selection.searches or wanted.shard:
        raise CallError(
            "a run that is resumed has its targets already",
            "leave --target, --selector, --namespace, --all-namespaces and --shard out",
        )
    request = replace(request, profile=request.profile or earlier.profile)
    earlier.check(request)
    say(f"{len(earlier.done)} of {counted(len(earlier.targets), 'target')} have a result already")
    record = Ledger(request.report_dir, earlier.targets, ledger.asked(request), earlier)
    return _many(request, wanted, local, record)


def _many(request: Request, wanted: Wanted, local: Bundles, record: Ledger) -> int:
    waiting = [entry for entry in record.entries.values() if not entry.earlier]
    with FleetWatcher(notes, len(waiting)) as watcher:
        scans = Fleet(request, local, record, watcher, jobs=wanted.jobs, retries=wanted.retries)
        outcome = scans.run()
    _show(outcome)
    if outcome.status == InterruptedScanError.status:
        notes.print("[bold red]interrupted[/bold red]")
    return outcome.status


def _show(outcome: Outcome) -> None:
    entries = outcome.entries
    if entries:
        print_targets(
            console, [TargetLine(each.target, each.counts, each.status, each.cause) for each in entries]
        )
    failed = sum(entry.state is State.FAILED for entry in entries)
    not_begun = sum(entry.state is State.NOT_BEGUN for entry in entries)
    earlier = sum(entry.earlier for entry in entries)
    parts = [
        counted(len(entries), "target"),
        f"{earlier} scanned before" if earlier else "",
        f"{failed} could not be scanned" if failed else "",
        f"{not_begun} not begun" if not_begun else "",
    ]
    _print(", ".join(filter(None, parts)))
    scanned = counted(len(entries) - earlier - not_begun, "target")
    _print(f"{scanned} in {outcome.seconds:.1f} s; one by one {outcome.one_by_one:.1f} s")
    _print(f"run: {outcome.folder / ledger.NAME}")
    if failed or not_begun:
        say(f"scan those again that have no result: --resume {outcome.folder}")


def _print(text: str) -> None:
    console.print(visible(text), markup=False, highlight=False, soft_wrap=True)
