"""Hypothesis without a clock and without memory: the same mutations each time, others when run for long."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SECONDS = float(os.environ.get("BARESCAN_FUZZ_SECONDS", "0"))
_CALM = list(HealthCheck)

settings.register_profile(
    "fuzz", deadline=None, database=None, derandomize=not SECONDS, suppress_health_check=_CALM
)
