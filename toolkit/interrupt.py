"""Ctrl-C before there is anything to clean up: imports take half a second, and a status is due.

Standard library only; what imports the rest calls `install` first.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

STATUS = 130


def install() -> None:
    """End with one word and the documented status on Ctrl-C and SIGTERM, until a task takes over."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.stderr.write("interrupted\n")
    sys.exit(STATUS)
