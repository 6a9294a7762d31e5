"""What all tasks share: where they print, how they are declared, how they end."""

from __future__ import annotations

import functools
import signal
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeVar

from invoke import Exit
from invoke import task as invoke_task
from rich.console import Console
from rich.text import Text

from toolkit.errors import BarescanError, InterruptedScanError, ScanError
from toolkit.reports.text import visible

_P = ParamSpec("_P")
_R = TypeVar("_R")

console = Console(stderr=False)
notes = Console(stderr=True)
_LONGEST = 8000
"""Characters of one text: what is longer was made to drown what else is said."""


def say(text: str) -> None:
    """Tell about progress, on standard error; the text may come from anywhere and is not markup."""
    notes.print(Text(visible(text, _LONGEST), "dim"), highlight=False, soft_wrap=True)


def complain(cause: str, *more: str) -> None:
    """Print an error: the cause, then the next step and the like; not broken where a program reads it."""
    wrap = not notes.is_terminal
    words = Text.assemble(("error:", "bold red"), " ", visible(cause, _LONGEST))
    notes.print(words, highlight=False, soft_wrap=wrap)
    for text in filter(None, more):
        notes.print(Text(f"       {visible(text, _LONGEST)}"), highlight=False, soft_wrap=wrap)


def guarded(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turn what barescan foresaw into a sentence and an exit status, Ctrl-C and SIGTERM into 130."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        signal.signal(signal.SIGTERM, _interrupt)
        signal.signal(signal.SIGINT, _interrupt)  # which a shell has its background jobs ignore
        try:
            return function(*args, **kwargs)
        except BarescanError as error:
            complain(error.cause, error.remedy, error.kept)
            raise Exit(code=error.status) from None
        except KeyboardInterrupt:
            notes.show_cursor()
            notes.print("[bold red]interrupted[/bold red]")
            raise Exit(code=InterruptedScanError.status) from None
        except Exit:
            raise
        except Exception as error:
            _report_bug(error)
            raise Exit(code=ScanError.status) from None

    return run


def _report_bug(error: Exception) -> None:
    """Print the traceback of an error that was not foreseen; its words may be a target's own."""
    for line in "".join(traceback.format_exception(error)).splitlines():
        indent = " " * (len(line) - len(line.lstrip(" ")))
        notes.print(Text(indent + visible(line, _LONGEST)), highlight=False, soft_wrap=True)
    complain(f"this is an error of barescan itself ({type(error).__name__})", "report it, with what is above")


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def task(**options: Any) -> Callable[[Callable[..., None]], Any]:
    """Declare an Invoke task that is guarded and takes long flags only."""

    def declare(function: Callable[..., None]) -> Any:
        return invoke_task(auto_shortflags=False, **options)(guarded(function))

    return declare
