"""What tests of scans in clusters share: scans as users run them, programs of the bundle beside a target."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.containers import PROFILE
from tests.kubernetes.clusters import Cluster
from toolkit import clusters, fleet
from toolkit.auditor import IMAGE_BUNDLE, IMAGE_LOADER, Auditing, Entering
from toolkit.bundle.build import Bundle
from toolkit.errors import BarescanError
from toolkit.runtimes.base import Connection
from toolkit.runtimes.kubernetes import channels, select
from toolkit.scan import Request, Result, Watcher, scan

LOADER = [f"{IMAGE_BUNDLE}/lib/{IMAGE_LOADER}", "--library-path", f"{IMAGE_BUNDLE}/lib"]


@dataclass
class Scanner:
    """Scans in one cluster with one auditor image."""

    cluster: Cluster
    image: str
    bundle: Bundle
    reports: Path

    def __call__(
        self,
        target: str,
        watcher: Watcher | None = None,
        kubeconfig: Path | None = None,
        entering: Entering | None = None,
        **auditing: Any,
    ) -> Result:
        """Scan a target: `NAMESPACE/POD/CONTAINER` in the cluster, or a URI."""
        request = replace(self._request(target, auditing), entering=entering or Entering())
        with kubeconfig_is(kubeconfig or self.cluster.kubeconfig):
            return scan(request, lambda: self.bundle, watcher)

    def with_retries(self, target: str, watcher: Watcher, retries: int) -> tuple[Result, fleet.Outcome]:
        """Scan a target, again where that may help."""
        with kubeconfig_is(self.cluster.kubeconfig):
            return fleet.scan_one(
                self._request(target, {}), lambda: self.bundle, watcher, {}, retries=retries
            )

    def _request(self, target: str, auditing: dict[str, Any]) -> Request:
        uri = target if "://" in target else f"k8s-container://{target}"
        wanted = {"image": self.image, "pull_policy": "Never"} | auditing
        return Request(uri, PROFILE, report_dir=self.reports, auditing=Auditing(**wanted))

    def refused(self, target: str, **more: Any) -> BarescanError:
        """Return the error that a scan ends with."""
        try:
            self(target, **more)
        except BarescanError as error:
            return error
        raise AssertionError(f"{target} was scanned")

    def expanded(self, namespace: str) -> list[str]:
        """Return the targets of a namespace."""
        with kubeconfig_is(self.cluster.kubeconfig):
            auditing = Auditing(image=self.image)
            return select.find("", namespace, all_namespaces=False, auditing=auditing)[0]

    @contextlib.contextmanager
    def program(self, namespace: str, pod: str, container: str, *command: str) -> Iterator[Connection]:
        """Run a program of the bundle in an auditor's container, over the stream that scans use."""
        with kubeconfig_is(self.cluster.kubeconfig):
            program = [*LOADER, f"{IMAGE_BUNDLE}/bin/{command[0]}", *command[1:]]
            started = clusters.connect().execute(namespace, pod, container, program)
        with channels.conversation(started) as connection:
            yield connection

    def output(self, namespace: str, pod: str, container: str, *command: str) -> str:
        """Return what a program of the bundle prints in an auditor's container."""
        said = b""
        with self.program(namespace, pod, container, *command) as connection:
            os.set_blocking(connection.stream.read_fd, True)
            while part := os.read(connection.stream.read_fd, 1 << 16):
                said += part
        return said.decode()


@contextlib.contextmanager
def kubeconfig_is(path: Path) -> Iterator[None]:
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["KUBECONFIG"]
        else:
            os.environ["KUBECONFIG"] = before


def statuses(result: Result) -> dict[str, list[str]]:
    """Return the outcome of every control."""
    controls = result.report["profiles"][0]["controls"]
    return {control["id"]: [each["status"] for each in control["results"]] for control in controls}


class AtFirstControl(Watcher):
    """Does something once, in the middle of a scan."""

    def __init__(self, action: Any) -> None:
        self._action = action

    def control(self, progress: Any) -> None:
        del progress
        action, self._action = self._action, None
        if action:
            action()
