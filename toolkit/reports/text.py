"""Text of unknown origin made safe for where it goes: a terminal, a page, an XML file, a spreadsheet.

Whatever is shown goes through `visible` (one line) or `legible` (lines stay). What is then left can be drawn,
encoded and, but for mark-up, written into XML 1.0: the characters that section 2.2 forbids there are among
those that are shown as codes. Mark-up (`<`, `&`, quotes) is what the writer of a format escapes, lxml here;
no format is put together from strings. `csv_cell` keeps a spreadsheet from calculating a text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

#: Unicode categories that draw nothing and steer the display instead: control characters (ANSI escapes begin
#: with one, ECMA-48), format characters (bidirectional overrides, CVE-2021-42574; zero-width joiners), lone
#: surrogates (which no encoding takes), private use, unassigned code points, line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})

#: Letters and marks that draw nothing either, so that different names would look alike: what is of Unicode's
#: Default_Ignorable_Code_Point and not of `_UNSEEN`, but for variation selectors, which say how to draw.
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")

#: As many combining marks as a letter of a living script carries; more only serve to draw over other lines.
_MARKS = 4

#: What ends a text of which `legible` left something out.
CUT = " … [cut here; the report in HDF has it all]"

#: The most characters that a cell may have: Excel puts what is more into the next one, unguarded.
CELL_LIMIT = 32_000

#: What begins a formula (OWASP, CSV Injection): in ASCII, and what some take for the same after folding width
#: and style: full-width, small, superscript and subscript forms, and the minus sign.
_FORMULA = (
    r"=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
    r"\u207c\u207a\u207b\u208c\u208a\u208b\u2212"
)

#: Where a cell begins: at the start, and where a program that was told another separator would cut. A guard
#: is due before a formula, spaces and quotes passed over, before a tab or line that a cell begins with, and
#: before what would be taken for a guard.
_CELL = re.compile(rf"""(^(?=[\t\n])|(?:^|[;\t\n])(?='|(?:[^\S\t\n]|["'`])*[{_FORMULA}]))""")


def visible(text: str, limit: int | None = None) -> str:
    r"""Return `text` as one line that a terminal draws and never obeys.

    White space is collapsed to single spaces; every other character that is not drawn appears as `\xNN`,
    `\uNNNN` or `\UNNNNNNNN`. With `limit` (characters, at least 1) a longer text ends in an ellipsis.
    """
    if limit is not None:
        text = text[: 16 * limit + 1024]  # enough to fill the limit; the rest of a huge text needs no look
    drawn = " ".join(_drawn(text, "\t\n\v\f\r").split())
    if limit is not None and len(drawn) > limit:
        return drawn[: limit - 1] + "…"
    return drawn


def legible(text: str, limit: int | None = None) -> str:
    """Return `text` with its lines, tabs and spaces as they are and all else as `visible` shows it.

    Carriage returns before line feeds are dropped, for XML parsers do so. With `limit` (characters, more than
    `CUT` has) a longer text ends in `CUT`.
    """
    whole = text if limit is None else text[: limit + 1]
    shown = "\n".join(_drawn(line, "\t") for line in whole.replace("\r\n", "\n").split("\n"))
    if limit is not None and (len(text) > limit or len(shown) > limit):
        return shown[: limit - len(CUT)] + CUT
    return shown


def csv_cell(text: str) -> str:
    """Return a text as a cell that is text in every spreadsheet: `legible`, formulas behind an apostrophe.

    So they are where another separator (`;`, a tab, a line) would begin a cell in the midst of the text. The
    cell must still be quoted, as the `csv` module does it. `csv_text` undoes it. See OWASP, CSV Injection.
    """
    cell = _CELL.sub(r"\1'", legible(text, CELL_LIMIT))
    # Guards of their own may fill a cell of nothing but formulas: the rest goes, a guard is never cut off.
    return cell if len(cell) <= CELL_LIMIT else cell[: CELL_LIMIT - len(CUT)] + CUT


def csv_text(cell: str) -> str:
    """Return what `csv_cell` was given, as `legible` shows it."""
    return re.sub(r"(^|[;\t\n])'", r"\1", cell)


def counted(number: int, what: str) -> str:
    """Return a number with what it counts, in the plural where it is not one."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _drawn(text: str, kept: str) -> str:
    """Return a text with codes for what is not drawn, but for the characters to be kept."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(text, kept))


def _shown(text: str, kept: str) -> Iterator[str]:
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        is_seen = category not in _UNSEEN and char not in _FILLERS and marks <= _MARKS
        yield char if is_seen or char in kept else _escape(char)


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
