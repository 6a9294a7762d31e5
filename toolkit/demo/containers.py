"""The demo targets as containers of a Docker engine: built, run with the least rights, removed.

What is built is in `images/targets`. Nothing is pulled unless asked for: each Dockerfile's base is put
together here as a tree, imported with its owners and modes, and handed over as the build argument BASE.
"""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from docker.errors import APIError, BuildError, ImageNotFound, NotFound
from docker.models.containers import Container

from toolkit import dockers
from toolkit.demo import cache, distroless, needs
from toolkit.demo.recipes import NAMES, RECIPES, Recipe
from toolkit.errors import CallError, ScanError

PLACE = Path(__file__).parents[2] / "images" / "targets"
LABEL = "io.barescan.demo"
"""On every image, container and volume of ours; its value is the target's name."""
_PREFIX = "barescan-target"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_PORT = ":1F90"  # 8080, where the program listens, as /proc/net/tcp writes it
_START_SECONDS = 20
_STOP_SECONDS = 3


@dataclass(frozen=True)
class RunningContainer:
    """A container of ours, as it was when it was looked at."""

    container: Container
    name: str
    target: str

    @property
    def pid(self) -> int:
        """Return its main process as the engine's host numbers it; 0 when it does not run."""
        return int(self.container.attrs["State"]["Pid"])

    @property
    def uri(self) -> str:
        """Return its address for a scan."""
        return f"docker://{self.name}"

    def export(self, folder: Path) -> Path:
        """Unpack its file system, without volumes and mounts, into a new directory and return that.

        Owners and modes are kept; raises ScanError when it can't be unpacked.
        """
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            parts = cast("Iterable[bytes]", self.container.export())  # the stubs say str
            archive.writelines(parts)
            archive.flush()
            tar = ["tar", "--extract", "--file", archive.name, "--directory", str(folder)]
            tar += ["--same-owner", "--numeric-owner", "--preserve-permissions"]
            needs.run(tar, "see whether the disk is full")
        return folder


def build(
    names: Iterable[str] = NAMES, progress: cache.Progress = cache.silent, *, upstream: bool = False
) -> dict[str, str]:
    """Build targets and return name → image reference; what has not changed comes from the engine's cache.

    With `upstream` the bases that the Dockerfiles name are pulled, else stand-ins are put together. Raises
    CallError for an unknown name, ScanError when the engine, the archive or the host does not play along.
    """
    wanted = list(names)
    for name in wanted:
        _known(name)
    client = dockers.connect()
    return {name: _build(client, name, progress, upstream=upstream) for name in wanted}


def run(
    target: str, name: str = "", progress: cache.Progress = cache.silent, *, upstream: bool = False
) -> RunningContainer:
    """Build a target and start it with the least rights it needs; `name` is that of the container.

    Returns once its program listens. A container of this name that runs already is taken as it is when it is
    this target. Raises CallError for unknown or taken names, ScanError when it can't be started.
    """
    called = name or f"{_PREFIX}-{target}"
    if not _NAME.fullmatch(called):
        raise CallError(f"{called!r} is no name for a container", "use up to 40 of a-z, 0-9 and -")
    image = build([target], progress, upstream=upstream)[target]
    client = dockers.connect()
    found = _found(client, called)
    if found and found.labels.get(LABEL) != target:
        raise CallError(f"there is a container {called} already", "take another name, or remove it")
    if found and found.status != "running":
        found.remove(force=True, v=True)
        found = None
    if not found:
        progress(f"starting {called}")
        found = _start(client, image, target, called)
    return RunningContainer(_listening(found), called, target)


def remove(name: str = "") -> list[str]:
    """Remove the container `name` of ours, or all of them, with volumes; images stay. Returns the names."""
    client = dockers.connect()
    gone = [each for each in _ours(client) if name in ("", each.name)]
    for each in gone:
        each.remove(force=True, v=True)
        _remove_volume(client, str(each.name))
    return [str(each.name) for each in gone]


def status() -> list[RunningContainer]:
    """Return our containers that run, by name."""
    found = [each for each in _ours(dockers.connect()) if each.status == "running"]
    return [RunningContainer(each, str(each.name), each.labels[LABEL]) for each in found]


def _known(name: str) -> Recipe:
    if name not in RECIPES:
        raise CallError(f"there is no demo container {name!r}", f"take one of {', '.join(NAMES)}")
    return RECIPES[name]


def _build(client: Any, name: str, progress: cache.Progress, *, upstream: bool) -> str:
    recipe, reference = RECIPES[name], f"{_PREFIX}-{name}:latest"
    arguments = {}
    if recipe.base and not upstream:
        arguments["BASE"] = _imported(client, name, recipe, progress)
    progress(f"building {reference}")
    try:
        client.images.build(
            fileobj=_context(name, recipe.program),
            custom_context=True,
            tag=reference,
            buildargs=arguments,
            labels={LABEL: name},
            rm=True,
            forcerm=True,
        )
    except (APIError, BuildError) as error:
        raise ScanError(
            f"the image of {name} can't be built: {str(error)[:300]}",
            "without --upstream nothing has to be pulled" if upstream else "see the engine's log",
        ) from None
    return reference


def _imported(client: Any, name: str, recipe: Recipe, progress: cache.Progress) -> str:
    """Return the reference of the base's stand-in, imported on the first call; its tag is its content."""
    root = cast("Callable[[cache.Progress], Path]", recipe.base)(progress)
    repository = f"{_PREFIX}-base-{name}"
    tag = cache.key([root.name, *recipe.configuration])
    try:
        client.images.get(f"{repository}:{tag}")
    except ImageNotFound:
        progress(f"importing {repository}")
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            tar = ["tar", "--create", "--file", archive.name, "--directory", str(root)]
            needs.run([*tar, "--numeric-owner", "--sort=name", "."], "see whether the disk is full")
            said = client.api.import_image(
                src=archive.name, repository=repository, tag=tag, changes=list(recipe.configuration)
            )
        if '"error"' in said:
            raise ScanError(
                f"the base of {name} can't be imported: {said[-300:]}", "see the engine's log"
            ) from None
    return f"{repository}:{tag}"


def _context(name: str, program: str) -> io.BytesIO:
    """Return the directory of the target's Dockerfile as a build context, with the program in it.

    Times, owners and modes are fixed, so that the engine finds in its cache what it built before.
    """
    content = {
        path.relative_to(PLACE / name).as_posix(): path.read_bytes() for path in _sources(PLACE / name)
    }
    if program:
        content["server"] = distroless.compiled(static=program == "static").read_bytes()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, data in sorted(content.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o755 if path == "server" else 0o644
            archive.addfile(member, io.BytesIO(data))
    stream.seek(0)
    return stream


def _sources(folder: Path) -> list[Path]:
    if not (folder / "Dockerfile").is_file():
        raise CallError(f"there is no {folder / 'Dockerfile'}", "run from a checkout of barescan")
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def _start(client: Any, image: str, target: str, name: str) -> Container:
    recipe = RECIPES[target]
    options = dict(recipe.rights)
    labels = {LABEL: target}
    if recipe.volume:
        _remove_volume(client, name)
        client.volumes.create(name, labels=labels)
        options["volumes"] = {name: {"bind": recipe.volume, "mode": "rw"}}
    try:
        container: Container = client.containers.run(
            image, name=name, hostname=target, labels=labels, detach=True, **options
        )
    except (APIError, ImageNotFound) as error:
        raise ScanError(f"{name} can't be started: {str(error)[:300]}", "see the engine's log") from None
    return container


def _listening(container: Container) -> Container:
    """Return the container once its program listens; raises ScanError when it ends before."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        container.reload()
        if container.status not in {"created", "running"}:
            said = container.logs(tail=3).decode(errors="replace").strip()
            raise ScanError(
                f"{container.name} ended at once: {said[-300:]}", "see whether it runs on this kernel"
            )
        if container.status == "running" and _listens(int(container.attrs["State"]["Pid"])):
            container.reload()  # what has ended meanwhile can't be looked at either
            if container.status == "running":
                return container
            continue
        time.sleep(0.02)
    raise ScanError(f"{container.name} does not listen after {_START_SECONDS} s", "see: docker logs")


def _listens(pid: int) -> bool:
    try:
        rows = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()
    except OSError:
        return True  # the engine is on another machine, or its processes are not for us to see
    return any(row.split()[1].endswith(_PORT) for row in rows)


def _found(client: Any, name: str) -> Container | None:
    try:
        container: Container = client.containers.get(name)
    except NotFound:
        return None
    return container


def _ours(client: Any) -> list[Container]:
    found = client.containers.list(all=True, filters={"label": LABEL})
    return sorted(found, key=lambda each: str(each.name))


def _remove_volume(client: Any, name: str) -> None:
    try:
        volume = client.volumes.get(name)
    except NotFound:
        return
    if LABEL in (volume.attrs.get("Labels") or {}):
        volume.remove(force=True)
