"""Sentences and commands broken into lines that fit, so that a command can still be pasted into a shell."""

from __future__ import annotations

import re
from collections.abc import Sequence

WIDTH = 100
_WORD = re.compile(r"""(?:[^\s'"]|'[^']*'|"[^"]*"|['"])+""")
"""One of a shell's words, as far as it can be told: spaces in quotes are part of it."""
_CONTINUES = " \\"
_CONTINUED = 4  # columns
_COMMAND = re.compile(
    r"(?<![\w/.-])(?:invoke|barescan|kubectl|docker|ctr|kind load|minikube|k3s|systemctl)"
    r" (?:[^\s,;()]+ )*[^\s,;()]+"
)
"""A command in a sentence; it ends with its clause."""


def command(text: str, width: int = WIDTH) -> list[str]:
    """Return a command as lines, continued with a backslash where it is too long for one."""
    if len(text) <= width:
        return [text]
    first, *more = _with_values(_WORD.findall(text))
    lines = [first]
    for words in more:
        longer = f"{lines[-1]} {words}"
        if len(longer) + len(_CONTINUES) > width:
            lines.append(" " * _CONTINUED + words)
        else:
            lines[-1] = longer
    return [*(line + _CONTINUES for line in lines[:-1]), lines[-1]]


def _with_values(words: Sequence[str]) -> list[str]:
    """Return the words of a command, a flag together with what may be its value."""
    found: list[str] = []
    for word in words:
        if found and found[-1].startswith("-") and " " not in found[-1] and not word.startswith("-"):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def prose(text: str, width: int = WIDTH) -> list[str]:
    """Return a text as lines; a command in it stays whole, or is continued where no line can hold it."""
    lines = [""]
    for piece in _pieces(text):
        longer = f"{lines[-1]} {piece}".strip()
        if len(longer) <= width:
            lines[-1] = longer
        elif " " in piece and len(piece) > width:
            lines += command(piece, width)
        else:
            lines.append(piece)
    return [line for line in lines if line] or [""]


def _pieces(text: str) -> list[str]:
    """Return the words of a text, a command as one, with the punctuation that touches it."""
    pieces: list[str] = []
    end = 0
    for found in _COMMAND.finditer(text):
        before, touches = text[end : found.start()].split(), found.start() and text[found.start() - 1] != " "
        after = re.match(r"[^\s]*", text[found.end() :])
        closing = after[0] if after else ""
        opening = before.pop() if touches and before else ""
        pieces += [*before, f"{opening}{found[0]}{closing}"]
        end = found.end() + len(closing)
    return [*pieces, *text[end:].split()]
