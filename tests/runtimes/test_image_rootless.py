"""Without root: an image's owners are kept in a user namespace, or it is said what is missing."""

from __future__ import annotations

import json
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.runtimes.image_builders import device, entry, layer, saved
from toolkit import scan as scanning
from toolkit.demo import distroless
from toolkit.reports import hdf

USER = "barescan-test"
REPOSITORY = Path(__file__).parents[2]
Scan = Callable[..., subprocess.CompletedProcess[str]]
PROFILE = "scap:debian12#anssi_bp28_high"
ABOVE = layer(
    entry("etc/shadow", b"root:*:1::::::\n", mode=0o600, uid=7, gid=42),
    entry("srv/secret/", mode=0o700, uid=1000, gid=1000),
    entry("srv/secret/open", b"x", mode=0o666, uid=1000, gid=65_534),
    entry("usr/bin/program", b"x", mode=0o4755, uid=65_534, gid=65_534),
)


def _why_not() -> str:
    missing = [each for each in ("umoci", "newuidmap", "useradd", "setpriv") if not shutil.which(each)]
    if missing:
        return f"needs {', '.join(missing)}"
    if not Path("/usr/bin/python3").exists() or sys.version_info[:2] != _version("/usr/bin/python3"):
        return "needs a Python of this version that every user may run"
    return ""


def _version(python: str) -> tuple[int, ...]:
    said = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, said.split()[1].split(".")[:2]))


pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.slow]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The home of a user who has subordinate ids."""
    if reason := _why_not():
        pytest.skip(reason)
    subprocess.run(["useradd", "--create-home", USER], check=True, capture_output=True)
    yield Path(pwd.getpwnam(USER).pw_dir)
    subprocess.run(["userdel", "--remove", USER], check=True, capture_output=True)


@pytest.fixture(scope="module")
def scan(home, bundle) -> Scan:
    """Return a function that runs `barescan scan` as that user, with copies of what is root's own."""
    packages, own = home / "packages", home / "bundle"
    subprocess.run(["cp", "-a", sysconfig.get_path("purelib"), packages], check=True)
    subprocess.run(["cp", "-a", bundle.path, own], check=True)
    (home / "scratch").mkdir()
    shutil.copytree(REPOSITORY / "toolkit", packages / "toolkit", dirs_exist_ok=True)
    subprocess.run(["chown", f"{USER}:", home / "scratch"], check=True)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(home),
        "TMPDIR": str(home / "scratch"),
        "BARESCAN_BUNDLE": str(own),
        "PYTHONPATH": str(packages),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(target: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        user = pwd.getpwnam(USER)
        ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        code = "from toolkit.cli import program; program.run()"
        command = [*before, "setpriv", *ids, "/usr/bin/python3", "-c", code, "scan", "--target", target]
        return subprocess.run(
            [*command, "--profile", PROFILE, "--report-dir", str(home / "reports")],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def statuses(folder: Path) -> dict[str, hdf.Status]:
    report = json.loads((folder / "report.hdf.json").read_text())
    return {control["id"]: hdf.control_status(control) for control in report["profiles"][0]["controls"]}


def test_the_results_are_those_that_root_gets(scan, home, bundle, tmp_path):
    tree = distroless.assemble("base")
    packed = subprocess.run(["tar", "-C", tree, "-c", "."], check=True, capture_output=True).stdout
    uri = f"image://{saved(home / 'base.tar', packed, ABOVE)}"
    result = scan(uri)
    assert result.returncode == 100, result.stderr
    assert list((home / "scratch").iterdir()) == []
    folder = max((home / "reports").glob("*/*/"), key=lambda path: path.stat().st_mtime)
    assert folder.stat().st_uid == pwd.getpwnam(USER).pw_uid
    by_root = scanning.scan(scanning.Request(uri, PROFILE, report_dir=tmp_path), lambda: bundle)
    ours = statuses(folder)
    assert ours == statuses(by_root.folder)
    by_name = {name.rpartition("content_rule_")[2]: status for name, status in ours.items()}
    assert by_name["file_owner_etc_shadow"] is hdf.Status.FAILED
    assert by_name["file_owner_etc_passwd"] is hdf.Status.PASSED


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (layer(entry("x", uid=200_000)), "owner 200000"),
        (layer(device("tmp/disk", 8, 0)), "device node (tmp/disk)"),
    ],
)
def test_what_a_user_can_not_make_is_refused(scan, home, bad, words):
    result = scan(f"image://{saved(home / 'a.tar', bad)}")
    assert result.returncode == 2
    assert words in " ".join(result.stderr.split())
    assert "sudo" in result.stderr
    assert list((home / "scratch").iterdir()) == []


def test_a_user_without_subordinate_ids_is_told(scan, home):
    saved(home / "a.tar", ABOVE)
    subprocess.run(["usermod", "--del-subuids", "0-4000000000", USER], check=True)
    try:
        result = scan(f"image://{home}/a.tar")
    finally:
        subprocess.run(["usermod", "--add-subuids", "500000-565535", USER], check=True)
    assert result.returncode == 2
    assert "has no subordinate ids in /etc/subuid" in " ".join(result.stderr.split())
    assert "usermod --add-subuids" in result.stderr


def test_a_system_that_allows_no_user_namespaces_is_named(scan, home, tmp_path):
    other = tmp_path / "root"
    other.mkdir()
    # The kernel gives none to a process whose root is not that of its mount namespace.
    script = f'mount --rbind / "{other}" && exec chroot "{other}" "$@"'
    result = scan(
        f"image://{saved(home / 'a.tar', ABOVE)}",
        before=["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"],
    )
    assert result.returncode == 2
    assert "allows no user namespaces" in " ".join(result.stderr.split())
    assert list((home / "scratch").iterdir()) == []
