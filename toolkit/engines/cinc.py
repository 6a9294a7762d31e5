"""CINC Auditor: InSpec profiles, run unmodified inside the target; its report is HDF already."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

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
from toolkit.engines.inspec_profile import ARCHIVES, InspecProfile, read_profile
from toolkit.engines.yaml_text import compose
from toolkit.errors import CallError, ScanError
from toolkit.reports import hdf, json_tree
from toolkit.reports.files import read_capped
from toolkit.reports.text import counted, visible

_REPORT = "report.json"
_PROFILE = "profile"
_PROGRESS = "barescan-progress "
_STATUSES = frozenset({"passed", "failed", "skipped"})
_NAMELESS = "barescan"  # what the launcher gives as id to a target that has none
_REFUSED = "refused.json"  # control id → the target's program it asked (shim.rb, Refusal)
_ABSENT = "absent.json"  # control id → programs it asked that are nowhere (likewise)
_MAX_RECORD_BYTES = 4 << 20
_RECORD_LEVELS = 3
_NAMED_PROGRAMS = 3
_NAMED_CONTROLS = 12
_MAX_TEXT_BYTES = 16 << 20
_SECRET = 0o600

# Exit statuses, `inspec exec --help` and inspec/ui.rb
_RAN = {0, 100, 101}  # all passed; some failed; none failed but some were skipped
_USAGE, _NOT_LOADED = 1, 102
_LICENCE = {172, 173, 174}

_LOG_NOISE = re.compile(r"^(?:\[[^\]]*\] )?(?:WARN|INFO|DEBUG)\b|^\s+from |^\s*$|\bwarning: ")
_NO_METHOD = re.compile(r"undefined method\b")
_OF_TARGET = re.compile(r"\((?:Train::|Errno::|NoMemoryError|NoMethodError)")


class CincEngine(Engine):
    """`cinc-auditor exec` inside the target's root."""

    name = "cinc"
    remedy = "build one with its gems: invoke bundle.build --gems DIR (or set BARESCAN_GEMS)"

    @classmethod
    def accepts(cls, profile: str) -> bool:
        """Take directories and archives."""
        return profile.endswith(ARCHIVES) or Path(profile).is_dir()

    def listed(self, source: str) -> list[Listed]:
        """Return the one profile that a directory or archive is."""
        found = read_profile(_profile_path(source))
        title = str(found.metadata.get("title") or found.metadata.get("name") or "")
        return [Listed(source, f"{title} ({counted(len(found.control_ids), 'control')})", found.sha256)]

    def plan(self, profile: str, options: Options) -> Plan:
        """Return what to run; raises CallError for an unusable profile, input or waiver."""
        found = read_profile(_profile_path(profile))
        inputs = _input_files(options)
        waivers = _text_files(options.waiver_files, "waivers", "waiver file")
        return Plan(
            argv=(
                *(f"{MOUNT}/bin/ruby", "--disable=gems"),
                *(f"{MOUNT}/lib/barescan/auditor.rb", "exec", f"{JOB}/{_PROFILE}"),
                *("--no-create-lockfile", "--no-color", "--log-level=warn"),
                *(f"--vendor-cache={SCRATCH}/cache", f"--reporter=json:{SCRATCH}/{_REPORT}"),
                *_list_option("--input-file", (f"{JOB}/{file.name}" for file in inputs)),
                *_list_option("--waiver-file", (f"{JOB}/{file.name}" for file in waivers)),
                *_list_option("--controls", map(_control, options.controls)),
            ),
            files=(*_sent(found), *inputs, *waivers),
            outputs=(_REPORT, _REFUSED, _ABSENT),
            title=profile,
            sha256=found.sha256,
            total=None if any(map(_is_pattern, options.controls)) else len(options.controls) or None,
            controls=options.controls,
            known=tuple(found.control_ids) if options.controls else (),
            waived=tuple(word for word in _names(waivers, "control_id") if not found.mentions(word)),
            warnings=tuple(_unknown_inputs(found, _names(inputs))),
        )

    def to_hdf(self, plan: Plan, result: RawResult, *, target: str) -> dict[str, Any]:
        """Return the report; raises CallError where the profile is at fault, ScanError otherwise."""
        path = result.outputs.get(_REPORT)
        if result.exit_status not in _RAN or path is None:
            raise _failure(plan, result, path)
        report = _read(path)
        _require_controls(plan, report)
        _raise_problems(plan, report)
        _hide_sensitive(report)
        _withdraw_refused(report, result.outputs.get(_REFUSED))
        _explain_absent(report, result.outputs.get(_ABSENT))
        platform = report.setdefault("platform", {})
        if platform.get("target_id") in (None, "", _NAMELESS):
            platform["target_id"] = target
        return report

    def warnings(self, plan: Plan, report: dict[str, Any]) -> list[str]:
        """Return the waivers that name no control."""
        ids = _ids(report)
        return [
            f"the waiver for {visible(name, 200)!r} has no effect: the profile has no such control"
            f"{_or_rather(name, ids)}"
            for name in plan.waived
            if name not in ids
        ]

    def progress(self, line: str) -> Progress | None:
        """Read the launcher's lines; a profile may print what it likes, so anything else is none."""
        if not line.startswith(_PROGRESS):
            return None
        try:
            said = json.loads(line.removeprefix(_PROGRESS))
        except (ValueError, RecursionError):
            return None
        control, status = (said.get("control"), said.get("status")) if isinstance(said, dict) else (0, 0)
        if not isinstance(control, str) or status not in _STATUSES:
            return None
        return Progress(visible(control, 300), status)


def coerce(name: str, text: str) -> Any:
    """Return the value of NAME=VALUE as InSpec's own `--input` takes it (input_registry.rb).

    true and false, integers and decimals, and `[…]` or `{…}` as YAML or JSON; all else is text. Raises
    CallError for brackets that are neither, where InSpec would warn with the value in the log.
    """
    text = text.removesuffix(",")
    if re.fullmatch(r"true|false", text, re.IGNORECASE):
        return text.lower() == "true"
    if re.fullmatch(r"-?\d+", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"-?\d+\.\d+", text, re.ASCII):
        return float(text)
    if re.fullmatch(r"[\[{].*[\]}]", text):
        return _structure(name, text)
    return text


def _structure(name: str, text: str) -> Any:
    for parse, errors in ((yaml.safe_load, yaml.YAMLError), (json.loads, ValueError)):
        try:
            return parse(text)
        except errors:
            continue
        except RecursionError:
            break
    raise CallError(f"the value of input {name!r} is neither YAML nor JSON", "check its brackets and quotes")


def _profile_path(profile: str) -> Path:
    path = Path(profile)
    if not path.exists():
        raise CallError(f"there is no profile {profile}", "check the path")
    if not path.is_dir() and not profile.endswith(ARCHIVES):
        raise CallError(
            f"{profile} is neither a directory nor one of {', '.join(ARCHIVES)}", "name an InSpec profile"
        )
    return path


def _sent(profile: InspecProfile) -> Iterable[SentFile]:
    for name, content in profile.files.items():
        yield SentFile(f"{_PROFILE}/{name}", content)


def _input_files(options: Options) -> tuple[SentFile, ...]:
    """Return the input files in the order in which they count, what was given as NAME=VALUE last.

    All values may be secret: they travel in files that only root may read, never in an argument.
    """
    files = _text_files(options.input_files, "inputs", "input file")
    if not options.inputs:
        return files
    values = {name: coerce(name, text) for name, text in options.inputs}
    if "" in values:
        raise CallError("an input has no name", "write --input NAME=VALUE")
    given = json.dumps(values, default=str).encode()  # JSON in ASCII is YAML too
    return (*files, SentFile(f"inputs/{len(files)}.yml", given, _SECRET))


def _text_files(paths: Iterable[Path], folder: str, what: str) -> tuple[SentFile, ...]:
    return tuple(
        SentFile(f"{folder}/{number}{_suffix(path)}", _checked(path, what), _SECRET)
        for number, path in enumerate(paths)
    )


def _suffix(path: Path) -> str:
    """Return the ending by which InSpec tells what a file is; waivers may also be CSV or JSON."""
    return path.suffix.lower() if path.suffix.lower() in {".json", ".csv"} else ".yml"


def _checked(path: Path, what: str) -> bytes:
    text = read_capped(path, _MAX_TEXT_BYTES, what)
    if _suffix(path) != ".csv" and compose(text, f"the {what} {path}") is None:
        raise CallError(f"the {what} {path} is empty", "leave it out, or put a mapping of names to values in")
    return text


def _control(word: str) -> str:
    if not word or word.startswith("-"):
        raise CallError(f"{word!r} is no id of a control", "write --controls ID")
    return word


def _is_pattern(word: str) -> bool:
    return word.startswith("/")


def _list_option(option: str, values: Iterable[str]) -> tuple[str, ...]:
    listed = tuple(values)
    return (option, *listed) if listed else ()


def _names(files: Iterable[SentFile], column: str = "") -> list[str]:
    """Return the names that inputs or waivers are given for: top-level keys, or a column of a CSV file."""
    names: list[str] = []
    for file in files:
        text = file.content.decode("utf-8-sig", errors="replace")
        if file.name.endswith(".csv"):
            rows = csv.DictReader(io.StringIO(text))
            names += [str(value) for row in rows for key, value in row.items() if key == column and value]
            continue
        node = compose(file.content, file.name)
        names += [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)] if node else []
    return list(dict.fromkeys(names))


def _unknown_inputs(profile: InspecProfile, names: Iterable[str]) -> Iterable[str]:
    declared = profile.metadata.get("inputs") or profile.metadata.get("attributes")
    listed = declared if isinstance(declared, list) else []
    known = [str(each["name"]) for each in listed if isinstance(each, dict) and "name" in each]
    for name in names:
        if name not in known and not profile.mentions(name):
            yield (
                f"the input {visible(name, 200)!r} has no effect: no file of the profile mentions it"
                f"{_or_rather(name, known)}"
            )


def _ids(report: Mapping[str, Any]) -> list[str]:
    return [str(control["id"]) for profile in report["profiles"] for control in profile["controls"]]


def _or_rather(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(dict.fromkeys(known)), 3)
    return f" (there is {', '.join(visible(each, 200) for each in near)})" if near else ""


def _require_controls(plan: Plan, report: Mapping[str, Any]) -> None:
    """Raise CallError for controls the profile has not; of patterns (/…/) one must match."""
    if not plan.controls or any(profile.get("status") == "failed" for profile in report["profiles"]):
        return
    if any(profile.get("status") == "skipped" for profile in report["profiles"]):
        return
    ids = _ids(report)
    missing = [word for word in plan.controls if not _is_pattern(word) and word not in ids]
    if not missing and not ids:
        missing = list(plan.controls)
    if missing:
        near = [each for word in missing for each in difflib.get_close_matches(word, plan.known, 3)]
        listed = ", ".join(dict.fromkeys(near)) or ", ".join(sorted(plan.known)[:_NAMED_CONTROLS])
        raise CallError(
            f"{plan.title} has no control {', '.join(map(repr, missing[:_NAMED_CONTROLS]))}",
            f"correct --controls{f'; there is {visible(listed, 600)}' if listed else ', or leave it out'}",
        )


def _failure(plan: Plan, result: RawResult, report: Path | None) -> CallError | ScanError:
    """Return the error that a run which gave no answer stands for, with the auditor's own last words."""
    status, said = result.exit_status, _words(result)
    if status in _LICENCE:
        return CallError(
            f"the bundle's InSpec asks for a licence: {said}", "build it with CINC Auditor's gems"
        )
    if status < 0:
        return ScanError(f"the auditor was killed by signal {-status}", "give the scan more memory or time")
    if status == _NOT_LOADED and report is not None:
        reasons = hdf.problems(_read(report))
        return CallError(f"{plan.title}: {reasons[0] if reasons else said}", "correct the profile")
    if status in {_USAGE, _NOT_LOADED} and not _OF_TARGET.search(said):
        return CallError(f"the auditor can't run {plan.title}: {said}", "correct the profile or its inputs")
    return ScanError(f"the auditor did not finish: {said}", "see the run's engine.log")


def _words(result: RawResult) -> str:
    """Return the first line that is no warning: the rest of a Ruby backtrace tells users nothing."""
    lines = (line for line in result.stderr.splitlines() if not _LOG_NOISE.search(line))
    return visible(next(lines, f"exit status {result.exit_status}"), 300).strip()


def _read(path: Path) -> dict[str, Any]:
    return hdf.parse(read_capped(path, hdf.MAX_SIZE, "report"), "what the auditor wrote", ScanError)


def _raise_problems(plan: Plan, report: dict[str, Any]) -> None:
    """Found nothing is not clean: raise for a profile that was not loaded and for not one control."""
    profiles = report["profiles"]
    if any(profile.get("status") == "failed" for profile in profiles):
        raise CallError(f"{plan.title}: {hdf.problems(report)[0]}", "correct the profile")
    problems = hdf.problems(report)
    if problems:
        raise ScanError(f"{plan.title}: {problems[0]}", "use a profile with controls for this target")


def _hide_sensitive(report: Mapping[str, Any]) -> None:
    """Take the values of sensitive inputs out of the report where InSpec has not."""
    for profile in report["profiles"]:
        for attribute in profile.get("attributes") or []:
            options = attribute.get("options") if isinstance(attribute, dict) else None
            if isinstance(options, dict) and options.get("sensitive") is True and "value" in options:
                options["value"] = "***"


def _withdraw_refused(report: dict[str, Any], record: Path | None) -> None:
    """Make Not Reviewed what asked a program of the target's own: none is ever run, so no answer is known.

    Raises ScanError without a sound record: passes might rest on empty answers then.
    """
    for control, program in _record(record).items():
        name = visible(str(program), 200)
        hdf.override(report, control, f"it asks {name}, a program of the target, and those are never run")


def _explain_absent(report: dict[str, Any], record: Path | None) -> None:
    """Make Not Reviewed what broke on the empty answer of a program that the target does not have.

    Only controls in error for a method that nil or an empty table has not: the profile did not expect that
    the program could be missing, and its exception says nothing about the target. Findings and passes stay.
    """
    lacking = _record(record)
    for _, control in list(hdf.effective_controls(report)):
        programs = lacking.get(control["id"])
        broken = _broken(control)
        if not programs or not isinstance(programs, list) or broken is None:
            continue
        names = ", ".join(visible(str(each), 200) for each in programs[:_NAMED_PROGRAMS])
        hdf.override(report, control["id"], f"it asks {names}, which the target does not have ({broken})")


def _broken(control: dict[str, Any]) -> str | None:
    """Return the words of the exception for want of an answer that a control ended in.

    None where it also found something: that must not go with the exception.
    """
    results = control.get("results") or []
    if hdf.control_status(control) is not hdf.Status.PROFILE_ERROR:
        return None
    if any(result.get("status") == "failed" and "backtrace" not in result for result in results):
        return None
    said = (str(result.get("message") or "") for result in results)
    return next((visible(text, 200) for text in said if _NO_METHOD.search(text)), None)


def _record(path: Path | None) -> dict[str, Any]:
    """Return what the shim wrote down; raises ScanError where it is missing or unsound."""
    if path is None:
        raise ScanError("the auditor left no record of what it could not run", "see the run's engine.log")
    try:
        record = json.loads(read_capped(path, _MAX_RECORD_BYTES, "record"))
        json_tree.check(record, _RECORD_LEVELS)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ScanError("the auditor's record of what it could not run is unreadable", "see engine.log")
    return record
