"""The manifest of a bundle that is elsewhere: an auditor tells it, and what it tells is checked first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolkit.bundle.build import FORMAT
from toolkit.errors import ScanError

_LONGEST = 300  # characters of one name
_MOST_RULES = 100_000


def checked(said: object) -> dict[str, Any]:
    """Return what is read of a manifest; raises ScanError for another format, or members of other types."""
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise ScanError("the auditor's bundle is of another version", "build the image anew")
    engines = _mapping(said.get("engines"), lambda each: _mapping(each, _word))
    if not all("version" in engine for engine in engines.values()):
        raise _malformed()
    return {
        "engines": engines,
        "content": _mapping(said.get("content", {}), _word),
        "described": _mapping(said.get("described", {}), _content),
        **{key: _word(said[key]) for key in ("architecture", "sha256") if key in said},
    }


def _content(said: object) -> dict[str, Any]:
    about = _mapping(said, lambda each: each)
    return {
        "sha256": _word(about.get("sha256", "")),
        "profiles": _mapping(about.get("profiles", {}), _profile),
    }


def _profile(said: object) -> dict[str, Any]:
    about = _mapping(said, lambda each: each)
    rules = about.get("rules")
    if not isinstance(rules, int) or not 0 <= rules < _MOST_RULES:
        raise _malformed()
    return {"title": _word(about.get("title")), "rules": rules}


def _mapping(said: object, member: Callable[[object], Any]) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise _malformed()
    return {_word(name): member(each) for name, each in said.items()}


def _word(said: object) -> str:
    if not isinstance(said, str) or len(said) > _LONGEST or not said.isprintable():
        raise _malformed()
    return said


def _malformed() -> ScanError:
    return ScanError("the manifest of the auditor's bundle is malformed", "build the image anew")
