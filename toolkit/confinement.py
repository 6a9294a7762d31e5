"""What the agent said about the layers of the confinement (`toolkit.agent.layers`), read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.agent import layers
from toolkit.agent.layers import FULL

__all__ = ["FACT", "FULL", "lacking", "of"]

FACT = "confinement"
_UNSAID = "not said"
_LONGEST = 300


def of(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the state of every layer by name: `on`, or why it was not."""
    said = facts.get(FACT)
    said = said if isinstance(said, dict) else {}
    return {name: str(said.get(name, _UNSAID))[:_LONGEST] for name in layers.NAMES}


def lacking(facts: Mapping[str, Any]) -> list[str]:
    """Return the layers that were not on, with the reason, but for those that don't apply there."""
    return layers.lacking(of(facts))
