"""Which containers of a pod are auditors, and which could take one over: by what its author wrote."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from toolkit.auditor import wait_arguments
from toolkit.errors import ScanError
from toolkit.runtimes.kubernetes import trust
from toolkit.runtimes.kubernetes.rights import security_context

IMAGE = "auditor:1"
_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


def _container(name: str = "app", **fields: Any) -> client.V1Container:
    return client.V1Container(name=name, **({"image": "app:1"} | fields))


def _auditor(**fields: Any) -> client.V1Container:
    usual = {"image": IMAGE, "args": wait_arguments(None), "security_context": security_context()}
    return _container("barescan-auditor", **(usual | fields))


def _with(**rights: Any) -> client.V1SecurityContext:
    return client.V1SecurityContext(**rights)


def _pod(*containers: client.V1Container, joined: tuple[Any, ...] = (), running: bool = True) -> client.V1Pod:
    state = client.V1ContainerState(running=client.V1ContainerStateRunning()) if running else None
    statuses = [
        client.V1ContainerStatus(
            name=each.name, image="", image_id="", ready=False, restart_count=0, state=state
        )
        for each in joined
    ]
    return client.V1Pod(
        spec=client.V1PodSpec(containers=list(containers), ephemeral_containers=list(joined)),
        status=client.V1PodStatus(ephemeral_container_statuses=statuses),
    )


@pytest.mark.parametrize("privileged", [False, True])
def test_what_barescan_starts_itself_is_an_auditor(privileged: bool) -> None:
    assert trust.is_auditor(_auditor(security_context=security_context(privileged=privileged)), IMAGE)


@pytest.mark.parametrize(
    "fields",
    [
        {"image": "auditor:2"},
        {"command": ["/bin/sh"]},
        {"args": ["session"]},
        {"args": None},
        {"security_context": None},
        {"security_context": _with(run_as_user=0)},
        {"security_context": _with(run_as_user=65532, privileged=True)},
        {"env": [client.V1EnvVar(name="LD_PRELOAD", value="/x")]},
        {"volume_mounts": [client.V1VolumeMount(name="v", mount_path="/barescan/agent")]},
        {"volume_mounts": [client.V1VolumeMount(name="v", mount_path="/var/run/secrets/kubernetes.io")]},
        {
            "volume_mounts": [
                client.V1VolumeMount(name="v", mount_path=f"{_TOKEN}/../../../../../../barescan")
            ]
        },
    ],
)
def test_what_differs_in_anything_is_none(fields: dict[str, Any]) -> None:
    assert not trust.is_auditor(_auditor(**fields), IMAGE)


def test_the_token_that_kubernetes_gives_to_every_container_is_no_difference() -> None:
    mounts = [client.V1VolumeMount(name="token", mount_path=_TOKEN)]
    assert trust.is_auditor(_auditor(volume_mounts=mounts), IMAGE)


_MIGHTY = [
    _with(privileged=True),
    _with(capabilities=client.V1Capabilities(add=["SYS_PTRACE"])),
    _with(capabilities=client.V1Capabilities(add=["CAP_SYS_PTRACE"])),
    _with(capabilities=client.V1Capabilities(add=["NET_ADMIN", "ALL"])),
]


@pytest.mark.parametrize("rights", _MIGHTY)
def test_who_could_trace_the_auditor_is_refused_where_it_is_in_reach(rights: Any) -> None:
    mighty, plain = _container("mighty", security_context=rights), _container("plain")
    pod = _pod(mighty, plain)
    trust.check(pod, plain, IMAGE, shared=False)
    with pytest.raises(ScanError, match="SYS_PTRACE"):
        trust.check(pod, mighty, IMAGE, shared=False)
    with pytest.raises(ScanError, match="the container mighty"):
        trust.check(pod, plain, IMAGE, shared=True)


@pytest.mark.parametrize("rights", _MIGHTY)
def test_so_is_who_has_joined_the_target_for_as_long_as_it_runs(rights: Any) -> None:
    plain = _container("plain")
    joined = client.V1EphemeralContainer(
        name="debugger", image="x", target_container_name="plain", security_context=rights
    )
    with pytest.raises(ScanError, match="the container debugger"):
        trust.check(_pod(plain, joined=(joined,)), plain, IMAGE, shared=False)
    trust.check(_pod(plain, joined=(joined,), running=False), plain, IMAGE, shared=False)


def test_an_auditor_may_do_what_it_has_to() -> None:
    plain = _container("plain")
    trust.check(_pod(plain, _auditor()), plain, IMAGE, shared=True)
    with pytest.raises(ScanError):
        trust.check(_pod(plain, _auditor(image="other:1")), plain, IMAGE, shared=True)
