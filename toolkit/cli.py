"""The command line: the Invoke collection `ns`, and the same as the `barescan` command.

Tasks are thin: parse, call, print, exit status. Flags only, no positional arguments; every flag has help.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from invoke import Collection, Context, Exit, ParseError, Program

import toolkit
from toolkit import auditor, engines, fleet
from toolkit import bench as measuring
from toolkit import scan as scanning
from toolkit.bundle import build as bundles
from toolkit.bundle import papers
from toolkit.bundle.archive import export
from toolkit.bundle.refresh import refresh_lock
from toolkit.bundle.verify import verify
from toolkit.cli_base import complain, console, say, task
from toolkit.cli_doctor import doctor
from toolkit.cli_images import images
from toolkit.cli_kubernetes import manifests
from toolkit.cli_reports import report
from toolkit.cli_scan import PROFILE_FORMS, Wanted, scan_and_show, show_one
from toolkit.demo import targets as demo_targets
from toolkit.demo.distroless import VARIANTS as DEMO_VARIANTS
from toolkit.demo.recipes import NAMES as DEMO_CONTAINERS
from toolkit.engines.base import Options
from toolkit.errors import CallError, ScanError
from toolkit.manifests import checks
from toolkit.manifests.checks import PULL_POLICIES
from toolkit.reports.formats import FORMATS
from toolkit.reports.text import visible
from toolkit.runs import write_json
from toolkit.runtimes.base import FORMS, Selection, resolve

_DEMO_PROFILE = "scap:debian12#anssi_bp28_high"
_MOST_ROUNDS = 1000
_MOST_SECONDS = 7 * 86400
_NO_TESTS = 5
_OF_PYTEST = {2: 130, 3: 2, 4: 1}
"""What pytest ends with (interrupted, its own error, bad call) → the documented status."""


_SCAN_HELP = {
    "target": f"what to scan (may be repeated): {', '.join(FORMS)}; a pod alone means all its containers",
    "selector": "scan the pods with these labels, such as app=web,tier!=test, in --namespace",
    "namespace": "the namespace to look for pods in (default: that of the context); alone: all pods there",
    "all-namespaces": "look for pods in every namespace",
    "profile": f"{PROFILE_FORMS}; `invoke profiles` lists those of the bundle",
    "profile-sha256": "the SHA-256 that the profile must have, as `invoke profiles --profile P` prints it; "
    "with another one no target is touched",
    "engine": f"one of {', '.join(engines.NAMES)}; auto (the default) goes by what the profile is",
    "input-file": "YAML file of inputs for an InSpec profile (may be repeated)",
    "input": "one input as NAME=VALUE (may be repeated); never logged",
    "controls": "only the control or rule of this id (may be repeated)",
    "waiver-file": "InSpec waiver file (may be repeated)",
    "threshold": "threshold file (SAF's format); it alone then decides between exit status 0 and 100",
    "report-dir": "where runs are kept (default: reports)",
    "format": f"also write the report as one of {', '.join(FORMATS)} (may be repeated)",
    "timeout": "seconds after which the scan ends with status 2 "
    f"(default: {scanning.DEFAULT_TIMEOUT_SECONDS:g})",
    "include-remote-mounts": "also enter FUSE and network file systems of the target (they may never answer)",
    "trust-target": "scan also a target with SYS_PTRACE or DAC_READ_SEARCH, which could forge the result",
    "allow-network": "let the profile speak IPv4 and IPv6 in the target's network (default: no network)",
    "allow-target-exec": "let the profile start the target's own programs, whose answers are what the target "
    "wants them to be; the report says so (default: none of them is ever started)",
    "require-confinement": "full, the only value: refuse to scan where a layer of docs/security.md is "
    "missing, as Landlock on an older kernel; not with --allow-network or --allow-target-exec "
    "(default: scan.json says what was missing)",
    "image": f"auditor image for targets in containers (default: {auditor.IMAGE})",
    "privileged": "start the auditor container with all rights, where the least ones do not do",
    "jobs": f"how many targets are scanned at a time (default: {fleet.DEFAULT_JOBS}; "
    "with --resume that of the run)",
    "retries": "how often a scan that broke off, as when its target restarted, is tried again (default: 0; "
    "with --resume that of the run)",
    "resume": "folder of a run that was stopped, such as reports/2026…: scan what is missing, into the same, "
    "with the profile, its hash, the confinement and the rights of then",
    "shard": "I/N: only part I (from 0) of N of the targets, by a hash of each URI; workers that share the "
    "targets need not speak to each other",
    "image-pull-policy": f"in a cluster, when the auditor image is pulled: {', '.join(PULL_POLICIES)} "
    "(default: the cluster's own)",
    "context": "context of the kubeconfig (default: the current one)",
    "keep": "in a cluster, seconds that an auditor that was added waits for the next scan (default: 0)",
    "gems": "directory of CINC Auditor's gems for the bundle (default: BARESCAN_GEMS)",
}


@task(help=_SCAN_HELP, iterable=["target", "input_file", "input", "controls", "waiver_file", "format"])
def scan(  # noqa: PLR0913, PLR0917 one parameter a flag is how Invoke works
    _context: Context,
    target: list[str] | None = None,
    selector: str = "",
    namespace: str = "",
    all_namespaces: bool = False,
    profile: str = "",
    profile_sha256: str = "",
    engine: str = "auto",
    input_file: list[str] | None = None,
    input: list[str] | None = None,  # noqa: A002 the flag's name
    controls: list[str] | None = None,
    waiver_file: list[str] | None = None,
    threshold: str = "",
    report_dir: str = "reports",
    format: list[str] | None = None,  # noqa: A002 the flag's name
    timeout: str = f"{scanning.DEFAULT_TIMEOUT_SECONDS:g}",
    include_remote_mounts: bool = False,
    trust_target: bool = False,
    allow_network: bool = False,
    allow_target_exec: bool = False,
    require_confinement: str = "",
    image: str = auditor.IMAGE,
    privileged: bool = False,
    image_pull_policy: str = "",
    context: str = "",
    keep: str = "0",
    jobs: str = "",
    retries: str = "",
    resume: str = "",
    shard: str = "",
    gems: str = "",
) -> None:
    r"""Scan targets with an unmodified profile, from inside, without touching them.

    Exit status: 0 passed; 100 controls failed (or the threshold was not met);
    101 nothing failed but something was not reviewed; 1 bad call; 2 the target
    could not be scanned; 130 interrupted. Of several targets the first of 130,
    1, 2, 100, 101 and 0 that occurred; one that can't be scanned stops no other.

    barescan scan --profile scap:debian12#anssi_bp28_high \
      --target docker://web --target docker://db
    barescan scan --profile scap:debian12#anssi_bp28_high \
      --namespace shop --selector app=web --jobs 8
    barescan scan --resume reports/20260101T000000Z-1a2b3c
    """
    if image_pull_policy:
        checks.one_of(image_pull_policy, "--image-pull-policy", PULL_POLICIES)
    request = scanning.Request(
        target="",
        profile=profile,
        profile_sha256=_sha256(profile_sha256),
        engine=engine,
        options=Options(
            input_files=tuple(map(Path, input_file or [])),
            inputs=tuple(map(_pair, input or [])),
            controls=tuple(controls or []),
            waiver_files=tuple(map(Path, waiver_file or [])),
        ),
        threshold=Path(threshold) if threshold else None,
        report_dir=Path(report_dir),
        timeout=_seconds(timeout),
        entering=auditor.Entering(
            include_remote_mounts, trust_target, allow_network, allow_target_exec, require_confinement
        ),
        auditing=auditor.Auditing(
            image,
            privileged,
            image_pull_policy,
            _number(keep, "--keep", 0, _MOST_SECONDS, 600),
            context,
        ),
        formats=tuple(format or []),
    )
    wanted = Wanted(
        request,
        Selection(tuple(target or []), selector, namespace, all_namespaces),
        _number(jobs, "--jobs", 1, fleet.MOST_JOBS, fleet.DEFAULT_JOBS) if jobs else None,
        _number(retries, "--retries", 0, fleet.MOST_RETRIES, 2) if retries else None,
        Path(resume) if resume else None,
        shard,
    )
    raise Exit(code=scan_and_show(wanted, lambda: _bundle(gems)))


def _sha256(text: str) -> str:
    if text and not re.fullmatch(r"(?:sha256:)?[0-9a-fA-F]{64}", text):
        raise CallError(
            f"{visible(text, 80)!r} is no SHA-256, which has 64 hexadecimal digits",
            "take the hash that `invoke profiles --profile P` prints",
        )
    return text.removeprefix("sha256:").lower()


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise CallError(f"an input without a value: {name!r}", "write --input NAME=VALUE")
    return name, value


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise CallError(f"{text!r} is not a number of seconds", "write --timeout 600") from None
    if not seconds <= _MOST_SECONDS:
        raise CallError(f"--timeout may be {_MOST_SECONDS} at the most, a week", "write --timeout 600")
    return seconds


def _number(text: str, flag: str, least: int, most: int, example: int) -> int:
    try:
        return checks.number(text, flag, least, most, example)
    except CallError:
        raise CallError(
            f"{flag} must be a number from {least} to {most}, and is {text!r}", f"write {flag} {example}"
        ) from None


def _rounds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MOST_ROUNDS:
        raise CallError(f"{text!r} is no number of rounds", f"write --rounds 3 (1 to {_MOST_ROUNDS})")
    return int(text)


def _bundle(gems: str) -> bundles.Bundle:
    given = gems or os.environ.get("BARESCAN_GEMS", "")
    return bundles.ensure_bundle(Path(given) if given else None, progress=say)


@task(
    name="build",
    help={
        "gems": "directory of CINC Auditor's gems (default: BARESCAN_GEMS; without any: OpenSCAP only)",
        "locked": "refuse package versions other than the pinned ones",
    },
)
def bundle_build(_context: Context, gems: str = "", locked: bool = False) -> None:
    """Build the auditor bundle, or take it from the cache; prints where it is."""
    given = gems or os.environ.get("BARESCAN_GEMS", "")
    bundle = bundles.ensure_bundle(Path(given) if given else None, progress=say, locked=locked)
    said = json.dumps({"path": str(bundle.path), "engines": bundle.manifest["engines"]}, indent=2)
    console.print(said, soft_wrap=True)


@task(name="verify", help={"gems": _SCAN_HELP["gems"]})
def bundle_verify(_context: Context, gems: str = "") -> None:
    """Hold the bundle against its bill of materials and provenance, then start every program of it.

    Status 2 when a file is not the one that they name, or a program does not start
    in an otherwise empty root.
    """
    bundle = _bundle(gems)
    if complaints := papers.check(bundle.path):
        for complaint in complaints:
            console.print(visible(complaint, 400), markup=False, highlight=False, soft_wrap=True)
        raise ScanError(
            f"{bundle.path} is not what it says of itself: {visible(complaints[0], 400)}",
            "do not use it; build it anew",
        )
    said = f"every file of {bundle.path} is as {papers.SBOM} and {papers.PROVENANCE} say"
    console.print(said, markup=False, highlight=False, soft_wrap=True)
    failures = verify(bundle)
    for program, complaint in failures.items():
        console.print(f"{program}: {visible(complaint, 300)}", markup=False, highlight=False, soft_wrap=True)
    if failures:
        raise ScanError(
            f"{len(failures)} programs of the bundle do not start", "build it anew, or report this"
        )
    console.print(f"every program of {bundle.path} starts", markup=False, highlight=False, soft_wrap=True)


@task(
    name="export", help={"file": "what to write, such as barescan-bundle.tar.zst", "gems": _SCAN_HELP["gems"]}
)
def bundle_export(_context: Context, file: str = "", gems: str = "") -> None:
    """Write the bundle into one compressed archive, to carry it to another machine."""
    if not file.endswith((".tar.zst", ".tzst")):
        raise CallError(
            f"{file} is not the name of a .tar.zst" if file else "no file was named",
            "write --file barescan-bundle.tar.zst",
        )
    export(_bundle(gems), Path(file))
    console.print(file, markup=False, highlight=False, soft_wrap=True)


@task(name="lock")
def bundle_lock(_context: Context) -> None:
    """Refresh the versions and hashes that Debian's packages in the bundle are pinned to."""
    for name, (old, new) in refresh_lock(progress=say).items():
        console.print(
            f"{name}: {old or 'new'} → {new or 'gone'}", markup=False, highlight=False, soft_wrap=True
        )


_ENGINE_HELP = "none (namespaces of its own, no engine needed) or docker"


def _containers(engine: str) -> ModuleType | None:
    """Return the module for demo containers, loaded here only: the engine's client takes 0.2 s to load."""
    if engine not in {"none", "docker"}:
        raise CallError(f"there is no engine {engine!r} for demo targets", "write --engine none or docker")
    return importlib.import_module("toolkit.demo.containers") if engine == "docker" else None


@task(
    name="up",
    help={
        "variant": f"{', '.join(DEMO_VARIANTS)} (default: base); with an engine {', '.join(DEMO_CONTAINERS)}",
        "name": "what to call it (default: demo)",
        "engine": _ENGINE_HELP,
        "upstream": "with an engine: pull the public base images instead of putting stand-ins together",
    },
)
def targets_up(
    _context: Context, variant: str = "base", name: str = "demo", engine: str = "none", upstream: bool = False
) -> None:
    """Start a demo target: a distroless root with one program, or one of the containers in images/targets."""
    if containers := _containers(engine):
        console.print(containers.run(variant, name, say, upstream=upstream).uri)
    else:
        console.print(demo_targets.up(name, variant, progress=say).uri)


@task(name="down", help={"name": "which one; all of them when left out", "engine": _ENGINE_HELP})
def targets_down(_context: Context, name: str = "", engine: str = "none") -> None:
    """Stop demo targets and remove everything they left."""
    containers = _containers(engine)
    gone = containers.remove(name) if containers else demo_targets.down(name or None, progress=say)
    for stopped in gone:
        console.print(f"{stopped} is down", markup=False, highlight=False, soft_wrap=True)
    if not gone:
        say(f"no demo target {name} is up" if name else "no demo target is up")


@task(name="status", help={"engine": _ENGINE_HELP})
def targets_status(_context: Context, engine: str = "none") -> None:
    """List the demo targets that are up."""
    if containers := _containers(engine):
        rows = [(each.name, each.target, each.uri) for each in containers.status()]
    else:
        rows = [(each.name, each.variant, each.uri) for each in demo_targets.status()]
    if not rows:
        say("no demo target is up; start one: invoke targets.up")
    for row in (("name", "variant", "target"), *rows) if rows else ():
        console.print("  ".join(row), markup=False, highlight=False, soft_wrap=True)


@task(
    help={
        "rounds": "turns of each scan and its native twin (default: 3)",
        "json": "also write the figures to this file",
        "gems": _SCAN_HELP["gems"],
        "target": "measure one control in this running container (docker://, k8s-container://) instead",
        "image": _SCAN_HELP["image"],
    }
)
def bench(
    _context: Context,
    rounds: str = "3",
    json: str = "",
    gems: str = "",
    target: str = "",
    image: str = auditor.IMAGE,
) -> None:
    """Measure entering, whole scans against native ones, memory and size, by goals.

    Exit status: 0 everything was measured, whether or not it meets the goals;
    1 bad call; 2 something could not be measured; 130 interrupted.

    barescan bench
    barescan bench --target docker://web --rounds 5
    """
    turns = _rounds(rounds)
    if target:
        figures = measuring.beside(target, auditor.Auditing(image), turns, say)
    else:
        figures = measuring.all_figures(_bundle(gems), turns, say)
    measuring.print_table(console, figures)
    if json:
        write_json(
            Path(json), {"machine": measuring.machine(), "figures": [each.as_json() for each in figures]}
        )


@task(
    help={
        "on": "where the targets are: local (the default) or kubernetes",
        "context": "with kubernetes: context of the kubeconfig (default: its current one)",
        "image": f"with kubernetes: auditor image (default: {auditor.IMAGE})",
        "demo-image": "with kubernetes: one image for all targets, instead of those of targets.up",
        "keep": "with kubernetes: leave the namespace and its pods there",
        "gems": _SCAN_HELP["gems"],
        "report-dir": _SCAN_HELP["report-dir"],
    }
)
def demo(
    _context: Context,
    on: str = "local",
    context: str = "",
    image: str = "",
    demo_image: str = "",
    keep: bool = False,
    gems: str = "",
    report_dir: str = "reports",
) -> None:
    """Start distroless targets, scan them for real, show the tables and where the reports are.

    Ends with status 0 when the scans came to their end, whatever they found: the findings are the show.
    """
    if on == "kubernetes":
        auditing = auditor.Auditing(image or auditor.IMAGE, context=context)
        _demo_in_cluster(auditing, demo_image, Path(report_dir), keep=keep)
        return
    if on != "local":
        raise CallError(f"there is no demo on {on!r}", "write --on local or --on kubernetes")
    if context or image or demo_image or keep:
        raise CallError(
            "--context, --image, --demo-image and --keep are for a demo in a cluster",
            "add --on kubernetes, or leave them out",
        )
    bundle = _bundle(gems)
    name = f"demo-{os.getpid()}"  # its own: what `targets.up` started stays up
    target = demo_targets.up(name, "base", progress=say)
    try:
        profiles = [_DEMO_PROFILE]
        if "cinc" in bundle.manifest["engines"]:
            profiles.append(str(engines.BASELINE))
        else:
            say(
                "the bundle has no CINC Auditor, so the InSpec baseline is left out: "
                "--gems DIR or BARESCAN_GEMS=DIR gives it its gems"
            )
        for profile in profiles:
            show_one(scanning.Request(target.uri, profile, report_dir=Path(report_dir)), lambda: bundle)
    finally:
        demo_targets.down(name)


def _demo_in_cluster(auditing: auditor.Auditing, image: str, reports: Path, *, keep: bool) -> None:
    in_cluster = importlib.import_module("toolkit.demo.cluster")
    cluster = importlib.import_module("toolkit.clusters").connect(auditing.context)
    with in_cluster.targets(cluster, auditing.image, image, say, keep=keep) as targets:
        with contextlib.closing(resolve(targets[0], auditing)) as runtime:
            auditor_has = runtime.bundle(lambda: _bundle("")).manifest["engines"]
        profile = str(engines.BASELINE) if "cinc" in auditor_has else _DEMO_PROFILE
        for target in targets:  # whose namespace goes with them, unless it is kept
            request = scanning.Request(target, profile, report_dir=reports, auditing=auditing)
            show_one(request, lambda: _bundle(""), entries_stay=keep)


@task(
    name="profiles",
    help={
        "profile": "list those of this file, directory or content (scap:NAME) instead of the bundle's",
        "gems": _SCAN_HELP["gems"],
    },
)
def list_profiles(_context: Context, profile: str = "", gems: str = "") -> None:
    """List the profiles there are, as `scan --profile` takes them: the bundle's, or those of a file.

    The last lines have the SHA-256 of each content, as `scan --profile-sha256` takes it.
    """
    bundled = not profile or profile.startswith("scap:")
    manifest = _bundle(gems).manifest if bundled else {}
    found = engines.choose("auto", profile or "scap:", manifest).listed(profile or "scap:")
    if not found:
        raise CallError(
            f"{profile or 'the bundle'} names no profile",
            "name an XCCDF file, a SCAP data stream, or an InSpec profile",
        )
    width = max(len(visible(each.profile)) for each in found)
    for each in found:
        line = f"{visible(each.profile):<{width}}  {visible(each.title)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for source, sha256 in dict.fromkeys((each.profile.partition("#")[0], each.sha256) for each in found):
        line = f"{visible(source):<{width}}  sha256 {sha256}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@task(
    name="test",
    help={
        "select": "only tests that match this expression (pytest -k)",
        "path": "only tests below this path",
    },
)
def run_tests(_context: Context, select: str = "", path: str = "tests") -> None:
    """Run the tests; ends with a list of what was skipped and why."""
    arguments = [sys.executable, "-m", "pytest", path, *(["-k", select] if select else [])]
    code = subprocess.run(arguments, check=False).returncode
    if code == _NO_TESTS:
        raise CallError("no test matches", "correct --select or --path")
    raise Exit(code=_OF_PYTEST.get(code, code))


@task()
def lint(_context: Context) -> None:
    """Run the linters: ruff (rules and format), mypy in strict mode, import-linter."""
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"], ["lint-imports"]):
        program = shutil.which(command[0], path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        if program is None:
            raise CallError(f"{command[0]} is not installed", "pip install -e '.[dev]'")
        say(" ".join(command))
        code = subprocess.run([program, *command[1:]], check=False).returncode
        if code:
            raise Exit(code=code)


def _collection() -> Collection:
    collection = Collection(scan, list_profiles, demo, bench, run_tests, lint)
    collection.add_task(doctor)
    collection.add_collection(Collection("bundle", bundle_build, bundle_verify, bundle_export, bundle_lock))
    collection.add_collection(Collection("targets", targets_up, targets_down, targets_status))
    collection.add_collection(images)
    collection.add_collection(manifests)
    collection.add_collection(report)
    return collection


ns = _collection()


class _Program(Program):
    """Says where help is when a call can't be read."""

    def parse_tasks(self) -> None:
        """Read the tasks and flags; a call that can't be read is status 1 with the next step."""
        try:
            super().parse_tasks()
        except ParseError as error:
            task = error.context.name if error.context is not None else ""
            known = f"barescan {task} --help" if task else "barescan --list"
            likely = self._meant(error)
            complain(str(error), f"did you mean {likely}?" if likely else "", f"see: {known}")
            raise Exit(code=CallError.status) from None

    def _meant(self, error: ParseError) -> str:
        """Return the task or flag that is spelt nearly as what was not known, if any."""
        unknown = re.fullmatch(r"No idea what '(.+)' is!", str(error))
        if unknown is None:
            return ""
        word = unknown.group(1)
        flags = [
            name for context in (error.context, self.initial_context) if context for name in context.flags
        ]
        known = flags if word.startswith("-") else list(self.parser.contexts)
        return next(iter(difflib.get_close_matches(word, known, 1)), "")


program = _Program(name="barescan", binary="barescan", version=toolkit.__version__, namespace=ns)
