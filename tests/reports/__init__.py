"""Tests of `toolkit.reports`, a file a module."""
