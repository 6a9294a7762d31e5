"""Builds the auditor image from `images/auditor/Dockerfile`, in one of two ways that give the same tree.

From a ready bundle (`from_bundle`): only the Dockerfile's last stage is used, and the tree it copies is sent
along; so neither a base image nor network is needed. Whole (`with_network`): the engine runs every stage.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import docker
import requests
from docker.errors import APIError, ImageNotFound
from docker.models.images import Image

import toolkit
from toolkit.auditor import deadline_label
from toolkit.bundle.build import Bundle
from toolkit.bundle.tree import EPOCH
from toolkit.dockers import reason
from toolkit.errors import CallError, ScanError
from toolkit.images.layout import LABELS, TREE, lay_out

Progress = Callable[[str], None]

CHECKOUT = Path(toolkit.__file__).parent.parent
AUDITOR_FILE = "images/auditor/Dockerfile"
CLI_FILE = "images/cli/Dockerfile"
STEP_SECONDS = 1800
"""The longest that a build may be silent: fetching packages or gems says nothing while it runs."""
_STAGE = "bundle"
_TELLING = ("FROM", "RUN", "COPY")
_COPY = f"COPY --from={_STAGE} /{TREE}/ /\n"
_AUDITOR_CONTEXT = ("LICENSE", "toolkit")
_CLI_CONTEXT = (
    "LICENSE",
    "README.md",
    "images",
    "profiles",
    "pyproject.toml",
    "requirements.lock",
    "tasks.py",
    "toolkit",
)


@dataclass(frozen=True)
class Options:
    """How the engine is to build. `network` is Docker's network mode of RUN steps; `base` a Debian image."""

    tag: str
    fresh: bool = False
    base: str = ""
    network: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


def from_bundle(client: docker.DockerClient, bundle: Bundle, options: Options, progress: Progress) -> Image:
    """Build the auditor image around a bundle of this host; nothing is fetched.

    Raises CallError without barescan's Dockerfiles, ScanError when the engine refuses.
    """
    text = last_stage(_definition(AUDITOR_FILE))
    with tempfile.TemporaryDirectory(prefix="barescan-image-") as scratch:
        labels = lay_out(bundle.path, Path(scratch))
        with _context(text, {TREE: Path(scratch, TREE)}) as context:
            progress("sending the bundle to the engine")
            return _build(client, context, options, progress, labels | _about())


def with_network(
    client: docker.DockerClient, gems: Path | None, options: Options, progress: Progress
) -> Image:
    """Build the auditor image from the whole Dockerfile: the engine fetches base image, packages and gems.

    Raises as `from_bundle` does.
    """
    if gems is not None and not gems.is_dir():
        raise CallError(f"{gems} is no directory of gems", "name a GEM_HOME or a directory of .gem files")
    text = _definition(AUDITOR_FILE)
    parts = {name: CHECKOUT / name for name in _AUDITOR_CONTEXT} | ({"gems": gems} if gems else {})
    with _context(text, parts) as context:
        options = _pinned(client, options, progress)
        progress("the engine builds every stage (minutes; it fetches packages)")
        stage = _build(client, context, options, progress, target=_STAGE)
        context.seek(0)
        again = Options(options.tag, False, options.base, options.network, options.arguments)
        return _build(client, context, again, progress, _labels_of(client, stage) | _about())


def cli(client: docker.DockerClient, options: Options, progress: Progress) -> Image:
    """Build the image of barescan itself; the engine fetches the base image and Python packages."""
    with _context(_definition(CLI_FILE), {name: CHECKOUT / name for name in _CLI_CONTEXT}) as context:
        return _build(client, context, options, progress, _about())


def last_stage(text: str) -> str:
    """Return the Dockerfile's last stage, copying from the context what it copies from the stage before."""
    _, separator, stage = text.rpartition("\nFROM scratch\n")
    if not separator or _COPY not in stage:
        raise CallError(f"{AUDITOR_FILE} does not end in a stage that barescan knows", "take the original")
    return f"FROM scratch\n{stage.replace(_COPY, f'COPY {TREE}/ /' + chr(10))}"


def _definition(name: str) -> str:
    try:
        return (CHECKOUT / name).read_text()
    except OSError as error:
        raise CallError(f"there is no {name} beside this barescan", "build images in a checkout") from error


def _about() -> dict[str, str]:
    labels = {"org.opencontainers.image.version": toolkit.__version__}
    with contextlib.suppress(OSError):
        git = ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"]
        done = subprocess.run(git, capture_output=True, text=True, check=False)
        if not done.returncode:
            labels["org.opencontainers.image.revision"] = done.stdout.strip()
    return labels


@contextlib.contextmanager
def _context(dockerfile: str, parts: Mapping[str, Path]) -> Iterator[IO[bytes]]:
    """Yield a build context: a tar archive of these files and trees, all of them root's."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            about = _uniform(tarfile.TarInfo("Dockerfile"))
            content = dockerfile.encode()
            if about:
                about.size = len(content)
                about.mtime = EPOCH
                archive.addfile(about, io.BytesIO(content))
            for name, path in sorted(parts.items()):
                archive.add(path, name, filter=_uniform)
        file.seek(0)
        yield file


def _uniform(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if "__pycache__" in member.name:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _pinned(client: docker.DockerClient, options: Options, progress: Progress) -> Options:
    """Return options with the base image by digest, where the engine has one of it or a registry gives it."""
    name = options.base or _default_base()
    try:
        try:
            image = client.images.get(name)
        except ImageNotFound:
            progress(f"pulling the base image {name}")
            repository, _, tag = name.partition(":") if "@" not in name else (name, "", "")
            image = client.images.pull(repository, tag or None)
    except (APIError, requests.RequestException) as error:
        raise ScanError(
            f"the engine has no base image {name} and can't pull it: {reason(error)}",
            "name one it has with --base, or build without --with-network, which needs none",
        ) from None
    digests = image.attrs.get("RepoDigests") or []
    base = str(digests[0]) if digests else name
    progress(f"base image: {base} ({image.id})")
    return Options(options.tag, options.fresh, base, options.network, options.arguments)


def _default_base() -> str:
    lines = _definition(AUDITOR_FILE).splitlines()
    return next(line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG BASE="))


def _build(
    client: docker.DockerClient,
    context: IO[bytes],
    options: Options,
    progress: Progress,
    labels: Mapping[str, str] | None = None,
    target: str = "",
) -> Image:
    """Have the engine build; follow what it says. With `target` only that stage, which gets no name."""
    before = _named(client, options.tag)
    arguments = dict(options.arguments) | ({"BASE": options.base} if options.base else {})
    try:
        lines = client.api.build(
            fileobj=context,
            custom_context=True,
            tag=None if target else options.tag,
            nocache=options.fresh,
            rm=True,
            forcerm=True,
            target=target or None,
            buildargs=arguments,
            labels=dict(labels or {}),
            network_mode=options.network or None,
            timeout=STEP_SECONDS,
            decode=True,
        )
        built = client.images.get(_follow(lines, progress))
    except (APIError, requests.RequestException) as error:
        raise ScanError(
            f"the engine could not build the image: {reason(error)}", "see the engine's log"
        ) from None
    if not target and before and before.id != built.id:
        with contextlib.suppress(APIError):  # it is in use, or has other names
            client.images.remove(str(before.id))
    return built


def _named(client: docker.DockerClient, tag: str) -> Image | None:
    try:
        return client.images.get(tag)
    except ImageNotFound:
        return None


def _follow(lines: Iterator[dict[str, Any]], progress: Progress) -> str:
    """Pass on the steps and our own lines; return the id of what was built. Raises ScanError as told."""
    built = complaint = last = ""
    for line in lines:
        if "error" in line:
            cause = complaint or f"{' '.join(str(line['error']).split())[-300:]} ({last[:300]})"
            raise ScanError(f"the image could not be built: {cause}", _remedy(cause))
        built = str((line.get("aux") or {}).get("ID") or built)
        said = str(line.get("stream", "")).strip()
        last = said.splitlines()[-1] if said else last
        kind, _, text = said.partition(": ")
        if kind == "barescan-error":
            complaint = text
        elif kind == "barescan":
            progress(text)
        elif kind.startswith("Step ") and text.startswith(_TELLING):
            progress(f"{kind.removesuffix(' ')}: {text[:100]}")
    if not built:
        raise ScanError("the engine ended the build without an image", "see the engine's log")
    return built


def _remedy(cause: str) -> str:
    said = cause.lower()
    if any(word in said for word in ("resolve", "no such host", "network", "connect", "timeout", "gem ")):
        return (
            "does the build reach the network? try --network host, give --gems DIR, "
            "or build without --with-network"
        )
    return "docker build, with the Dockerfile below images/, shows all that is said"


def _labels_of(client: docker.DockerClient, stage: Image) -> dict[str, str]:
    """Return the labels that the stage computed from the tree it laid out."""
    container = client.containers.create(str(stage.id), ["none"], labels=deadline_label(60))
    try:
        chunks, _ = container.get_archive(f"/{LABELS}")
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(LABELS)
            labels: dict[str, str] = json.load(file) if file else {}
    finally:
        container.remove(force=True)
    return labels
