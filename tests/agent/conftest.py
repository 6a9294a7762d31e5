"""Hostile targets and scans of them serve here too."""

from tests.hostile.conftest import compiled, container, scan, watch

__all__ = ["compiled", "container", "scan", "watch"]
