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

    `manifest` is the bundle's: an engine that it lacks is an error that says how to get it.
    """
    if word not in NAMES:
        raise CallError(f"there is no engine {word!r}", f"use one of {', '.join(NAMES)}")
    if word == "auto":
        kind = next((found for found in map(_load, _ENGINES) if found.accepts(profile)), None)
        if kind is None:
            raise CallError(
                f"{profile!r} is no profile that an engine knows",
                "name an InSpec profile (directory, .tar.gz, .zip), a data stream FILE.xml#PROFILE-ID, "
                "or content of the bundle such as scap:debian12#anssi_bp28_high",
            )
    else:
        kind = _load(word)
    if kind.name not in manifest.get("engines", {}):
        raise CallError(f"this bundle has no {kind.name} engine", kind.remedy)
    return kind(manifest)


def _load(name: str) -> type[Engine]:
    module, _, attribute = _ENGINES[name].partition(":")
    engine: type[Engine] = getattr(importlib.import_module(module), attribute)
    return engine
