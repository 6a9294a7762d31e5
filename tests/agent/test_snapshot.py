"""The record of the target's sockets is taken before anything is entered, and within the scan's time."""

from __future__ import annotations

import time

import pytest

from toolkit.agent import snapshot
from toolkit.agent.failure import AgentError


def test_the_deadline_holds_while_descriptors_are_looked_at():
    with pytest.raises(AgentError, match="did not finish in time"):
        snapshot.Record(time.monotonic() - 1).full()
