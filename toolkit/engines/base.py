"""What an engine is: it plans a run (files, command line, environment) and turns its raw result into HDF."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

MOUNT = "/sys/firmware"
"""Where the bundle is mounted inside the view of the target."""
JOB = f"{MOUNT}/job"
"""Where the files of a plan are found, read-only."""
SCRATCH = f"{MOUNT}/tmp"  # noqa: S108 a private tmpfs
"""Working directory, HOME and TMPDIR of the engine; its outputs are written here."""


class SentFile(NamedTuple):
    """One file of a plan: path relative to `JOB`, content, permission bits."""

    name: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Options:
    """What the user said about the evaluation, whatever the engine."""

    input_files: tuple[Path, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()
    controls: tuple[str, ...] = ()
    waiver_files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is to be run in the target: all paths in `argv` are as seen there."""

    argv: tuple[str, ...]
    files: tuple[SentFile, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    """File names in `SCRATCH` that the engine writes and the agent brings back."""
    unpack: Mapping[str, str] = field(default_factory=dict)
    """File names in `SCRATCH` for which the agent unpacks a gzip file of the bundle (its path there)."""
    title: str = ""
    """What the user knows the profile as."""
    sha256: str = ""
    """Hash of the profile's content: of the XML (unpacked), or of all files of an InSpec profile."""
    total: int | None = None
    """How many controls there will be, where known beforehand (for progress)."""
    controls: tuple[str, ...] = ()
    """The ids that the user limited the run to."""
    known: tuple[str, ...] = ()
    """Ids that the profile is known to have, for a message that names the nearest."""
    waived: tuple[str, ...] = ()
    """The ids that the user's waivers name and no file of the profile mentions."""
    warnings: tuple[str, ...] = ()
    """What the user said that will have no effect; known before the run."""


@dataclass(frozen=True)
class RawResult:
    """What came back: exit status of the engine, the outputs by name, the tail of its standard error."""

    exit_status: int
    outputs: Mapping[str, Path]
    stderr: str = ""


class Progress(NamedTuple):
    """One finished control."""

    control: str
    status: str


class Listed(NamedTuple):
    """One profile that could be run: what `--profile` takes, what it is, the hash that its plan will have."""

    profile: str
    title: str
    sha256: str = ""


class Engine(ABC):
    """One engine of a bundle."""

    name: ClassVar[str]
    """The word of `--engine` and the key in the bundle's manifest."""
    remedy: ClassVar[str]
    """How to get this engine when the bundle lacks it."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        """Take the bundle's manifest (`bundle.json`)."""
        self.manifest = manifest

    @classmethod
    @abstractmethod
    def accepts(cls, profile: str) -> bool:
        """Say whether `profile` (a path, or a `scap:` name) is one for this engine."""

    @abstractmethod
    def listed(self, source: str) -> list[Listed]:
        """Return the profiles of a source that this engine accepts; raises CallError."""

    @abstractmethod
    def plan(self, profile: str, options: Options) -> Plan:
        """Return what to run; raises CallError for an unusable profile, input or waiver."""

    @abstractmethod
    def to_hdf(self, plan: Plan, result: RawResult, *, target: str) -> dict[str, Any]:
        """Return the report in HDF; raises ScanError or CallError when the result is none."""

    def warnings(self, plan: Plan, report: dict[str, Any]) -> list[str]:
        """Return what the user said that had no effect, known only after the run."""
        del plan, report
        return []

    @abstractmethod
    def progress(self, line: str) -> Progress | None:
        """Return the control that a line of the engine's standard output says is finished."""
