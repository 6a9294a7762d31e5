"""The profile in the real auditor, inside real targets: what knowledge of the images says must come out."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.profiles.conftest import PROFILE
from toolkit import scan as scanning
from toolkit.bundle.build import Bundle
from toolkit.demo import distroless, targets

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.auditor, pytest.mark.slow]
EXPIRED = "BARE-DL-000230"


@pytest.fixture
def names() -> Iterator[list[str]]:
    started: list[str] = []
    yield started
    for name in started:
        targets.down(name)


def _scan(uri: str, bundle: Bundle, folder: Path) -> dict[str, str]:
    """Return control → failed, skipped or passed, the worst of its results."""
    result = scanning.scan(scanning.Request(uri, str(PROFILE), report_dir=folder), lambda: bundle)
    return {control["id"]: _status(control) for control in result.report["profiles"][0]["controls"]}


def _status(control: dict[str, Any]) -> str:
    statuses = {result["status"] for result in control["results"]}
    assert not any(result.get("exception") for result in control["results"]), control
    return next(status for status in ("error", "failed", "skipped", "passed") if status in statuses)


def _only(statuses: dict[str, str], status: str) -> set[str]:
    return {name for name, found in statuses.items() if found == status}


def _controls(*numbers: int) -> set[str]:
    return {f"BARE-DL-{number:06d}" for number in numbers}


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
@pytest.mark.parametrize("variant", ["static", "base"])
def test_stock_image_passes_all_but_what_debian_itself_leaves(
    variant: str, suite: str, names: list[str], bundle: Bundle, tmp_path: Path
) -> None:
    name = f"profile-{variant}-{suite}"
    names.append(name)
    statuses = _scan(targets.up(name, variant, suite=suite).uri, bundle, tmp_path)
    assert len(statuses) == 29
    assert _only(statuses, "skipped") == _only(statuses, "error") == set()
    assert _only(statuses, "failed") == ({EXPIRED} if _expired(variant, suite) else set())


def _expired(variant: str, suite: str) -> bool:
    """Say, by another program than the profile's, whether the bundle holds an expired certificate."""
    bundle = distroless.assemble(variant, suite=suite) / "etc/ssl/certs/ca-certificates.crt"  # type: ignore[arg-type]
    blocks = bundle.read_text().split("-----END CERTIFICATE-----\n")[:-1]
    assert shutil.which("openssl"), "openssl is needed to know what to expect"
    return any(
        subprocess.run(
            ["openssl", "x509", "-noout", "-checkend", "0"],
            input=(block + "-----END CERTIFICATE-----\n").encode(),
            capture_output=True,
            check=False,
        ).returncode
        for block in blocks
    )


def test_image_with_nothing_lacks_only_what_is_not_there(
    names: list[str], bundle: Bundle, tmp_path: Path
) -> None:
    names.append("profile-nothing")
    statuses = _scan(targets.up("profile-nothing", "nothing").uri, bundle, tmp_path)
    assert _only(statuses, "failed") == _controls(170, 220, 240)
    assert _only(statuses, "skipped") == _controls(30, 150, 160, 230)


def test_faults_planted_in_a_running_target_are_found(
    names: list[str], bundle: Bundle, tmp_path: Path
) -> None:
    names.append("profile-faults")
    target = targets.up("profile-faults", "base")
    root = target.root
    shutil.copy("/bin/sh", root / "usr/bin/sh")
    (root / "usr/bin/sh").chmod(0o4755)
    (root / "app.py").write_text("")
    (root / "app.py").chmod(0o666)
    (root / "etc/services").chmod(0o666)
    (root / "usr/share/zoneinfo/Europe/London").unlink()
    with (root / "etc/passwd").open("a") as passwd:
        passwd.write("toor::0:0::/:/usr/bin/sh\n")
    statuses = _scan(target.uri, bundle, tmp_path)
    assert _only(statuses, "failed") - {EXPIRED} == _controls(
        10, 30, 70, 120, 130, 160, 240, 260, 270, 280, 290
    )


def test_tree_that_is_not_running_leaves_its_process_unreviewed(bundle: Bundle, tmp_path: Path) -> None:
    root = distroless.assemble("base")
    statuses = _scan(f"rootfs://{root}", bundle, tmp_path)
    assert _only(statuses, "skipped") == _controls(40, 50, 60, 140)
    assert _only(statuses, "failed") <= {EXPIRED}
