"""Everything that can go wrong, as the user reads it.

Each error carries the cause and the next step; its class decides the exit status. One root class lets the
command line tell what barescan foresaw (a sentence) from what it did not (a traceback worth reporting).
"""

from __future__ import annotations

from typing import ClassVar


class BarescanError(Exception):
    """What barescan foresaw: `cause` in one line, `remedy` as the next step, an exit status by class."""

    status: ClassVar[int] = 2

    def __init__(self, cause: str, remedy: str = "", *, transient: bool = False) -> None:
        """Keep the two halves of the message apart, so that callers can lay them out.

        `transient` says that the same may well succeed when it is tried again.
        """
        super().__init__(cause, remedy)
        self.transient = transient
        self.cause = cause
        self.remedy = remedy
        self.kept = ""
        """Where what was seen until then is, as a sentence; nothing where no scan had begun."""
        self.whatever_target = False
        """Whether the same is wrong with any other target of this call."""

    def __str__(self) -> str:
        """Return the sentence the user reads."""
        return f"{self.cause} → {self.remedy}" if self.remedy else self.cause


class CallError(BarescanError):
    """The call itself is wrong: usage, profile, inputs, threshold, report."""

    status = 1


class ScanError(BarescanError):
    """The target could not be scanned, or the scan did not come to a trustworthy end."""

    status = 2


class InterruptedScanError(BarescanError):
    """The user stopped it (Ctrl-C); what was there by then is kept and marked as partial."""

    status = 130
