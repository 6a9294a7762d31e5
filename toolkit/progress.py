"""Live progress of a scan on a terminal, or one line a phase where there is none."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
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
from toolkit.reports.text import counted, visible
from toolkit.scan import Watcher

_EVERY_SECONDS = 10
"""How often it is said how far it is, where no bar is drawn."""
_WORSE_FIRST = ("fail", "failed", "error")


class LiveWatcher(Watcher):
    """Counts finished controls; used as a context manager around one scan."""

    def __init__(self, console: Console, target: str) -> None:
        """Show on `console`; `target` is how the user wrote it."""
        self._console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._target = target
        self._total: int | None = None
        self._finished = 0
        self._said = time.monotonic()
        self._task = self._bar.add_task(escape(target), total=None)
        self._failed = 0

    def __enter__(self) -> LiveWatcher:
        """Start to draw."""
        try:
            self._bar.start()
        except BaseException:
            self._bar.stop()  # or the cursor stays hidden
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to draw and leave a clean line."""
        self._bar.stop()
        self._count()

    def chosen(self, profile: str, engine: str) -> None:
        """Say what is run."""
        self._say(f"profile {profile}, by {engine}")

    def warning(self, text: str) -> None:
        """Show it at once, above the bar."""
        words = Text.assemble(("warning: ", "bold yellow"), visible(text))
        self._console.print(words, highlight=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        self._console.print(f"[dim]{escape(visible(text))}[/dim]", highlight=False, soft_wrap=True)

    def _count(self) -> None:
        """Say how far it is, where nothing is drawn."""
        if self._finished and not self._console.is_terminal:
            of = f" of {self._total}" if self._total else ""
            done = f"{self._finished}{of} controls" if of else counted(self._finished, "control")
            self._say(f"{done}, {self._failed} failed")

    def phase(self, name: str) -> None:
        """Say what begins: in the bar, or in a line of its own where nothing is drawn."""
        if self._console.is_terminal:
            self._bar.update(self._task, description=f"{escape(self._target)}  {escape(name)}")
        else:
            self._say(f"{name}: {self._target}")

    def planned(self, total: int | None) -> None:
        """Take the number of controls."""
        self._total = total
        self._bar.update(self._task, total=total)

    def control(self, progress: Control) -> None:
        """Advance by one."""
        self._finished += 1
        self._failed += progress.status in _WORSE_FIRST
        if time.monotonic() - self._said >= _EVERY_SECONDS:
            self._said = time.monotonic()
            self._count()
        self._bar.update(self._task, advance=1, description=f"{escape(self._target)}  {self._failed} failed")
