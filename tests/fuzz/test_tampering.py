"""A conversation that lost or changed anything on its way is never a complete one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import frames, harness
from tests.fuzz.frames import frame
from tests.fuzz.targets import conversation
from toolkit.agent.stream import Kind
from toolkit.errors import BarescanError

WHOLE = frames.sealed(frames.filled(conversation.HONEST))
_SAID, _ = frames.split(WHOLE)


def _completes(data: bytes) -> bool:
    try:
        return conversation.hear(data).complete
    except BarescanError as error:
        harness.check_message(str(error))
        return False


def _joined(said: list[frames.Said]) -> bytes:
    return b"".join(frame(kind, payload) for kind, payload in said)


def test_the_honest_one_is_complete():
    assert _completes(WHOLE)


def test_it_may_end_nowhere_else():
    assert [end for end in range(len(WHOLE)) if _completes(WHOLE[:end])] == []


@pytest.mark.parametrize("bit", [0, 5, 7])
def test_no_byte_of_it_may_be_another(bit):
    """Except in an acknowledgement, which carries nothing, and in how the JSON at the end is written."""
    changed = []
    for place in range(len(WHOLE)):
        data = bytearray(WHOLE)
        data[place] ^= 1 << bit
        if _completes(bytes(data)):
            changed.append(place)
    acknowledged = WHOLE.index(frame(Kind.ACK, {})) + 5
    ending = len(WHOLE) - len(_SAID[-1][1])
    assert all(place in {acknowledged, acknowledged + 1} or place >= ending for place in changed)
    for place in changed:
        if place >= ending:
            assert WHOLE[place : place + 1].isspace() or WHOLE[place : place + 1] in b'{}":,', place


@pytest.mark.parametrize("place", range(len(_SAID)))
def test_no_frame_may_be_missing_or_there_twice(place):
    assert not _completes(_joined(_SAID[:place] + _SAID[place + 1 :]))
    twice = _joined([*_SAID[:place], _SAID[place], *_SAID[place:]])
    assert not _completes(twice) or place == len(_SAID) - 1  # what follows the end is not read


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(range(len(_SAID)), 2)))
def test_no_two_frames_may_change_places(one, other):
    said = list(_SAID)
    said[one], said[other] = said[other], said[one]
    assert not _completes(_joined(said))


@settings(settings.get_profile("fuzz"), max_examples=100)
@given(st.randoms(use_true_random=False))
def test_no_other_change_is_unnoticed(random):
    data = frames.mutate(WHOLE, random)
    said, rest = frames.split(data)
    kept = [each for each in said if each[0] != Kind.ACK]
    if rest or kept[: len(_SAID) - 1] != [each for each in _SAID if each[0] != Kind.ACK]:
        assert not _completes(data)


def test_a_wrong_hash_or_number_is_noticed():
    hashed = {"sha256": "0" * 64}
    for ending in (
        {},
        hashed,
        {"bytes": 0} | hashed,
        {"bytes": 1e999} | hashed,
        {"bytes": "x" * 4000} | hashed,
    ):
        assert not _completes(_joined(_SAID[:-1]) + frame(Kind.END, ending))


def test_a_failure_is_not_covered_by_what_comes_after_it():
    failed = frame(Kind.FAIL, {"cause": "it ended", "remedy": "", "status": 2})
    assert not _completes(frames.sealed(_joined(_SAID[:-3]) + failed + _joined(_SAID[-3:-1])))
