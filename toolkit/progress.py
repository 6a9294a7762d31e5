"""Live progress of scans on a terminal, or lines where there is none."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from toolkit.engines.base import Progress as Control
from toolkit.errors import BarescanError, InterruptedScanError
from toolkit.fleet import Listener
from toolkit.ledger import Entry, State
from toolkit.reports.hdf import Status
from toolkit.reports.text import counted, visible
from toolkit.scan import Watcher

_EVERY_SECONDS = 10
"""How often it is said how far it is, where no bar is drawn."""
_WORSE_FIRST = ("fail", "failed", "error")
_LONGEST_NAME = 60
"""Characters of a target in one line among others."""


class _Display:
    """A console with bars on it where it is a terminal; a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> None:
        try:
            self.bar.start()
        except BaseException:
            self.bar.stop()  # or the cursor stays hidden
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def say(self, text: str) -> None:
        self.console.print(f"[dim]{escape(visible(text))}[/dim]", highlight=False, soft_wrap=True)

    def stress(self, word: str, style: str, text: str) -> None:
        words = Text.assemble((f"{word}: ", style), visible(text))
        self.console.print(words, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        self.stress("warning", "bold yellow", text)


class _Row(Watcher):
    """One scan as a bar among others: its step, then how many controls have finished and failed."""

    def __init__(self, display: _Display, target: str) -> None:
        self._display = display
        self._target = target
        self._task: TaskID = display.bar.add_task(escape(visible(target)), total=None)
        self._total: int | None = None
        self._finished = 0
        self._failed = 0

    def remove(self) -> None:
        """Take the bar away."""
        self._display.bar.remove_task(self._task)

    def _describe(self, text: str) -> None:
        self._display.bar.update(
            self._task, description=f"{escape(visible(self._target))}  {escape(visible(text))}"
        )

    def phase(self, name: str) -> None:
        """Say what begins."""
        self._describe(name)

    def warning(self, text: str) -> None:
        """Show it at once, above the bars."""
        self._display.warn(text)

    def planned(self, total: int | None) -> None:
        """Take the number of controls."""
        self._total = total
        self._display.bar.update(self._task, total=total)

    def control(self, progress: Control) -> None:
        """Advance by one."""
        self._finished += 1
        self._failed += progress.status in _WORSE_FIRST
        self._describe(f"{self._failed} failed")
        self._display.bar.update(self._task, completed=self._finished)

    def again(self, error: BarescanError) -> None:
        """Say why, and count anew."""
        self._finished = self._failed = 0
        self._display.bar.update(self._task, completed=0)
        self._display.warn(f"{self._target} is scanned again: {error.cause}")


class LiveWatcher(_Row):
    """Shows the only scan there is; used as a context manager around it."""

    def __init__(self, console: Console, target: str) -> None:
        """Show on `console`; `target` is how the user wrote it."""
        super().__init__(_Display(console), target)
        self._drawn = console.is_terminal
        self._said = time.monotonic()

    def __enter__(self) -> LiveWatcher:
        """Start to draw."""
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to draw and leave a clean line."""
        self._display.__exit__(kind, error, trace)
        self._count()

    def chosen(self, profile: str, engine: str) -> None:
        """Say what is run."""
        self._display.say(f"profile {profile}, by {engine}")

    def phase(self, name: str) -> None:
        """Say what begins: in the bar, or in a line of its own where nothing is drawn."""
        if self._drawn:
            super().phase(name)
        else:
            self._display.say(f"{name}: {self._target}")

    def control(self, progress: Control) -> None:
        """Advance by one."""
        super().control(progress)
        if time.monotonic() - self._said >= _EVERY_SECONDS:
            self._said = time.monotonic()
            self._count()

    def _count(self) -> None:
        """Say how far it is, where nothing is drawn."""
        if self._finished and not self._drawn:
            done = f"{self._finished} of {self._total} controls" if self._total else ""
            self._display.say(f"{done or counted(self._finished, 'control')}, {self._failed} failed")


class FleetWatcher(Listener):
    """Shows many scans: a bar for each that runs and one for all, or a line when one begins and ends."""

    def __init__(self, console: Console, total: int) -> None:
        """Show on `console`; `total` is the number of targets that will be scanned."""
        self._display = _Display(console)
        self._total = total
        self._all = self._display.bar.add_task(counted(total, "target"), total=total)
        self._rows: dict[int, _OneOfMany] = {}
        self._lock = threading.Lock()
        self._told: set[str] = set()

    def __enter__(self) -> FleetWatcher:
        """Start to draw."""
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to draw and leave a clean line."""
        self._display.__exit__(kind, error, trace)

    def watch(self, number: int, uri: str) -> Watcher:
        """Say that a target begins."""
        if not self._display.console.is_terminal:
            self._display.say(f"[{number}/{self._total}] {uri}")
        self._rows[number] = row = _OneOfMany(self, self._display, visible(uri, _LONGEST_NAME))
        return row

    def ended(self, number: int, entry: Entry) -> None:
        """Say what came of a target; an error at once also where bars are drawn."""
        if row := self._rows.pop(number, None):
            row.remove()
        self._display.bar.advance(self._all)
        name = f"[{number}/{self._total}] {entry.target}"
        seconds = f"({entry.seconds:.1f} s)"
        if entry.status == InterruptedScanError.status:
            return
        if entry.state is State.FAILED:
            remedy = f" → {entry.remedy}" if entry.remedy else ""
            self._display.stress("error", "bold red", f"{name} {entry.cause}{remedy} {seconds}")
        elif entry.state is State.COMPLETE and not self._display.console.is_terminal:
            self._display.say(f"{name} {_verdict(entry)} {seconds}")

    def ending(self) -> None:
        """Say that it was heard: what runs takes a moment to end."""
        self._display.warn("interrupted; what runs is being ended")

    def once(self, text: str, *, warning: bool = False) -> None:
        """Say what is the same for all targets, or for many, once."""
        with self._lock:
            if text in self._told:
                return
            self._told.add(text)
        if warning:
            self._display.warn(text)
        else:
            self._display.say(text)


class _OneOfMany(_Row):
    """One scan of many: what it has in common with the others is said once."""

    def __init__(self, fleet: FleetWatcher, display: _Display, target: str) -> None:
        super().__init__(display, target)
        self._fleet = fleet

    def chosen(self, profile: str, engine: str) -> None:
        self._fleet.once(f"profile {profile}, by {engine}")

    def warning(self, text: str) -> None:
        self._fleet.once(text, warning=True)


def _verdict(entry: Entry) -> str:
    found = entry.counts or {}
    words = {Status.FAILED: "failed", Status.PROFILE_ERROR: "in error", Status.NOT_REVIEWED: "not reviewed"}
    said = [f"{found[status]} {word}" for status, word in words.items() if found.get(status)]
    return ", ".join(said) or "passed"
