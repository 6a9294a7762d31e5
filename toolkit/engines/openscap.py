"""OpenSCAP: XCCDF and data streams, from the bundle (`scap:NAME#PROFILE`) or a file (`PATH.xml#PROFILE`)."""

from __future__ import annotations

import bz2
import difflib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from toolkit.bundle import scap
from toolkit.engines.base import (
    JOB,
    MOUNT,
    SCRATCH,
    Engine,
    Listed,
    Options,
    Plan,
    Progress,
    RawResult,
    SentFile,
)
from toolkit.errors import BarescanError, CallError, ScanError
from toolkit.reports.text import counted, visible
from toolkit.reports.xccdf import NOT_OF_PROFILE, xccdf_to_hdf

_RESULTS, _UNPACKED = "results.xml", "content.xml"
_OK = {0, 2}  # oscap(8): 0 all rules passed, 2 at least one failed or is unknown; 1 is an error
_LINE = re.compile(r"^(?:\r|\x1b\[[0-9;]*[A-Za-z])*([\w.:-]{1,300}):([a-z]{4,20})\s*$")
_NOISE = ("WARNING", "W: ", "I: ", "E: oscap: Recv")
_CALLERS_FAULT = re.compile(
    r"No profile|profile .* not found|[Nn]o such|parse|XML|Tag|oscap_source.c|Could not|Unrecognized|Invalid"
)
_PREFIX = "xccdf_org.ssgproject.content_rule_"
_NO_RULE = re.compile(rf"Rule '(?:{re.escape(_PREFIX)})?([^']{{1,200}})' not found")
_MAX_CONTENT_BYTES = 200 << 20
_NAMED = 12  # names in one message


class _Content(NamedTuple):
    """Where content is in the target, the SHA-256 of the XML (hex), its profiles, how it gets there."""

    path: str
    sha256: str
    about: Mapping[str, Any]
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

    def listed(self, source: str) -> list[Listed]:
        """Return the profiles of a file, of one content of the bundle, or (`scap:`) of all of them."""
        source = source.partition("#")[0]
        if source == "scap:":
            names = sorted(self.manifest.get("content", {}))
            return [each for name in names for each in self.listed(f"scap:{name}")]
        content = self._content(source)
        return [
            Listed(
                f"{source}#{scap.short(name)}",
                f"{each['title']} ({counted(each['rules'], 'rule')})",
                content.sha256,
            )
            for name, each in content.about.get("profiles", {}).items()
        ]

    def plan(self, profile: str, options: Options) -> Plan:
        """Return the command line; raises CallError for content or options that oscap can't take."""
        if options.input_files or options.inputs or options.waiver_files:
            raise CallError(
                "inputs and waivers belong to InSpec profiles; SCAP content is tailored instead",
                "leave them out, or use an InSpec profile",
            )
        source, _, profile_id = profile.partition("#")
        if not profile_id:
            raise CallError(
                f"{profile!r} names no profile",
                f"write {source}#PROFILE-ID; `invoke profiles --profile {source}` lists those it has",
            )
        content = self._content(source)
        rules_of_profile = _rules(source, profile_id, content.about)
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
            total=len(options.controls) or rules_of_profile,
            controls=options.controls,
        )

    def _content(self, source: str) -> _Content:
        return self._bundled(source) if source.startswith("scap:") else _sent(source)

    def _hint(self) -> str:
        names = ", ".join(f"scap:{name}" for name in sorted(self.manifest.get("content", {})))
        return f" (content in this bundle: {names})" if names else ""

    def _bundled(self, source: str) -> _Content:
        name = source.removeprefix("scap:")
        entry = self.manifest.get("content", {}).get(name)
        if entry is None:
            raise CallError(f"the bundle has no SCAP content {name!r}", f"name a file{self._hint()}")
        about = self.manifest.get("described", {}).get(name, {})
        digest = about.get("sha256", "")
        return _Content(f"{SCRATCH}/{_UNPACKED}", digest, about, unpack={_UNPACKED: entry})

    def to_hdf(self, plan: Plan, result: RawResult, *, target: str) -> dict[str, Any]:
        """Return the report; raises CallError or ScanError with oscap's own last words otherwise."""
        path = result.outputs.get(_RESULTS)
        if result.exit_status not in _OK or path is None:
            raise _explained(plan, result)
        version = str(self.manifest["engines"][self.name]["version"])
        with path.open("rb") as stream:
            report = xccdf_to_hdf(stream, engine_version=version, target=target)
        _refuse_unselected(plan, report)
        return report

    def progress(self, line: str) -> Progress | None:
        """Read `rule-id:result` lines, which `--progress` prints."""
        found = _LINE.match(line)
        return Progress(found.group(1).removeprefix(_PREFIX), found.group(2)) if found else None


def _explained(plan: Plan, result: RawResult) -> BarescanError:
    """Return the error that oscap's words amount to: warnings come before, usage hints after the cause."""
    words = [line for line in result.stderr.splitlines() if line.strip() and not line.startswith(_NOISE)]
    said = words[0] if words else f"exit status {result.exit_status}"
    source = plan.title.partition("#")[0]
    for file in plan.files:
        said = said.replace(f"{JOB}/{file.name}", source)
    said = visible(said, 300)
    if rule := _NO_RULE.search(said):
        return CallError(f"{plan.title} has no rule {rule.group(1)!r}", "correct --controls, or leave it out")
    if _CALLERS_FAULT.search(said):
        return CallError(f"oscap can't use {plan.title}: {said}", "check the content and the profile id")
    return ScanError(f"oscap did not finish: {said}", "see engine.log in the run's folder")


def _refuse_unselected(plan: Plan, report: dict[str, Any]) -> None:
    """Raise CallError for rules that were run by name only: they are not what the profile asks for."""
    strange = [
        control["id"].removeprefix(_PREFIX)
        for profile in report["profiles"]
        for control in profile["controls"]
        if control["tags"].get(NOT_OF_PROFILE)
    ]
    if plan.controls and strange:
        raise CallError(
            f"{plan.title} does not select {', '.join(strange[:_NAMED])}, which --controls names",
            "leave it out, or name a profile that selects it",
        )


def _rules(source: str, profile_id: str, about: Mapping[str, Any]) -> int | None:
    """Return how many rules a profile has, where known; CallError, with those there are, for an unknown one.

    As oscap does, takes an id or the end of one.
    """
    profiles: Mapping[str, Any] = about.get("profiles", {})
    if profile_id in {"(all)", "(default)"} or not profiles:
        return None
    fitting = [name for name in profiles if name.endswith(profile_id)]
    if profile_id in fitting or len(fitting) == 1:
        return int(profiles[profile_id if profile_id in fitting else fitting[0]]["rules"])
    if fitting:
        raise CallError(
            f"{source} has several profiles that end in {profile_id!r}", f"write one of: {', '.join(fitting)}"
        )
    names = [scap.short(name) for name in profiles]
    near = difflib.get_close_matches(scap.short(profile_id), names, len(names), 0.4)
    ordered = [*near, *(name for name in names if name not in near)]
    more = f" and {len(ordered) - _NAMED} more (invoke profiles --profile {source})"
    raise CallError(
        f"{source} has no profile {profile_id!r}",
        f"it has {', '.join(ordered[:_NAMED])}{more if len(ordered) > _NAMED else ''}",
    )


def _sent(source: str) -> _Content:
    """Return a file's content, unpacked: oscap itself takes up to a second to read bzip2."""
    content = read_content(Path(source))
    name = f"content/{Path(source).name.removesuffix('.bz2')}"
    digest = hashlib.sha256(content).hexdigest()
    return _Content(f"{JOB}/{name}", digest, _described(content), (SentFile(name, content),))


def read_content(path: Path) -> bytes:
    """Return the XML of an XCCDF file or a data stream, also of a .bz2; raises CallError."""
    limit = f"{path} is larger than {_MAX_CONTENT_BYTES >> 20} MiB"
    try:
        if path.stat().st_size > _MAX_CONTENT_BYTES:
            raise CallError(limit, "leave out what the profile does not need")
        content = path.read_bytes()
        if content.startswith(b"BZh"):
            content = bz2.BZ2Decompressor().decompress(content, _MAX_CONTENT_BYTES + 1)
    except OSError as error:
        raise CallError(f"{path} can't be read: {error.strerror or error}", "check the path") from None
    if len(content) > _MAX_CONTENT_BYTES:
        raise CallError(limit, "leave out what the profile does not need")
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        raise CallError(f"{path} is empty or not XML", "name an XCCDF file or a SCAP data stream")
    return content


def _described(content: bytes) -> Mapping[str, Any]:
    """Return what is known of a file; nothing where it can't be read here: oscap has the last word."""
    try:
        return scap.describe(content)
    except scap.NotScapError:
        return {}


def _full_rule(rule: str) -> str:
    return rule if rule.startswith("xccdf_") else _PREFIX + rule
