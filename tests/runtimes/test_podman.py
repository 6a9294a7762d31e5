"""A container of a real Podman, through its Docker-compatible socket."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import PROFILE, distroless_image
from toolkit.auditor import SCAN_LABEL, Auditing
from toolkit.dockers import connect
from toolkit.errors import BarescanError
from toolkit.scan import Request, scan

pytestmark = [pytest.mark.docker, pytest.mark.bundle, pytest.mark.slow]


class Podman:
    """Podman with storage of its own, away from the machine's."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "podman.sock"
        own = [f"--root={folder}/root", f"--runroot={folder}/run", "--cgroup-manager=cgroupfs"]
        runtime = shutil.which("runc") or shutil.which("crun") or "crun"
        self._command = ["podman", *own, f"--runtime={runtime}"]
        self._configuration = folder / "containers.conf"
        # Podman's own defaults are above what a machine that may not raise limits has.
        limits = '"nofile=1024:1024", "nproc=1024:1024"'
        self._configuration.write_text(f"[containers]\ndefault_ulimits = [{limits}]\n")

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @property
    def _environment(self) -> dict[str, str]:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "HOME": "/root", "CONTAINERS_CONF": str(self._configuration)}

    def serve(self) -> subprocess.Popen[bytes]:
        """Start the service and wait until it answers."""
        service = subprocess.Popen(
            [*self._command, "system", "service", "--time=0", f"unix://{self.socket}"], env=self._environment
        )
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                connect("podman")
            except BarescanError:
                time.sleep(0.2)
            else:
                break
        return service


@pytest.fixture
def podman(monkeypatch) -> Iterator[Podman]:
    if not shutil.which("podman"):
        pytest.skip("needs Podman (apt-get install podman)")
    with tempfile.TemporaryDirectory(prefix="pod-") as folder:  # Podman takes no long path for its state
        podman = Podman(Path(folder))
        monkeypatch.setenv("CONTAINER_HOST", f"unix://{podman.socket}")
        service = podman.serve()
        yield podman
        podman("rm", "--all", "--force", "--time=0")
        service.terminate()
        service.wait(30)
        podman("system", "reset", "--force")


def test_a_container_of_podman_is_scanned(podman, auditor_image, tmp_path, bundle):
    for image in (auditor_image, distroless_image()):
        archive = tmp_path / "image.tar"
        archive.write_bytes(b"".join(connect().images.get(image).save(named=True)))
        podman("load", "--input", str(archive))
    rights = ("--cap-drop=ALL", "--read-only", "--network=none")
    target = podman("run", "--detach", "--name=target", *rights, distroless_image())
    before = podman("diff", target)
    request = Request(
        "podman://target", PROFILE, report_dir=tmp_path / "reports", auditing=Auditing(auditor_image)
    )
    result = scan(request, lambda: bundle)
    assert result.summary.total > 20
    assert result.facts["target"]["uid"] == 65532
    left = connect("podman").containers.list(all=True, filters={"label": SCAN_LABEL})
    assert not left
    assert podman("diff", target) == before
