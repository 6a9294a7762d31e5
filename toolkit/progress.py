"""Live progress of scans on a terminal, or lines where there is none: of one, or of many at a time."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from toolkit.engines.base import Progress as Control
from toolkit.fleet import FleetWatcher, Outcome
from toolkit.reports.hdf import Status
from toolkit.reports.text import counted, visible
from toolkit.scan import Watcher

_EVERY_SECONDS = 10
"""How often it is said how far it is, where no bar is drawn."""
_WORSE_FIRST = ("fail", "failed", "error")
_LONGEST_CAUSE = 400
_LONGEST_REMEDY = 8000
"""A next step is never cut in a sentence that is meant to be read."""


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),  # else `:x:` and brackets of a name are obeyed
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class _Drawn:
    """Draws its bars for as long as it is entered."""

    _bars: Progress

    def __enter__(self) -> Self:
        """Start to draw."""
        try:
            self._bars.start()
        except BaseException:
            self._bars.stop()  # or the cursor stays hidden
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to draw and leave a clean line."""
        self._bars.stop()


class _Line(Watcher):
    """The line of one target among the bars: what it is at, and how many controls have finished."""

    def __init__(self, console: Console, bars: Progress, target: str) -> None:
        self._console = console
        self._bars = bars
        self._target = visible(target, _LONGEST_CAUSE)
        self._task = bars.add_task(self._target, total=None)
        self._total: int | None = None
        self._finished = 0
        self._failed = 0

    def warning(self, text: str) -> None:
        """Show it at once, above the bar."""
        words = Text.assemble(("warning: ", "bold yellow"), visible(text, _LONGEST_CAUSE))
        self._console.print(words, highlight=False, soft_wrap=True)

    def phase(self, name: str) -> None:
        """Say what begins."""
        self._describe(name)

    def planned(self, total: int | None) -> None:
        """Take the number of controls, of which none has finished: a scan may be tried again."""
        self._total, self._finished, self._failed = total, 0, 0
        self._bars.update(self._task, total=total, completed=0)

    def control(self, progress: Control) -> None:
        """Advance by one."""
        self._finished += 1
        self._failed += progress.status in _WORSE_FIRST
        self._bars.update(self._task, advance=1)
        self._describe(f"{self._failed} failed")

    def remove(self) -> None:
        """Take the line away."""
        self._bars.remove_task(self._task)

    def _describe(self, text: str) -> None:
        self._bars.update(self._task, description=f"{self._target}  {visible(text, _LONGEST_CAUSE)}")


class LiveWatcher(_Drawn, _Line):
    """The one scan there is; used as a context manager around it. Says what begins where nothing is drawn."""

    def __init__(self, console: Console, target: str) -> None:
        """Show on `console`; `target` is how the user wrote it."""
        super().__init__(console, _bars(console), target)
        self._said = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to draw, and say how far it came where nothing was drawn."""
        super().__exit__(kind, error, trace)
        self._count()

    def chosen(self, profile: str, engine: str) -> None:
        """Say what is run."""
        self._say(f"profile {profile}, by {engine}")

    def _say(self, text: str) -> None:
        words = Text(visible(text, _LONGEST_CAUSE), "dim")
        self._console.print(words, highlight=False, soft_wrap=True)

    def _count(self) -> None:
        """Say how far it is, where nothing is drawn."""
        if self._finished and not self._console.is_terminal:
            of = f" of {self._total}" if self._total else ""
            done = f"{self._finished}{of} controls" if of else counted(self._finished, "control")
            self._say(f"{done}, {self._failed} failed")

    def phase(self, name: str) -> None:
        """Say what begins: in the bar, or in a line of its own where nothing is drawn."""
        super().phase(name)
        if not self._console.is_terminal:
            self._say(f"{name}: {self._target}")

    def control(self, progress: Control) -> None:
        """Advance by one."""
        super().control(progress)
        if time.monotonic() - self._said >= _EVERY_SECONDS:
            self._said = time.monotonic()
            self._count()


class _OneOfMany(_Line):
    """A line among those of other targets: what warns of the call itself is said for the first of them."""

    def __init__(self, console: Console, bars: Progress, target: str, told: dict[str, object]) -> None:
        super().__init__(console, bars, target)
        self._told = told

    def warning(self, text: str) -> None:
        """Show it, unless another target did."""
        if self._told.setdefault(text, self) is self:
            super().warning(text)


class LiveFleet(_Drawn, FleetWatcher):
    """A line for each target that is being scanned, below the bar of all; used as a context manager.

    What has ended is told in a line that stays: where nothing is drawn each target, as it is told when one
    begins; else only errors.
    """

    def __init__(self, console: Console, done: int, total: int) -> None:
        """Show on `console`; `done` of `total` targets had been scanned before."""
        self._console = console
        self._bars = _bars(console)
        self._all = self._bars.add_task("all targets", total=total, completed=done)
        self._begun = itertools.count(done + 1)
        self._total = total
        self._told: dict[str, object] = {}

    @contextlib.contextmanager
    def target(self, uri: str) -> Iterator[Watcher]:
        """Give a target its line for as long as it is scanned."""
        if not self._console.is_terminal:
            begun = f"[{next(self._begun)}/{self._total}] {visible(uri, _LONGEST_CAUSE)}: begins"
            self._console.print(Text(begun, style="dim"), highlight=False, soft_wrap=True)
        line = _OneOfMany(self._console, self._bars, uri, self._told)
        try:
            yield line
        finally:
            line.remove()

    def finished(self, outcome: Outcome, done: int, total: int) -> None:
        """Say how it went."""
        self._bars.update(self._all, completed=done)
        if self._console.is_terminal and outcome.scanned:
            return
        self._console.print(_ended(outcome, f"[{done}/{total}] "), highlight=False, soft_wrap=True)

    def interrupted(self) -> None:
        """Say why it does not end at once."""
        self._console.print("[bold red]interrupted:[/bold red] the scans that run are being ended")


def _ended(outcome: Outcome, count: str) -> Text:
    line = Text(f"{count}{visible(outcome.uri, _LONGEST_CAUSE)}: ")
    if outcome.summary is None:
        line.append("error: ", "bold red")
        line.append(visible(outcome.cause, _LONGEST_CAUSE))
        line.append(f" → {visible(outcome.remedy, _LONGEST_REMEDY)}" if outcome.remedy else "")
        return line.append(visible(f"; {outcome.kept}") if outcome.kept else "")
    return line.append(f"{outcome.summary.count(Status.FAILED)} failed, {outcome.seconds:.1f} s")
