"""Proves an auditor image: it scans a container of its own, and there starts every program of the bundle.

That container's root holds nothing but what makes it sleep, it has no rights and no network, and the auditor
is brought beside it as beside any target: least capabilities, read-only, confined by its own agent. So what
starts here starts beside every target.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError
from docker.models.containers import Container
from docker.models.images import Image

from toolkit.auditor import IMAGE_BUNDLE, Auditing, deadline_label
from toolkit.bundle.verify import CALLS, STATUS, engine_calls
from toolkit.dockers import reason
from toolkit.engines.base import JOB, MOUNT, SentFile
from toolkit.errors import ScanError
from toolkit.images import inside
from toolkit.runtimes.base import resolve
from toolkit.runtimes.session import Outcome, converse

SECONDS = 300.0
_NOBODY = "65534:65534"
_SLEEP = (
    f"{IMAGE_BUNDLE}/lib/loader",
    *("--library-path", f"{IMAGE_BUNDLE}/lib", f"{IMAGE_BUNDLE}/bin/sleep", f"{SECONDS:g}"),
)
_SHOW_EVERY = 25


def selftest(
    client: docker.DockerClient, image: Image, progress: Callable[[str], None], kind: str = "docker"
) -> dict[str, str]:
    """Start every program and engine of the image once; return each with its complaint, empty if it starts.

    `kind` is how `client` was connected. Raises ScanError when the test did not come to its end.
    """
    findings: dict[str, str] = {}
    outcome = Outcome()

    def take(line: str) -> None:
        said = json.loads(line)
        findings[said["program"]] = said["complaint"]
        if len(findings) % _SHOW_EVERY == 0:
            progress(f"{len(findings)} programs started")

    with _target(client, image) as target, tempfile.TemporaryDirectory(prefix="barescan-") as folder:
        runtime = resolve(f"{kind}://{target.id}", Auditing(image=str(image.id)))
        bundle = runtime.bundle(_none_of_this_host)
        failure = None
        with runtime.attach(bundle.path, SECONDS) as connection:
            try:
                converse(
                    connection, _job(runtime.job()), _files(bundle.manifest), Path(folder), take, outcome
                )
            except ScanError as error:
                failure = error
        if failure:
            raise runtime.explained(failure, connection.complaint)
    if outcome.exit_status != 0 or not findings:
        raise ScanError(f"the self-test in the image broke off: {outcome.stderr[-300:]}", "build it anew")
    return findings


@contextlib.contextmanager
def _target(client: docker.DockerClient, image: Image) -> Iterator[Container]:
    """Run a container of the image that does nothing and may do nothing; it is removed in any case."""
    container = None
    try:
        container = client.containers.create(
            str(image.id),
            entrypoint=list(_SLEEP),
            user=_NOBODY,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            network_mode="none",
            read_only=True,
            labels=deadline_label(2 * SECONDS),
        )
        try:
            container.start()
        except APIError as error:
            raise ScanError(
                f"a container of the image can't be started: {reason(error)}", "build it anew"
            ) from None
        yield container
    finally:
        if container:
            with contextlib.suppress(APIError):
                container.remove(force=True)


def _none_of_this_host() -> Any:
    raise ScanError("the self-test is of the image's own bundle", "report this")


def _job(target: dict[str, Any]) -> dict[str, Any]:
    return {
        **target,
        "bundle": IMAGE_BUNDLE,
        "argv": [f"{MOUNT}/bin/python3", "-I", "-S", "-B", f"{JOB}/inside.py", f"{JOB}/calls.json"],
        "env": {},
        "outputs": [],
        "timeout": SECONDS,
        "trust_target": True,  # it is our own, and a program that does not start is what is looked for
    }


def _files(manifest: dict[str, Any]) -> tuple[SentFile, ...]:
    calls = {"arguments": CALLS, "status": STATUS, "engines": engine_calls(manifest)}
    return (
        SentFile("inside.py", Path(inside.__file__).read_bytes()),
        SentFile("calls.json", json.dumps(calls).encode()),
    )
