"""A small tree without a fault, the profile over a tree, and programs built the wrong way."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROFILE = Path(__file__).parents[2] / "profiles/distroless-baseline"
HERE = Path(__file__).parent
Audit = Callable[..., dict[str, Any]]

_STATUS = (
    "Name:\tapp\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t65532\t65532\t65532\t65532\nGroups:\t{groups}\n"
    "CapInh:\t{cap}\nCapPrm:\t{cap}\nCapEff:\t{cap}\nCapBnd:\t000001ffffffffff\nCapAmb:\t{cap}\nNoNewPrivs:\t{nnp}\n"
)


def process_status(uid: int = 65532, cap: str = "0" * 16, nnp: int = 1, groups: str = "") -> str:
    """Return the text of /proc/1/status for a process of these rights."""
    return _STATUS.format(uid=uid, cap=cap, nnp=nnp, groups=groups)


@pytest.fixture(scope="session")
def ruby() -> str:
    path = shutil.which("ruby")
    if path is None:
        pytest.skip("needs Ruby to evaluate the profile (apt-get install ruby)")
    return path


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Return a function that compiles a program that does nothing with the given flags of gcc."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc to build programs with faults (apt-get install gcc libc6-dev)")
    folder = tmp_path_factory.mktemp("programs")
    (folder / "main.c").write_text("int main(void) { return 0; }\n")

    def build(*flags: str) -> bytes:
        subprocess.run(["gcc", "-o", "program", "main.c", *flags], cwd=folder, check=True)
        return (folder / "program").read_bytes()

    return build


@pytest.fixture(scope="session")
def certificate(ruby: str) -> Callable[[str, int], str]:
    def make(name: str, days: int) -> str:
        command = [ruby, str(HERE / "certificate.rb"), name, str(days)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return make


def put(path: Path, content: bytes | str, mode: int = 0o644) -> Path:
    """Write a file with its directories, all 0755 and of the user who runs the tests."""
    for parent in reversed(path.parents):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


@pytest.fixture(scope="session")
def faultless(
    tmp_path_factory: pytest.TempPathFactory,
    compiled: Callable[..., bytes],
    certificate: Callable[[str, int], str],
) -> Path:
    """A tree in which no control has anything to find."""
    root = tmp_path_factory.mktemp("faultless")
    root.chmod(0o755)
    put(root / "app", compiled("-fPIE", "-pie", "-Wl,-z,relro,-z,now"), 0o755)
    put(root / "etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nweb:x:65532:65532::/:/sbin/nologin\n")
    put(root / "etc/group", "root:x:0:\nweb:x:65532:\n")
    put(root / "etc/shadow", "root:*:1:0:99999:7:::\nweb:!:1:0:99999:7:::\n", 0o640)
    put(root / "usr/lib/os-release", 'ID=debian\nVERSION_ID="12"\n')
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    put(root / "etc/ssl/certs/ca-certificates.crt", certificate("Good", 30), 0o555)
    for zone in ("UTC", "Europe/London", "America/New_York"):
        put(root / "usr/share/zoneinfo" / zone, b"TZif2" + b"\0" * 39 + b"\nUTC0\n")
    library = put(root / "usr/lib/libgood.so.1", compiled("-shared", "-fPIC", "-Wl,-z,relro"))
    digest = hashlib.md5(library.read_bytes(), usedforsecurity=False).hexdigest()
    put(root / "var/lib/dpkg/status.d/libgood.md5sums", f"{digest}  usr/lib/libgood.so.1\n")
    put(root / "proc/1/status", process_status())
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    return root


@pytest.fixture
def tree(faultless: Path, tmp_path: Path) -> Path:
    """A copy of the faultless tree, to put faults into."""
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", str(faultless), str(root)], check=True)
    return root


@pytest.fixture(scope="session")
def audit(ruby: str) -> Audit:
    """Return a function (tree, live, **inputs) → control id → findings, skipped and more."""

    def run(root: Path, *, live: bool = True, timeout: float = 60, **inputs: Any) -> dict[str, Any]:
        job = {"profile": str(PROFILE), "live": live, "inputs": {"root": str(root), **inputs}}
        done = subprocess.run(
            [ruby, str(HERE / "audit.rb")],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, done.stderr
        results: dict[str, Any] = json.loads(done.stdout)
        return results

    return run


def failed(results: dict[str, Any]) -> dict[str, list[str]]:
    """Return the controls that found something, with what they found."""
    return {name: result["findings"] for name, result in results.items() if result["findings"]}


def skipped(results: dict[str, Any]) -> dict[str, list[str]]:
    """Return the controls that are not reviewed, with the reasons."""
    return {name: result["skipped"] for name, result in results.items() if result["skipped"]}
