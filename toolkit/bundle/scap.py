"""What SCAP content holds: the profiles of an XCCDF benchmark, alone or in a data stream.

Standard library only: it also runs inside the root in which a bundle is put together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

_XCCDF = "http://checklists.nist.gov/xccdf/"  # 1.1 and 1.2
_PROFILE_PREFIX = "_profile_"


class NotScapError(ValueError):
    """The bytes are no well-formed XML; the message says where."""


@dataclass
class _Profile:
    title: str = ""
    extends: str = ""
    selects: dict[str, bool] = field(default_factory=dict)


class _Reader:
    """Takes the elements of XCCDF as they come; everything else passes by."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.platforms: list[str] = []
        self.profiles: dict[str, _Profile] = {}
        self.rules: dict[str, bool] = {}
        self._path: list[str] = []
        self._profile = _Profile()

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        above = self._path[-1] if self._path else ""
        kind = name.rpartition(" ")[2] if name.startswith(_XCCDF) else ""
        self._path.append(kind)
        if kind == "Profile":
            self._profile = _Profile(extends=attributes.get("extends", ""))
            self.profiles.setdefault(attributes.get("id", ""), self._profile)
        elif kind == "Rule":
            self.rules[attributes.get("id", "")] = attributes.get("selected") not in {"false", "0"}
        elif kind == "platform" and above == "Benchmark":
            self.platforms.append(attributes.get("idref", ""))
        elif above == "Profile" and kind == "select":
            self._profile.selects[attributes.get("idref", "")] = attributes.get("selected") in {"true", "1"}
        elif above == "Profile" and kind == "title" and not self._profile.title:
            self.parser.CharacterDataHandler = self._title

    def _title(self, text: str) -> None:
        self._profile.title += text

    def _end(self, name: str) -> None:
        del name
        if self._path.pop() == "title":
            self.parser.CharacterDataHandler = None

    def selected(self, profile_id: str) -> set[str]:
        """Return the rules that a profile selects, with what it takes from those it extends."""
        chosen, seen = dict[str, bool](), set[str]()
        while profile_id in self.profiles and profile_id not in seen:
            seen.add(profile_id)
            chosen = self.profiles[profile_id].selects | chosen
            profile_id = self.profiles[profile_id].extends
        return {rule for rule, default in self.rules.items() if chosen.get(rule, default)}


def describe(data: bytes) -> dict[str, Any]:
    """Return `platforms` (CPE names the benchmark is for) and `profiles`: id → `title`, number of `rules`.

    Raises NotScapError for what is not well-formed XML; content without profiles has none.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise NotScapError(f"line {error.lineno}: {expat.ErrorString(error.code)}") from None
    return {
        "platforms": [name for name in dict.fromkeys(reader.platforms) if name.startswith("cpe:")],
        "profiles": {
            name: {"title": " ".join(profile.title.split()), "rules": len(reader.selected(name))}
            for name, profile in reader.profiles.items()
        },
    }


def short(profile_id: str) -> str:
    """Return the end of an XCCDF profile's id that tells it apart; oscap takes either."""
    return profile_id.partition(_PROFILE_PREFIX)[2] or profile_id
