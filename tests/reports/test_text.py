from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reports.builders import HOSTILE
from toolkit.reports.text import visible


def test_controls_become_codes_and_space_collapses() -> None:
    assert visible("a\x1b[31m b\n\n\tc\u202e d\x9b\ud800\U000e0001") == (
        r"a\x1b[31m b c\u202e d\x9b\ud800" + r"\U000e0001"
    )


def test_ordinary_text_of_any_script_stays() -> None:
    text = "naïve café Ελληνικά 日本語 e\u0301 [bold]"
    assert visible(text) == text


def test_a_pile_of_combining_marks_is_cut_down() -> None:
    assert visible("a" + "\u0301" * 40).count("\u0301") <= 4


@given(st.text(st.characters(codec=None)))
def test_what_is_shown_is_drawn_and_can_be_encoded(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}
    assert shown == " ".join(shown.split())
    shown.encode("utf-8")


@given(st.text(), st.integers(1, 30))
def test_the_limit_holds(text: str, limit: int) -> None:
    shown = visible(text, limit)
    assert len(shown) <= limit
    assert shown == visible(text) or shown.endswith("…")


@pytest.mark.parametrize("limit", [1, 20])
def test_a_huge_text_is_not_gone_through(limit: int) -> None:
    assert len(visible(HOSTILE * 500_000, limit)) == limit
