"""What tests of runs with many targets share."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers import PROFILE, distroless_image, running
from tests.scan.conftest import barescan  # noqa: F401 a fixture
from toolkit import fleet
from toolkit.auditor import SCAN_LABEL
from toolkit.dockers import connect
from toolkit.scan import Request


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    """All of a request but its target."""
    return Request("", PROFILE, report_dir=tmp_path / "reports")


@pytest.fixture
def containers() -> Iterator[list[Any]]:
    """Three containers to scan."""
    image = distroless_image()
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running(image)) for _ in range(3)]


def run_of(reports: Path) -> tuple[Path, dict[str, Any]]:
    """Return the one run there is and what its `run.json` says."""
    (path,) = reports.glob("*/run.json")
    return path.parent, json.loads(path.read_text())


def begin(uris: list[str], request: Request) -> fleet.Run:
    return fleet.begin(uris, request, fleet.describe(request))


def auditors_beside(targets: list[Any]) -> list[Any]:
    """Return the auditors in the PID namespaces of these targets."""
    modes = {f"container:{each.id}" for each in targets}
    found = connect().containers.list(all=True, filters={"label": SCAN_LABEL}, ignore_removed=True)
    return [each for each in found if each.attrs["HostConfig"]["PidMode"] in modes]
