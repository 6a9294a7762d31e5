"""The Dockerfiles as they stand, with every stage run by the engine: minutes, and network in the build."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.models.images import Image

from tests.containers import PROFILE, distroless_image, running
from toolkit.auditor import BUNDLE_LABEL
from toolkit.dockers import connect
from toolkit.images import build

pytestmark = [pytest.mark.docker, pytest.mark.bundle, pytest.mark.slow]
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
NAME = f"barescan-test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def client() -> docker.DockerClient:
    return connect()


@pytest.fixture(scope="module")
def base(client: docker.DockerClient) -> Iterator[Callable[..., str]]:
    """Make a base image of Debian packages, since no registry may be in reach."""
    if not shutil.which("mmdebstrap"):
        pytest.skip("needs mmdebstrap")
    made: list[str] = []

    def make(*packages: str) -> str:
        options = [f"--include={','.join(packages)}"] if packages else []
        if "ca-certificates" in packages and CERTIFICATES.exists():  # this host's, which may know more
            options.append(f"--customize-hook=upload {CERTIFICATES} {CERTIFICATES}")
        done = subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", *options, "trixie", "-"],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"Debian's archive is out of reach: {done.stderr.decode()[-200:]}")
        tag = f"base{len(made)}"
        client.api.import_image_from_data(done.stdout, repository=NAME, tag=tag)
        made.append(f"{NAME}:{tag}")
        return made[-1]

    yield make
    for name in made:
        client.images.remove(name, force=True)


@pytest.fixture(scope="module")
def own_image(client: docker.DockerClient, base: Callable[..., str]) -> Iterator[Image]:
    """The image of barescan itself."""
    options = build.Options(f"{NAME}:cli", base=base("python3-venv", "ca-certificates"), network="host")
    yield build.cli(client, options, print)
    client.images.remove(f"{NAME}:cli", force=True)


def test_every_stage_run_by_the_engine_gives_the_layer_of_the_bundle_of_this_host(client, bundle, base):
    gems = os.environ.get("BARESCAN_GEMS", "")
    arguments = {} if gems else {"GEM_SERVER": ""}
    if not gems and "cinc" in bundle.manifest["engines"]:
        pytest.skip("this host's bundle has fetched gems, which a second fetch may find newer")
    options = build.Options(f"{NAME}:whole", base=base(), network="host", arguments=arguments)
    whole = build.with_network(client, Path(gems) if gems else None, options, print)
    try:
        ready = build.from_bundle(client, bundle, build.Options(f"{NAME}:ready"), print)
        assert whole.labels[BUNDLE_LABEL] == ready.labels[BUNDLE_LABEL]
        assert whole.attrs["RootFS"]["Layers"] == ready.attrs["RootFS"]["Layers"]
    finally:
        for name in ("whole", "ready"):
            client.images.remove(f"{NAME}:{name}", force=True)


def test_barescans_own_image_scans_a_container(client, own_image, auditor_image):
    with running(distroless_image()) as target:
        said = client.containers.run(
            own_image.id,
            ["scan", "--target", f"docker://{target.name}", "--profile", PROFILE, "--image", auditor_image],
            user="0",
            volumes=["/var/run/docker.sock:/var/run/docker.sock"],
            network_mode="none",
            entrypoint=["sh", "-c", 'barescan "$@"; echo "status $?"; ls reports/*/*', "sh"],
            remove=True,
        ).decode()
    assert "status 100" in said or "status 101" in said
    assert "report.hdf.json" in said


def test_barescans_own_image_is_nobodys_and_holds_no_tool_that_built_it(client, own_image):
    assert own_image.attrs["Config"]["User"] == "65532:65532"
    said = client.containers.run(own_image.id, ["--list"], network_mode="none", remove=True).decode()
    assert "scan" in said
    for module in ("pip", "setuptools", "mypy"):
        with pytest.raises(docker.errors.ContainerError):
            client.containers.run(
                own_image.id, ["-c", f"import {module}"], entrypoint="/opt/venv/bin/python3", remove=True
            )
