"""What `invoke` finds in this folder: the same collection that the `barescan` command serves."""

from toolkit.cli import ns

__all__ = ["ns"]
