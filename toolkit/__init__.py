"""Compliance scanning of containers that have nothing to scan with."""

__version__ = "0.1.0"
