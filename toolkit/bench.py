"""Measurements: entering, whole scans against the engine run natively, memory, size of the bundle.

Times of one machine drift, so a scan is measured in turns with its native twin, and a ratio reported.
"""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from toolkit import engines
from toolkit.auditor import ADDING, Auditing
from toolkit.bundle.archive import bundle_size, compressed_size
from toolkit.bundle.build import Bundle
from toolkit.demo import native, targets, trees
from toolkit.demo.targets import RunningTarget
from toolkit.engines.base import Options
from toolkit.errors import CallError
from toolkit.runtimes.base import resolve
from toolkit.runtimes.session import Outcome, converse
from toolkit.scan import SCANNING, Request, Watcher, scan

_ONE = Options(controls=("BARE-DL-000040",))
_BESIDE = ("docker", "podman", "k8s-container")
_PACKAGES = ("openscap-scanner", "ssg-debderived", "ssg-debian")
_SCANS = {"debian12": "anssi_bp28_high", "ubuntu2204": "stig"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Figure:
    """One measurement with its goal; `met` is None where there is no goal."""

    name: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        """Say whether the goal is met (at most)."""
        return None if self.goal is None else self.value <= self.goal

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` writes."""
        return asdict(self) | {"met": self.met}


def entering(bundle: Bundle, uri: str, rounds: int) -> list[Figure]:
    """Measure how long the agent takes from finding the target to having given up its privileges."""
    entered, whole = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        outcome = _run(bundle, uri, ["/sys/firmware/bin/true"])
        whole.append(time.perf_counter() - began)
        entered.append(float(outcome.facts["target"]["entered_ms"]))
    return [
        Figure("entering, median", round(statistics.median(entered), 2), "ms", 10),
        Figure("entering, slowest", round(max(entered), 2), "ms"),
        Figure(
            "agent started, one program run in the target, median", round(statistics.median(whole), 3), "s"
        ),
    ]


def _run(bundle: Bundle, uri: str, argv: list[str]) -> Outcome:
    runtime, outcome = resolve(uri), Outcome()
    job = {**runtime.job(), "bundle": str(bundle.path), "argv": argv, "env": {}, "outputs": []}
    with tempfile.TemporaryDirectory() as folder, runtime.attach(bundle.path, 60) as connection:
        converse(connection, job | {"timeout": 60.0}, (), Path(folder), lambda _: None, outcome)
    return outcome


def against_native(
    bundle: Bundle,
    target: RunningTarget,
    profile: str,
    run_natively: Callable[[], object],
    rounds: int,
    say: Say,
) -> list[Figure]:
    """Scan a full tree and run its own engine in it, in turns."""
    ours: list[float] = []
    theirs: list[float] = []
    name = profile if profile.startswith("scap:") else Path(profile).name
    for turn in range(rounds):
        say(f"{name}: turn {turn + 1} of {rounds}")
        with _timed(theirs):
            run_natively()
        with _timed(ours), tempfile.TemporaryDirectory() as reports:
            scan(Request(target.uri, profile, report_dir=Path(reports)), lambda: bundle)
    median, native_median = statistics.median(ours), statistics.median(theirs)
    extra = median - native_median
    figures = [
        Figure(f"{name}: whole scan, median", round(median, 2), "s"),
        Figure(f"{name}: engine natively, median", round(native_median, 2), "s"),
        Figure(f"{name}: on top of native", round(extra, 2), "s", 0.5 if native_median < 10 else None),
    ]
    goal = 1.1 if native_median >= 10 else None
    return [
        *figures,
        Figure(f"{name}: whole scan / native", round(median / native_median, 2), "times", goal),
    ]


@contextlib.contextmanager
def _timed(times: list[float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    times.append(time.perf_counter() - began)


def memory() -> list[Figure]:
    """Return the largest resident set of this process and of any process it waited for, getrusage(2)."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return [
        Figure("peak memory, client", round(own), "MiB"),
        Figure("peak memory, largest child", round(children), "MiB"),
    ]


def size(bundle: Bundle) -> list[Figure]:
    """Measure the bundle without its SCAP content, unpacked and as zstd -19."""
    unpacked = bundle_size(bundle.path, content=False)
    content = bundle_size(bundle.path) - unpacked
    compressed = compressed_size(bundle.path, content=False)
    return [
        Figure("bundle without SCAP content, unpacked", round(unpacked / 1e6, 1), "MB", 85),
        Figure("bundle without SCAP content, zstd -19", round(compressed / 1e6, 1), "MB", 25),
        Figure("SCAP content, compressed as it lies there", round(content / 1e6, 1), "MB"),
    ]


def all_figures(bundle: Bundle, rounds: int, say: Say) -> list[Figure]:
    """Measure everything, on a demo target and on a full tree that has the engine itself."""
    distroless = targets.up("bench", "base", say)
    try:
        say("entering a distroless target")
        figures = entering(bundle, distroless.uri, 10 * rounds)
    finally:
        targets.down("bench")
    for name, profile in _SCANS.items():
        figures += _openscap(bundle, name, profile, rounds, say)
    if "cinc" in bundle.manifest["engines"]:
        figures += _auditor(bundle, rounds, say)
    return [*figures, *memory(), *size(bundle)]


def beside(target: str, auditing: Auditing, rounds: int, say: Say) -> list[Figure]:
    """Measure one control in a running container, by parts: its own time, the engine's, the rest.

    In a pod the time runs from the patch that adds the auditor, whose image has to be on the node. Raises
    CallError before anything else for what is no container.
    """
    runtime = resolve(target, auditing)
    runtime.close()
    if runtime.scheme not in _BESIDE:
        raise CallError(
            f"{target} is not measured: no auditor runs beside it",
            f"name a running container: {', '.join(f'{scheme}://' for scheme in _BESIDE)}",
        )
    whole, engine, brought = [], [], []
    for turn in range(rounds):
        say(f"one control in {target}: turn {turn + 1} of {rounds}")
        clock = _Clock()
        with tempfile.TemporaryDirectory() as reports:
            request = Request(
                target, str(engines.BASELINE), options=_ONE, report_dir=Path(reports), auditing=auditing
            )
            result = scan(request, _of_no_host, clock)
        whole.append(time.perf_counter() - clock.began)
        brought.append(clock.beside - clock.began)
        engine.append(result.seconds)
    rest = [each - own - start for each, own, start in zip(whole, engine, brought, strict=True)]
    return [
        Figure(
            "one control, from adding the auditor to the report, median",
            round(statistics.median(whole), 2),
            "s",
            2.5 if target.startswith("k8s-container://") else None,
        ),
        Figure("one control, slowest", round(max(whole), 2), "s"),
        Figure("of it: until the auditor is there, median", round(statistics.median(brought), 2), "s"),
        Figure("of it: the engine's own time, median", round(statistics.median(engine), 2), "s"),
        Figure("of it: barescan's on top, median", round(statistics.median(rest), 2), "s"),
    ]


class _Clock(Watcher):
    """Notes when the auditor began to be brought, and when it was there."""

    def __init__(self) -> None:
        self.began = self.beside = time.perf_counter()

    def phase(self, name: str) -> None:
        if name == ADDING:
            self.began = time.perf_counter()
        elif name == SCANNING:
            self.beside = time.perf_counter()


def _of_no_host() -> NoReturn:
    raise AssertionError("a container's auditor has its bundle")


def _openscap(bundle: Bundle, name: str, profile: str, rounds: int, say: Say) -> list[Figure]:
    """Compare in a tree that has the same version of oscap and passes for the system of the content."""
    command = native.openscap_command(name, profile)
    with _full_tree(f"bench-{name}", _PACKAGES, lambda root: trees.pass_for(root, name), say) as target:
        return against_native(
            bundle, target, f"scap:{name}#{profile}", lambda: target.run(command), rounds, say
        )


def _auditor(bundle: Bundle, rounds: int, say: Say) -> list[Figure]:
    """Compare in a tree that has Ruby, with the bundle's own gems."""

    def furnish(root: Path) -> None:
        native.furnish(root, bundle.path / "gems", engines.BASELINE)

    command, environment = native.auditor_command(), native.AUDITOR_ENVIRONMENT
    with _full_tree("bench-auditor", native.AUDITOR_PACKAGES, furnish, say) as target:
        return against_native(
            bundle, target, str(engines.BASELINE), lambda: target.run(command, environment), rounds, say
        )


@contextlib.contextmanager
def _full_tree(
    name: str, packages: Iterable[str], change: Callable[[Path], None], say: Say
) -> Iterator[RunningTarget]:
    with tempfile.TemporaryDirectory() as folder:
        root = trees.tree("stable", packages, dest=Path(folder) / "root", progress=say)
        change(root)
        try:
            yield targets.run_inside(root, name)
        finally:
            targets.down(name)


def print_table(console: Console, figures: list[Figure]) -> None:
    """Print the figures for people."""
    table = Table("what", "value", "goal", "met")
    for figure in figures:
        goal = "" if figure.goal is None else f"≤ {figure.goal:g} {figure.unit}"
        met = {None: "", True: "yes", False: "[red]no[/red]"}[figure.met]
        table.add_row(figure.name, f"{figure.value:g} {figure.unit}", goal, met)
    console.print(table)


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {"kernel": os.uname().release, "architecture": os.uname().machine, "cores": os.cpu_count()}
