"""Clusters for tests: the double, and a real one, behind the same few calls.

What a test does with either is the same, so that what the double is used for is true of the real one.
"""

from __future__ import annotations

import contextlib
import copy
import io
import shlex
import subprocess
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker.models.containers import Container
from kubernetes import client as kube
from kubernetes import config
from kubernetes.client.exceptions import ApiException

from tests.kubernetes.double import Double
from toolkit.dockers import connect

_SECONDS = 60
_RULES_OF_A_SCAN = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
]


def eventually(what: Callable[[], Any], seconds: float = _SECONDS, wait: float = 0.1) -> Any:
    """Return the first answer that is true; fails when there is none in time."""
    until = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(wait)
    return answer


class Cluster:
    """What a test does with any cluster, as its administrator."""

    double: Double | None = None
    """The double, to switch its faults on; None for a real cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._namespaces: list[str] = []
        self._files = tempfile.TemporaryDirectory(prefix="barescan-cluster-")

    @cached_property
    def client(self) -> kube.ApiClient:
        made: kube.ApiClient = config.new_client_from_config(str(self.kubeconfig))
        return made

    @cached_property
    def api(self) -> Any:
        return kube.CoreV1Api(self.client)

    def namespace(self, labels: dict[str, str] | None = None) -> str:
        """Make a namespace that is deleted after the test; return its name."""
        name = f"barescan-test-{uuid.uuid4().hex[:8]}"
        self.api.create_namespace({"metadata": {"name": name, "labels": labels or {}}})
        self._namespaces.append(name)
        eventually(lambda: self._has_account(name))
        return name

    def clean(self) -> None:
        """Delete the namespaces of a test, and at once what runs in them."""
        while self._namespaces:
            name = self._namespaces.pop()
            with contextlib.suppress(ApiException):
                self.api.delete_collection_namespaced_pod(name, body={"gracePeriodSeconds": 0})
                self.api.delete_namespace(name)

    def pod(
        self,
        namespace: str,
        image: str = "",
        *,
        manifest: dict[str, Any] | None = None,
        name: str = "target",
        container: dict[str, Any] | None = None,
        spec: dict[str, Any] | None = None,
        annotations: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        wait: bool = True,
    ) -> str:
        """Create a pod of one container `app`, or of a manifest; return its name once its containers run.

        `container` and `spec` are fields that the container and the pod have besides.
        """
        only = {"name": "app", "image": image, "imagePullPolicy": "Never"} | (container or {})
        made = manifest or {
            "metadata": {"name": name, "annotations": annotations or {}, "labels": labels or {}},
            "spec": {"containers": [only], "terminationGracePeriodSeconds": 1} | (spec or {}),
        }
        made = copy.deepcopy(made)
        made["spec"].setdefault("automountServiceAccountToken", False)
        created = self.api.create_namespaced_pod(namespace, made).metadata.name
        if wait:
            eventually(lambda: self._runs(namespace, created))
        return str(created)

    def starts(self, namespace: str, name: str) -> bool:
        """Say whether a pod comes to run, and does not end at once."""
        try:
            eventually(lambda: self._runs(namespace, name), 10)
        except AssertionError:
            return False
        time.sleep(1)
        return self._runs(namespace, name)

    def kubeconfig_for(
        self, namespace: str, account: str = "scanner", rules: list[dict[str, Any]] | None = None
    ) -> Path:
        """Return a kubeconfig with a token of a service account that has a role of these rules.

        Without rules it may do what a scan needs. The account is made when it is not there.
        """
        with contextlib.suppress(ApiException):
            self.api.create_namespaced_service_account(namespace, {"metadata": {"name": account}})
        roles: Any = kube.RbacAuthorizationV1Api(self.client)
        given = _RULES_OF_A_SCAN if rules is None else rules
        roles.create_namespaced_role(namespace, {"metadata": {"name": account}, "rules": given})
        binding = {
            "metadata": {"name": account},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        }
        roles.create_namespaced_role_binding(namespace, binding)
        asked = {"spec": {"expirationSeconds": 3600}}
        token = self.api.create_namespaced_service_account_token(account, namespace, asked).status.token
        said = yaml.safe_load(self.kubeconfig.read_text())
        said["users"] = [{"name": account, "user": {"token": token}}]
        said["contexts"] = [
            {
                "name": account,
                "context": {"cluster": self._cluster(said), "user": account, "namespace": namespace},
            }
        ]
        said["current-context"] = account
        path = Path(self._files.name, f"{namespace}-{account}")
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(said))
        return path

    def load(self, image: str) -> None:
        """Make an image of the engine known to the nodes."""
        raise NotImplementedError

    def restart_api(self) -> None:
        """Let the API server go away and come back."""
        raise NotImplementedError

    @staticmethod
    def _cluster(kubeconfig: dict[str, Any]) -> str:
        current = kubeconfig["current-context"]
        contexts = {each["name"]: each["context"] for each in kubeconfig["contexts"]}
        return str(contexts[current]["cluster"])

    def _has_account(self, namespace: str) -> bool:
        try:
            self.api.read_namespaced_service_account("default", namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            return False
        return True

    def _runs(self, namespace: str, name: str) -> bool:
        status = self.api.read_namespaced_pod(name, namespace).status
        found = status.container_statuses or []
        return bool(found) and all(each.state.running for each in found)


class DoubleCluster(Cluster):
    """The double of this directory."""

    def __init__(self, double: Double) -> None:
        super().__init__(double.kubeconfig)
        self.double = double

    def load(self, image: str) -> None:
        """Nothing to do: it runs what the engine has."""

    def restart_api(self) -> None:
        assert self.double
        self.double.restart()


class RealCluster(Cluster):
    """The cluster of a kubeconfig; commands load images into it and restart its API server."""

    def __init__(self, kubeconfig: Path, load: str = "", restart: str = "") -> None:
        super().__init__(kubeconfig)
        self._load, self._restart = load, restart
        self._loaded: set[str] = set()

    def load(self, image: str) -> None:
        number = str(connect().images.get(image).id)
        if f"{image} {number}" in self._loaded:
            return
        if not self._load:
            pytest.skip("BARESCAN_CLUSTER_LOAD names no command that loads an image")
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            subprocess.run(["docker", "save", "--output", archive.name, image], check=True)
            self._into(Path(archive.name))
        self._loaded.add(f"{image} {number}")

    def _into(self, archive: Path) -> None:
        subprocess.run([*shlex.split(self._load), str(archive)], check=True, capture_output=True)

    def restart_api(self) -> None:
        if not self._restart:
            pytest.skip("BARESCAN_CLUSTER_RESTART names no command that restarts the API server")
        subprocess.run(shlex.split(self._restart), check=True, capture_output=True)


class K3sCluster(RealCluster):
    """K3s in a container of the engine."""

    def __init__(self, kubeconfig: Path, container: Container) -> None:
        super().__init__(kubeconfig, load="into the container")
        self._container = container

    def _into(self, archive: Path) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(archive, "image.tar")
        self._container.put_archive("/tmp", packed.getvalue())
        done = self._container.exec_run(
            ["ctr", "--namespace", "k8s.io", "images", "import", "/tmp/image.tar"]
        )
        assert done.exit_code == 0, done.output
