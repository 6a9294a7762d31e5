"""What the server tells of itself: its version, its resources, its node."""

from __future__ import annotations

import platform
from typing import Any

from tests.kubernetes.double.pods import NODE
from tests.kubernetes.double.statuses import Json
from tests.kubernetes.double.store import CLUSTER_WIDE, RBAC, RESOURCES, now

_ALL = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_SUBRESOURCES = {
    "pods/attach": ("PodAttachOptions", ["create", "get"]),
    "pods/ephemeralcontainers": ("Pod", ["get", "patch", "update"]),
    "pods/exec": ("PodExecOptions", ["create", "get"]),
    "pods/log": ("Pod", ["get"]),
    "pods/status": ("Pod", ["get", "patch", "update"]),
    "serviceaccounts/token": ("TokenRequest", ["create"]),
}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def version(said: str) -> Json:
    """Return the answer of /version."""
    major, minor, *_ = said.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": said,
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.24.4",
        "compiler": "gc",
        "platform": f"linux/{_machine()}",
    }


def answers(*, ephemeral: bool) -> dict[str, Json]:
    """Return the answers of discovery, by path; an old server has no ephemeral containers in them."""
    core = _resources("")
    core += [
        {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}
        for name, (kind, verbs) in _SUBRESOURCES.items()
        if ephemeral or name != "pods/ephemeralcontainers"
    ]
    reviews: Json = {"name": "selfsubjectaccessreviews", "singularName": "selfsubjectaccessreview"}
    reviews |= {"namespaced": False, "kind": "SelfSubjectAccessReview", "verbs": ["create"]}
    groups = {"authorization.k8s.io": [reviews], RBAC: _resources(RBAC)}
    found: dict[str, Json] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": core},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in groups]},
    }
    for name, resources in groups.items():
        listed = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{name}/v1"}
        found[f"/apis/{name}/v1"] = listed | {"resources": resources}
        found[f"/apis/{name}"] = {"kind": "APIGroup", "apiVersion": "v1"} | _group(name)
    return found


def _resources(group: str) -> list[Json]:
    return [
        {
            "name": each.name,
            "singularName": each.kind.lower(),
            "namespaced": each not in CLUSTER_WIDE,
            "kind": each.kind,
            "verbs": _ALL,
        }
        for each in RESOURCES
        if each.group == group
    ]


def _group(name: str) -> Json:
    preferred = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [preferred], "preferredVersion": preferred}


def node(images: list[Any]) -> Json:
    """Return the one node, with the images of the engine."""
    pressures = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}
    listed = [
        {"names": [f"docker.io/library/{tag}" for tag in each.tags], "sizeBytes": each.attrs["Size"]}
        for each in images
    ]
    labels = {"kubernetes.io/arch": _machine(), "kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}
    return {
        "metadata": {"name": NODE, "labels": labels},
        "spec": {},
        "status": {
            "conditions": [
                {"type": kind, "status": status, "lastHeartbeatTime": now(), "lastTransitionTime": now()}
                for kind, status in pressures.items()
            ],
            "addresses": [
                {"type": "InternalIP", "address": "192.0.2.1"},
                {"type": "Hostname", "address": NODE},
            ],
            "nodeInfo": {
                "machineID": "0" * 32,
                "systemUUID": "0" * 32,
                "bootID": "0" * 32,
                "kernelVersion": platform.release(),
                "osImage": "the double's host",
                "containerRuntimeVersion": "docker://double",
                "kubeletVersion": "v1.34.9",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": _machine(),
            },
            "images": listed,
        },
    }


def _machine() -> str:
    return _MACHINES.get(platform.machine(), platform.machine())
