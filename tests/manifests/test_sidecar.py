"""The sidecar is added to a workload, changes nothing else of it, and has the rights the auditor needs."""

from __future__ import annotations

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.conftest import Printed, documents, model
from toolkit import auditor
from toolkit.manifests.documents import plain
from toolkit.runtimes.kubernetes.rights import security_context

POD = {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 65532},
    "containers": [
        {"name": "app", "image": "app:1", "args": ["serve"], "securityContext": {"runAsUser": 65532}},
        {"name": "proxy", "image": "proxy:1"},
    ],
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": POD},
    },
}


def merged(into: Any, patch: Any) -> Any:
    """Merge as the API server does: maps by key, containers by name, anything else is replaced."""
    if isinstance(into, dict) and isinstance(patch, dict):
        return into | {key: merged(into.get(key), value) for key, value in patch.items()}
    if isinstance(into, list) and isinstance(patch, list) and all("name" in each for each in into + patch):
        names = {each["name"]: each for each in patch}
        kept = [merged(each, names.pop(each["name"], {})) for each in into]
        return [*names.values(), *kept]
    return copy.deepcopy(patch)


def _patch(printed: Printed, *flags: str) -> dict[str, Any]:
    ((_, document),) = documents(printed("manifests.sidecar", *flags)).items()
    return document


def test_it_is_added_and_the_rest_stays(printed: Printed) -> None:
    whole = merged(DEPLOYMENT, _patch(printed))
    pod = model(whole, "V1Deployment").spec.template.spec
    assert pod.share_process_namespace is True
    assert {each.name for each in pod.containers} == {"app", "proxy", "barescan-auditor"}
    sidecar = next(each for each in pod.containers if each.name == "barescan-auditor")
    assert (sidecar.image, sidecar.args) == (auditor.IMAGE, ["wait", "forever"])
    assert sidecar.resources.limits == {"memory": "2Gi"}
    spec = whole["spec"]["template"]["spec"]
    del spec["shareProcessNamespace"]
    spec["containers"] = [each for each in spec["containers"] if each["name"] != "barescan-auditor"]
    assert whole == DEPLOYMENT


@pytest.mark.parametrize("kind", ["deployment", "statefulset", "daemonset"])
def test_every_workload_is_patched_alike(printed: Printed, kind: str) -> None:
    patch = _patch(printed, "--kind", kind, "--name", "web")
    assert (patch["apiVersion"], patch["kind"].lower()) == ("apps/v1", kind)
    assert patch["metadata"] == {"name": "web"}
    assert patch["spec"] == _patch(printed)["spec"]


def test_a_pod_is_patched_itself(printed: Printed) -> None:
    patch = _patch(printed, "--kind", "pod")
    assert (patch["apiVersion"], patch["kind"]) == ("v1", "Pod")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": POD}
    whole = model(merged(pod, patch), "V1Pod")
    assert [each.name for each in whole.spec.containers] == ["barescan-auditor", "app", "proxy"]


def test_its_rights_are_those_of_the_ephemeral_container(printed: Printed) -> None:
    for flags, rights in (
        ([], security_context()),
        (["--privileged"], security_context(privileged=True)),
        (["--app-armor-unconfined"], security_context(app_armor=True)),
    ):
        (container,) = _patch(printed, *flags)["spec"]["template"]["spec"]["containers"]
        assert container["securityContext"] == plain(rights)


def test_the_least_rights() -> None:
    assert plain(security_context()) == {
        "runAsUser": 0,
        "runAsNonRoot": False,
        "capabilities": {"drop": ["ALL"], "add": list(auditor.CAPABILITIES)},
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert plain(security_context(app_armor=True))["appArmorProfile"] == {"type": "Unconfined"}


@pytest.mark.parametrize("app_armor", [False, True])
def test_all_rights_are_nothing_that_kubernetes_refuses(app_armor: bool) -> None:
    rights = plain(security_context(privileged=True, app_armor=app_armor))
    assert rights == {
        "privileged": True,
        "runAsUser": 0,
        "runAsNonRoot": False,
        "readOnlyRootFilesystem": True,
    }


def test_the_comments_tell_how_to_apply_it_and_to_scan(printed: Printed) -> None:
    text = printed("manifests.sidecar", "--target", "k8s-container://shop/web-7d-x/app", "--name", "web")
    assert "kubectl patch deployment web --namespace shop --type strategic --patch-file" in text
    assert "scan --target k8s-container://shop/POD/app" in text  # the pod that was named is no more then
    text = printed(
        "manifests.sidecar", "--kind", "pod", "--target", "k8s-container://kube-system/etcd-a/etcd"
    )
    assert "scan --target k8s-container://kube-system/etcd-a/etcd" in text


def test_kubectl_merges_it_into_a_file(printed: Printed, tmp_path: Path) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("needs kubectl")
    (tmp_path / "web.yaml").write_text(yaml.safe_dump(DEPLOYMENT))
    (tmp_path / "sidecar.yaml").write_text(printed("manifests.sidecar", "--name", "web"))
    command = ["kubectl", "patch", "--local", "-f", "web.yaml", "--type", "strategic"]
    command += ["--patch-file", "sidecar.yaml", "-o", "yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout) == merged(DEPLOYMENT, _patch(printed, "--name", "web"))
