"""Engines: profile and inputs become a command line and files; the raw result becomes HDF."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.engines.base import Engine
from toolkit.errors import CallError

_ENGINES = {
    "openscap": "toolkit.engines.openscap:OpenscapEngine",
    "cinc": "toolkit.engines.cinc:CincEngine",
}
NAMES = (*_ENGINES, "auto")
BASELINE = Path(__file__).parent.parent.parent / "profiles" / "distroless-baseline"
"""Our own InSpec profile."""


def choose(word: str, profile: str, manifest: Mapping[str, Any]) -> Engine:
    """Return the engine named by `--engine`, or by what the profile is; raises CallError.

    `manifest` is the bundle's; it is not looked at here, so that a bad call costs no bundle.
    """
    if word not in NAMES:
        raise CallError(f"there is no engine {word!r}", f"use one of {', '.join(NAMES)}")
    fitting = next((found for found in map(_load, _ENGINES) if found.accepts(profile)), None)
    if word == "auto":
        if fitting is None:
            raise CallError(
                f"{profile!r} is no profile that an engine knows",
                "name an InSpec profile (directory, .tar.gz, .zip), a data stream FILE.xml#PROFILE-ID, "
                "or scap:debian12#anssi_bp28_high and the like, which `invoke profiles` lists",
            )
        return fitting(manifest)
    kind = _load(word)
    if fitting is not None and fitting is not kind:
        raise CallError(
            f"{profile!r} is a profile for the engine {fitting.name}, not for {word}",
            f"leave --engine {word} out, or name a profile for it",
        )
    return kind(manifest)


def require(engine: Engine) -> None:
    """Raise CallError, saying how to get it, where the bundle lacks the engine."""
    if engine.name not in engine.manifest.get("engines", {}):
        raise CallError(f"this bundle has no {engine.name} engine", engine.remedy)


def _load(name: str) -> type[Engine]:
    module, _, attribute = _ENGINES[name].partition(":")
    engine: type[Engine] = getattr(importlib.import_module(module), attribute)
    return engine
