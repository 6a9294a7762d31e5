"""The auditor as a sidecar, for pods that can have no ephemeral container: static ones, or by policy."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from toolkit import auditor
from toolkit.errors import CallError
from toolkit.manifests import checks
from toolkit.manifests.documents import stream
from toolkit.runtimes.kubernetes.rights import security_context

_KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet", "pod": "Pod"}
_REQUESTS = {"cpu": "10m", "memory": "16Mi"}  # what it takes while it waits
_LIMITS = {"memory": "2Gi"}  # as an auditor container of Docker has


@dataclass(frozen=True)
class Sidecar:
    """What is patched, and with what."""

    kind: str = "deployment"
    workload: str = ""
    namespace: str = ""
    pod: str = ""
    container: str = ""
    """What will be scanned; it is only told how."""
    image: str = auditor.IMAGE
    pull_policy: str = ""
    privileged: bool = False
    app_armor: bool = False

    def __post_init__(self) -> None:
        """Check all of it; raises CallError."""
        checks.one_of(self.kind, "--kind", tuple(_KINDS))
        checks.image(self.image, "--image")
        if self.pull_policy:
            checks.one_of(self.pull_policy, "--pull-policy", checks.PULL_POLICIES)
        if self.workload:
            checks.subdomain(self.workload, self.kind, "--name")
        if self.namespace:
            checks.label(self.namespace, "namespace", "--namespace")
        if self.pod:
            checks.subdomain(self.pod, "pod", "--target")
        if self.container:
            checks.label(self.container, "container", "--container")
        if self.container == auditor.SIDECAR:
            raise CallError(
                f"{auditor.SIDECAR} is the sidecar itself", "name the container that is to be scanned"
            )


def patch(sidecar: Sidecar) -> dict[str, Any]:
    """Return the strategic merge patch: containers are merged by name, so that it adds and changes nothing.

    Its outer keys are no models, which ask for all that a whole object must have.
    """
    pod = client.V1PodSpec(share_process_namespace=True, containers=[_container(sidecar)])
    bare = sidecar.kind == "pod"
    return {
        "apiVersion": "v1" if bare else "apps/v1",
        "kind": _KINDS[sidecar.kind],
        **({"metadata": client.V1ObjectMeta(name=sidecar.workload)} if sidecar.workload else {}),
        "spec": pod if bare else {"template": client.V1PodTemplateSpec(spec=pod)},
    }


def _container(sidecar: Sidecar) -> client.V1Container:
    return client.V1Container(
        name=auditor.SIDECAR,
        image=sidecar.image,
        image_pull_policy=sidecar.pull_policy or None,
        args=auditor.wait_arguments(None),
        security_context=security_context(privileged=sidecar.privileged, app_armor=sidecar.app_armor),
        resources=client.V1ResourceRequirements(requests=_REQUESTS, limits=_LIMITS),
    )


def document(sidecar: Sidecar) -> str:
    """Return the patch as YAML, with how to apply it and how to scan then."""
    return stream([patch(sidecar)], [*_what(sidecar), *_how_to_scan(sidecar)])


def _what(sidecar: Sidecar) -> list[str]:
    file = "--patch-file sidecar.yaml"
    if sidecar.kind == "pod":
        return [
            f"The auditor as a sidecar, for the manifest of a pod: {auditor.SIDECAR} waits there for scans.",
            "No pod is given one while it runs. For a static pod, in a directory the kubelet doesn't read:",
            f"  kubectl patch --local -f POD.yaml {file} -o yaml >NEW.yaml",
            "Move NEW.yaml to where POD.yaml is; the kubelet then starts the pod anew.",
        ]
    command = ["kubectl", "patch", sidecar.kind, sidecar.workload or "NAME"]
    command += ["--namespace", sidecar.namespace or "NAMESPACE", "--type", "strategic"]
    return [
        f"The auditor as a sidecar of a {_KINDS[sidecar.kind]}, whose pods are replaced: in each of them "
        f"{auditor.SIDECAR} waits for scans, with more rights than Pod Security's `baseline` allows. Apply:",
        f"  {shlex.join(command)} {file}",
    ]


def _how_to_scan(sidecar: Sidecar) -> list[str]:
    # The pod that was named is another one after the patch, but for a static pod, which keeps its name.
    pod = sidecar.pod if sidecar.kind == "pod" and sidecar.pod else "POD"
    uri = f"{checks.SCHEME}://{sidecar.namespace or 'NAMESPACE'}/{pod}/{sidecar.container or 'CONTAINER'}"
    return [
        "Scan then; the sidecar is found by its name:",
        f"  barescan scan --target {uri} --profile PROFILE",
    ]
