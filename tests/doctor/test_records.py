"""Checks that break, groups that break off or fall silent, and what follows for a way of scanning."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from toolkit.doctor.host import too_old
from toolkit.doctor.records import Check, Found, NotSetUpError, State, Way, gather, look, ok
from toolkit.errors import ScanError


def test_what_a_check_raises_becomes_a_finding():
    def foreseen():
        raise ScanError("it is\nbroken", "mend \x1b[31m it")

    def unforeseen():
        raise KeyError("x")

    assert look("a", foreseen) == Check("a", State.NO, "it is broken", r"mend \x1b[31m it")
    found = look("b", unforeseen, needed=False)
    assert (found.state, found.needed) == (State.UNKNOWN, False)
    assert "KeyError" in found.detail


def test_groups_that_break_or_fall_silent_hide_nothing_of_the_others():
    never = threading.Event()

    def breaks() -> Iterator[Check]:
        yield look("first", ok, "seen")
        raise ZeroDivisionError("oh")

    def silent() -> Iterator[Check]:
        yield look("first", ok, "seen")
        never.wait(30)

    def slow() -> Iterator[Check]:
        for number in range(4):
            time.sleep(0.2)
            yield look(str(number), ok, "seen")

    def absent() -> Iterator[Check]:
        raise NotSetUpError("nothing there")

    began = time.monotonic()
    found = gather(
        {"breaks": (breaks, 9), "silent": (silent, 0.5), "slow": (slow, 0.5), "absent": (absent, 9)}
    )
    never.set()
    assert time.monotonic() - began < 5
    assert [(each.name, each.state) for each in found["breaks"].checks] == [
        ("first", State.OK),
        ("examination", State.NO),
    ]
    assert [(each.name, each.state) for each in found["silent"].checks] == [
        ("first", State.OK),
        ("answer", State.NO),
    ]
    assert [each.name for each in found["slow"].checks] == ["0", "1", "2", "3"]
    assert found["absent"] == Found((), "nothing there")


@pytest.mark.parametrize(
    ("state", "needed", "verdict", "usable"),
    [
        (State.OK, True, "can be used", True),
        (State.NO, True, "can't be used: it", False),
        (State.NO, False, "can be used", True),
        (State.UNKNOWN, True, "can be used, as far as can be told (unknown: it)", True),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_what_is_needed_decides(state, needed, verdict, usable, shared):
    checks = (Check("it", state, needed=needed),)
    way = Way("way", Found(() if shared else checks), checks if shared else ())
    assert (way.verdict, way.usable) == (verdict, usable)


def test_what_is_not_set_up_is_not_usable():
    way = Way("way", Found((), "nothing there"))
    assert (way.verdict, way.usable) == ("not set up: nothing there", False)


@pytest.mark.parametrize(
    ("release", "expected"),
    [("5.11.99-generic", True), ("5.12.0", False), ("6.1.0-13-amd64", False), ("4.19", True), ("", None)],
)
def test_kernels(release, expected):
    assert too_old(release) is expected
