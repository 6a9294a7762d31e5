"""Text of unknown origin made safe to show in a terminal or in a one-line message."""

from __future__ import annotations

import unicodedata

#: Unicode categories that draw nothing and steer the display instead: control characters (ANSI escapes begin
#: with one), format characters (bidirectional overrides, zero-width joiners), lone surrogates (which no
#: encoding takes), private use and unassigned code points, line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})

#: As many combining marks as a letter of a living script carries; more only serve to draw over other lines.
_MARKS = 4


def visible(text: str, limit: int | None = None) -> str:
    r"""Return `text` as one line that a terminal draws and never obeys.

    White space is collapsed to single spaces; every other character that is not drawn appears as `\xNN`,
    `\uNNNN` or `\UNNNNNNNN`. With `limit` (characters, at least 1) a longer text ends in an ellipsis.
    """
    if limit is not None:
        text = text[: 16 * limit + 1024]  # enough to fill the limit; the rest of a huge text needs no look
    drawn = " ".join("".join(_shown(text)).split())
    if limit is not None and len(drawn) > limit:
        return drawn[: limit - 1] + "…"
    return drawn


def counted(number: int, what: str) -> str:
    """Return a number with what it counts, in the plural where it is not one."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shown(text: str) -> list[str]:
    shown: list[str] = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if char in "\t\n\v\f\r" or category == "Zs":
            shown.append(" ")
        elif category in _UNSEEN or marks > _MARKS:
            shown.append(_escape(char))
        else:
            shown.append(char)
    return shown


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
