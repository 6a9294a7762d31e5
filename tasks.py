"""What `invoke` finds in this folder: the same collection that the `barescan` command serves."""

from toolkit import interrupt

interrupt.install()

from toolkit.cli import ns  # noqa: E402 - it takes time, in which Ctrl-C has a meaning already

__all__ = ["ns"]
