"""Live progress of a scan on a terminal, or one line a phase where there is none."""

from __future__ import annotations

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

from toolkit.engines.base import Progress as Control
from toolkit.scan import Watcher

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
        self._task = self._bar.add_task(escape(target), total=None)
        self._failed = 0

    def __enter__(self) -> LiveWatcher:
        """Start to draw."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to draw and leave a clean line."""
        self._bar.stop()

    def phase(self, name: str) -> None:
        """Say what begins: in the bar, or in a line of its own where nothing is drawn."""
        if self._console.is_terminal:
            self._bar.update(self._task, description=f"{escape(self._target)}  {escape(name)}")
        else:
            self._console.print(f"{name}: {self._target}", markup=False, highlight=False)

    def planned(self, total: int | None) -> None:
        """Take the number of controls."""
        self._bar.update(self._task, total=total)

    def control(self, progress: Control) -> None:
        """Advance by one."""
        self._failed += progress.status in _WORSE_FIRST
        self._bar.update(self._task, advance=1, description=f"{escape(self._target)}  {self._failed} failed")
