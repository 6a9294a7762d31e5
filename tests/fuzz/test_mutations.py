"""Spoilt inputs of every kind are refused with an error of ours, or understood; see `tests.fuzz`."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import harness
from tests.fuzz.conftest import SECONDS
from tests.fuzz.harness import Outcome


@pytest.mark.parametrize("name", harness.names())
def test_honest_inputs_are_understood(name):
    target = harness.load(name)
    outcomes = [harness.attempt(target, seed) for seed in target.seeds()]
    assert set(outcomes) - {Outcome.REFUSED}, "a target that refuses all its seeds shows nothing"


@pytest.mark.parametrize("name", harness.names())
def test_spoilt_inputs_are_refused_or_understood(name):
    target, inputs = harness.load(name), harness.inputs(name)

    @settings(settings.get_profile("fuzz"), max_examples=500 if SECONDS else 80)
    @given(st.sampled_from(inputs), st.randoms(use_true_random=False))
    def spoil(data, random):
        harness.attempt(target, target.mutate(data, random))

    until = time.monotonic() + SECONDS
    spoil()
    while time.monotonic() < until:
        spoil()
