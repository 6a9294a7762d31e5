"""What JSON of unknown origin must not be: deeper than any use of it, or with numbers that JSON has not."""

from __future__ import annotations

import math


def check(document: object, depth: int) -> None:
    """Raise ValueError for JSON nested deeper than `depth` levels or with a number that is not finite.

    What is deep ends in RecursionError where it is written or shown, if not where it was read; `1e999` is
    read as infinity and written as what no strict reader takes. It goes level by level, so that no depth
    exhausts the stack.
    """
    level = [document]
    for _ in range(depth):
        below: list[object] = []
        for node in level:
            if isinstance(node, dict):
                below.extend(filter(_matters, node.values()))
            elif isinstance(node, list):
                below.extend(filter(_matters, node))
            else:
                raise ValueError("it has a number that is too large")
        level = below
        if not level:
            return
    raise ValueError(f"it is nested deeper than {depth} levels")


def _matters(member: object) -> bool:
    return isinstance(member, dict | list) or (isinstance(member, float) and not math.isfinite(member))
