"""What a check found, and what follows from it for a way of scanning."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from toolkit.errors import BarescanError
from toolkit.reports.text import visible

_SHORT = 400
_POLL_SECONDS = 0.05


class State(StrEnum):
    """What is known of one thing."""

    OK = "ok"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `fix` is the next step where it is not as it should be."""

    name: str
    state: State
    detail: str = ""
    fix: str = ""
    needed: bool = True
    """Whether no scan is possible without it."""


class Finding(NamedTuple):
    """What a check returns; its name and whether it is needed are said where it is called."""

    state: State
    detail: str
    fix: str = ""


def ok(detail: str) -> Finding:
    """Return that it is as it should be."""
    return Finding(State.OK, detail)


def no(detail: str, fix: str) -> Finding:
    """Return that it is not, and the next step."""
    return Finding(State.NO, detail, fix)


def unknown(detail: str, fix: str = "") -> Finding:
    """Return that it can't be told, and why."""
    return Finding(State.UNKNOWN, detail, fix)


class NotSetUpError(Exception):
    """A way of scanning has not been set up at all, which is no fault; says what is not there."""


def look(name: str, check: Callable[..., Finding], *arguments: object, needed: bool = True) -> Check:
    """Return what a check finds; whatever it raises becomes a finding too."""
    try:
        found = check(*arguments)
    except BarescanError as error:
        found = no(error.cause, error.remedy)
    except Exception as error:  # a check that breaks must not hide what the others find
        found = unknown(f"could not be looked at: {type(error).__name__}: {error}")
    return Check(name, found.state, visible(found.detail, _SHORT), visible(found.fix, _SHORT), needed)


Group = Callable[[], Iterator[Check]]
"""Yields its checks one by one; raises NotSetUpError when there is nothing to look at."""


@dataclass(frozen=True)
class Found:
    """What a group of checks found."""

    checks: tuple[Check, ...]
    absent: str = ""
    """What is not there, where nothing of it has been set up."""

    def named(self, name: str) -> Check | None:
        """Return the check of this name, where it was come to."""
        return next((each for each in self.checks if each.name == name), None)


class _Looking(threading.Thread):
    """One group at work; a daemon, so that what never answers does not keep the program from its end."""

    def __init__(self, group: Group, silence: float) -> None:
        super().__init__(daemon=True)
        self._group = group
        self._silence = silence
        self._checks: list[Check] = []
        self._absent = ""
        self._heard = time.monotonic()

    def run(self) -> None:
        try:
            for check in self._group():
                self._checks.append(check)
                self._heard = time.monotonic()
        except NotSetUpError as absent:
            self._absent = str(absent)
        except Exception as error:  # what breaks one way must not hide the others
            said = visible(f"the examination broke off: {type(error).__name__}: {error}", _SHORT)
            self._checks.append(Check("examination", State.NO, said, "correct what it names, or report this"))

    def found(self) -> Found:
        """Return what was found, at the latest when nothing more was heard for so long."""
        while self.is_alive() and time.monotonic() - self._heard < self._silence:
            self.join(_POLL_SECONDS)
        checks = tuple(self._checks)
        if self.is_alive():
            asked = f"nothing more was heard within {self._silence:g} seconds"
            checks += (Check("answer", State.NO, asked, "is it up, and is it reached from here? try again"),)
        return Found(checks, self._absent)


def gather(groups: Mapping[str, tuple[Group, float]]) -> dict[str, Found]:
    """Return by name what the groups found; with each goes how many seconds of silence are its end."""
    looking = {name: _Looking(group, silence) for name, (group, silence) in groups.items()}
    for each in looking.values():
        each.start()
    return {name: each.found() for name, each in looking.items()}


@dataclass(frozen=True)
class Way:
    """One way of scanning: its own checks, and those of this machine that it rests on."""

    name: str
    found: Found
    rests_on: tuple[Check, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether a scan is possible, as far as can be told."""
        return not self.found.absent and not self._in(State.NO)

    @property
    def verdict(self) -> str:
        """Return whether it can be used, in one line."""
        if self.found.absent:
            return f"not set up: {self.found.absent}"
        if missing := self._in(State.NO):
            return f"can't be used: {', '.join(each.name for each in missing)}"
        if open_ := self._in(State.UNKNOWN):
            return f"can be used, as far as can be told (unknown: {', '.join(each.name for each in open_)})"
        return "can be used"

    def _in(self, state: State) -> list[Check]:
        return [each for each in (*self.rests_on, *self.found.checks) if each.needed and each.state is state]
