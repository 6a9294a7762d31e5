"""What the agent recognises by single files, for systems that no demo container is of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.targets.conftest import SCAP
from toolkit import scan as scanning
from toolkit.bundle.build import Bundle
from toolkit.errors import ScanError

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.slow]
CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "alpine": (
        ["lib/ld-musl-aarch64.so.1", "lib/apk/db/installed", "bin/busybox", "bin/sh", "sbin/apk"],
        {
            "libc": "musl",
            "package_databases": ["apk"],
            "shells": ["/bin/sh", "/bin/busybox"],
            "package_managers": ["/sbin/apk"],
            "distroless": False,
        },
    ),
    "fedora": (
        ["usr/lib64/ld-linux-x86-64.so.2", "usr/lib/sysimage/rpm/rpmdb.sqlite", "usr/bin/rpm", "usr/bin/dnf"],
        {
            "libc": "glibc",
            "package_databases": ["rpm"],
            "shells": [],
            "package_managers": ["/usr/bin/rpm", "/usr/bin/dnf"],
            "distroless": False,
        },
    ),
    "suse": (["usr/lib/sysimage/rpm/Packages.db"], {"package_databases": ["rpm"], "distroless": True}),
    "chiselled": (["var/lib/chisel/manifest.wall"], {"package_databases": ["chisel"], "distroless": True}),
    "empty": (
        [],
        {"libc": None, "package_databases": [], "shells": [], "os_release": {}, "distroless": True},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_system_is_recognised_by_its_files(case: str, bundle: Bundle, tmp_path: Path) -> None:
    files, expected = CASES[case]
    for name in ("etc", *files):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name == "etc" else path.touch(mode=0o755)
    request = scanning.Request(f"rootfs://{tmp_path / 'root'}", SCAP, report_dir=tmp_path / "reports")
    with pytest.raises(ScanError, match="applies to this target"):
        scanning.scan(request, lambda: bundle)
    facts = json.loads(next(tmp_path.glob("reports/*/*/scan.json")).read_text())["target"]
    assert {name: facts[name] for name in expected} == expected
