"""The demo containers, started once for all tests here, and their scans, each made once."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from toolkit import scan as scanning
from toolkit.auditor import Auditing
from toolkit.bundle.build import Bundle
from toolkit.demo import containers
from toolkit.demo.containers import RunningContainer
from toolkit.errors import ScanError
from toolkit.reports import hdf

BASELINE = Path(__file__).parents[2] / "profiles" / "distroless-baseline"
SCAP = "scap:debian12#anssi_bp28_minimal"


@dataclass(frozen=True)
class Scanned:
    """What came of a scan: the folder with its scan.json, and the controls, or why it was refused."""

    folder: Path
    statuses: dict[str, hdf.Status]
    controls: dict[str, dict[str, Any]]
    refusal: str = ""

    def ids(self, status: hdf.Status) -> set[str]:
        return {name for name, found in self.statuses.items() if found == status}

    def numbers(self, status: hdf.Status) -> set[int]:
        """Return the controls of distroless-baseline by their number."""
        return {int(name.rpartition("-")[2]) for name in self.ids(status)}


class Targets:
    """Starts containers when they are first asked for, and remembers scans."""

    def __init__(self, folder: Path, image: Callable[[], str]) -> None:
        self._folder = folder
        self._image = image
        self._running: dict[str, RunningContainer] = {}
        self._scans: dict[tuple[str, str, str], Scanned] = {}
        self.bundle: Bundle

    def running(self, target: str) -> RunningContainer:
        if target not in self._running:
            name = f"barescan-test-{target}-{os.getpid()}"
            self._running[target] = containers.run(target, name, progress=print)
        return self._running[target]

    def file(self, target: str, path: str) -> bytes:
        """Return a file of the container, by way of the engine and nothing of ours."""
        parts, _ = self.running(target).container.get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            assert member is not None
            return member.read()

    def exported(self, target: str) -> Path:
        place = self._folder / f"rootfs-{target}"
        return place if place.exists() else self.running(target).export(place)

    def saved(self, target: str) -> Path:
        """Return the image as `docker save` writes it."""
        place = self._folder / f"{target}.tar"
        if not place.exists():
            with place.open("wb") as file:
                file.writelines(self.running(target).container.image.save(named=True))  # type: ignore[union-attr]
        return place

    def scanned(self, target: str, way: str, profile: str | Path) -> Scanned:
        key = (target, way, str(profile))
        if key not in self._scans:
            self._scans[key] = self._scan(*key)
        return self._scans[key]

    def _scan(self, target: str, way: str, profile: str) -> Scanned:
        reports = self._folder / f"{target}-{way}-{Path(profile).name}"
        auditing = Auditing(self._image()) if way == "docker" else Auditing()
        request = scanning.Request(WAYS[way](self, target), profile, report_dir=reports, auditing=auditing)
        try:
            report = scanning.scan(request, lambda: self.bundle).report
        except ScanError as error:
            folders = list(reports.glob("*/*"))
            if not folders:  # the scan did not get as far as the target
                raise
            return Scanned(folders[0], {}, {}, str(error))
        controls = {control["id"]: control for control in report["profiles"][0]["controls"]}
        statuses = {name: hdf.control_status(control) for name, control in controls.items()}
        return Scanned(next(reports.glob("*/*")), statuses, controls)

    def take_down(self) -> None:
        for each in self._running.values():
            containers.remove(each.name)


WAYS: dict[str, Callable[[Targets, str], str]] = {
    "pid": lambda targets, name: f"pid://{targets.running(name).pid}",
    "rootfs": lambda targets, name: f"rootfs://{targets.exported(name)}",
    "docker": lambda targets, name: targets.running(name).uri,
    "image": lambda targets, name: f"image://{targets.running(name).container.attrs['Config']['Image']}",
    "archive": lambda targets, name: f"image://{targets.saved(name)}",
}
"""Way to a target → its URI. `pid` is what the others are compared with."""
LIVE = {"pid", "docker"}
"""Ways to a target that runs; in the others questions about its process have no answer."""


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Targets]:
    """All demo containers; those that were used are gone afterwards."""
    made = Targets(tmp_path_factory.mktemp("targets"), lambda: str(request.getfixturevalue("auditor_image")))
    yield made
    made.take_down()


@pytest.fixture
def scans(targets: Targets, bundle: Bundle) -> Targets:
    """The same, able to scan."""
    targets.bundle = bundle
    return targets
