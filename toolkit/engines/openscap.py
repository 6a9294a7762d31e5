"""OpenSCAP: XCCDF and data streams, from the bundle (`scap:NAME#PROFILE`) or a file (`PATH.xml#PROFILE`)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from toolkit.engines.base import JOB, MOUNT, SCRATCH, Engine, Options, Plan, Progress, RawResult, SentFile
from toolkit.errors import BarescanError, CallError, ScanError
from toolkit.reports.xccdf import xccdf_to_hdf

_RESULTS, _UNPACKED = "results.xml", "content.xml"
_OK = {0, 2}  # oscap(8): 0 all rules passed, 2 at least one failed or is unknown; 1 is an error
_LINE = re.compile(r"^(?:\r|\x1b\[[0-9;]*[A-Za-z])*([\w.:-]{1,300}):([a-z]{4,20})\s*$")
_NOISE = ("WARNING", "W: ", "I: ", "E: oscap: Recv")
_CALLERS_FAULT = re.compile(
    r"No profile|profile .* not found|[Nn]o such|parse|XML|Tag|oscap_source.c|Could not|Unrecognized|Invalid"
)
_PREFIX = "xccdf_org.ssgproject.content_rule_"
_MAX_CONTENT_BYTES = 200 << 20


class _Content(NamedTuple):
    """Where the content is in the target, the SHA-256 of its file (hex), and how it gets there."""

    path: str
    sha256: str
    files: tuple[SentFile, ...] = ()
    unpack: Mapping[str, str] = MappingProxyType({})


class OpenscapEngine(Engine):
    """`oscap xccdf eval` inside the target's root."""

    name = "openscap"
    remedy = "build the bundle anew: invoke bundle.build"

    @classmethod
    def accepts(cls, profile: str) -> bool:
        """Take `scap:` names and XML files, also compressed ones."""
        path = profile.partition("#")[0]
        return profile.startswith("scap:") or path.endswith((".xml", ".xml.bz2"))

    def plan(self, profile: str, options: Options) -> Plan:
        """Return the command line; raises CallError for content or options that oscap can't take."""
        if options.input_files or options.inputs or options.waiver_files:
            raise CallError(
                "inputs and waivers belong to InSpec profiles; SCAP content is tailored instead",
                "leave them out, or use an InSpec profile",
            )
        source, _, profile_id = profile.partition("#")
        if not profile_id:
            raise CallError(f"{profile!r} names no profile", f"write {source}#PROFILE-ID{self._hint()}")
        content = self._bundled(source) if source.startswith("scap:") else self._sent(source)
        rules = [part for rule in options.controls for part in ("--rule", _full_rule(rule))]
        return Plan(
            argv=(
                f"{MOUNT}/bin/oscap",
                *("xccdf", "eval", "--progress", "--profile", profile_id, *rules),
                *("--results", f"{SCRATCH}/{_RESULTS}", content.path),
            ),
            files=content.files,
            unpack=content.unpack,
            env={
                "OSCAP_SCHEMA_PATH": f"{MOUNT}/share/openscap/schemas",
                "OSCAP_XSLT_PATH": f"{MOUNT}/share/openscap/xsl",
                "OSCAP_CPE_PATH": f"{MOUNT}/share/openscap/cpe",
                "OSCAP_CHECK_ENGINE_PLUGIN_DIR": f"{MOUNT}/lib",
            },
            outputs=(_RESULTS,),
            title=profile,
            sha256=content.sha256,
        )

    def _hint(self) -> str:
        names = ", ".join(f"scap:{name}" for name in sorted(self.manifest.get("content", {})))
        return f" (content in this bundle: {names})" if names else ""

    def _bundled(self, source: str) -> _Content:
        name = source.removeprefix("scap:")
        entry = self.manifest.get("content", {}).get(name)
        if entry is None:
            raise CallError(f"the bundle has no SCAP content {name!r}", f"name a file{self._hint()}")
        digest = self.manifest.get("content_sha256", {}).get(name, "")
        return _Content(f"{SCRATCH}/{_UNPACKED}", digest, unpack={_UNPACKED: entry})

    @staticmethod
    def _sent(source: str) -> _Content:
        try:
            path = Path(source)
            if path.stat().st_size > _MAX_CONTENT_BYTES:
                raise CallError(
                    f"{source} is larger than {_MAX_CONTENT_BYTES >> 20} MiB", "compress it with bzip2"
                )
            content = path.read_bytes()
        except OSError as error:
            raise CallError(f"{source} can't be read: {error.strerror}", "check the path") from None
        if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"BZh")):
            raise CallError(f"{source} is empty or not XML", "name an XCCDF file or a SCAP data stream")
        name = f"content/{path.name}"
        return _Content(f"{JOB}/{name}", hashlib.sha256(content).hexdigest(), (SentFile(name, content),))

    def to_hdf(self, plan: Plan, result: RawResult, *, target: str) -> dict[str, Any]:
        """Return the report; raises CallError or ScanError with oscap's own last words otherwise."""
        path = result.outputs.get(_RESULTS)
        if result.exit_status not in _OK or path is None:
            raise _explained(plan, result)
        version = str(self.manifest["engines"][self.name]["version"])
        with path.open("rb") as stream:
            return xccdf_to_hdf(stream, engine_version=version, target=target)

    def progress(self, line: str) -> Progress | None:
        """Read `rule-id:result` lines, which `--progress` prints."""
        found = _LINE.match(line)
        return Progress(found.group(1).removeprefix(_PREFIX), found.group(2)) if found else None


def _explained(plan: Plan, result: RawResult) -> BarescanError:
    """Return the error that oscap's words amount to: warnings come before, usage hints after the cause."""
    words = [line for line in result.stderr.splitlines() if line.strip() and not line.startswith(_NOISE)]
    said = words[0][:300] if words else f"exit status {result.exit_status}"
    if _CALLERS_FAULT.search(said):
        return CallError(f"oscap can't use {plan.title}: {said}", "check the content and the profile id")
    return ScanError(f"oscap did not finish: {said}", "see engine.log in the run's folder")


def _full_rule(rule: str) -> str:
    return rule if rule.startswith("xccdf_") else _PREFIX + rule
