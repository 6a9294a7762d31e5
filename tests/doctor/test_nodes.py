"""Which nodes have an image, by the names they give."""

from __future__ import annotations

import pytest
from kubernetes import client

from toolkit.runtimes.kubernetes import nodes


def _node(name: str, *images: list[str] | None) -> client.V1Node:
    return client.V1Node(
        metadata=client.V1ObjectMeta(name=name),
        status=client.V1NodeStatus(images=[client.V1ContainerImage(names=names) for names in images]),
    )


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("barescan-auditor:0.1.0", "docker.io/library/barescan-auditor:0.1.0"),
        ("busybox", "docker.io/library/busybox:latest"),
        ("some/one", "docker.io/some/one:latest"),
        ("localhost:5000/one", "localhost:5000/one:latest"),
        ("localhost/one:2", "localhost/one:2"),
        ("registry.example/a/b@sha256:12", "registry.example/a/b@sha256:12"),
        ("one@sha256:12", "docker.io/library/one@sha256:12"),
    ],
)
def test_names_are_completed_as_docker_does(name, full):
    assert nodes.full_name(name) == full


def test_what_nodes_say_is_told_from_what_they_leave_out():
    others = [[f"docker.io/library/other:{number}"] for number in range(50)]
    has = _node("has", None, ["docker.io/library/it:1", "docker.io/library/it@sha256:1"])
    lacks, full = _node("lacks", *others[:49]), _node("full", *others)
    assert nodes.having([has], "it:1").everywhere
    assert not nodes.having([has], "it:2").everywhere
    assert nodes.having([lacks], "it:1").nowhere
    assert not nodes.having([full], "it:1").nowhere
    assert not nodes.having([full], "it:1").everywhere
    found = nodes.having([has, lacks, full], "it:1")
    assert (found.nodes, found.having, found.lacking) == (3, ("has",), ("lacks",))
    assert not nodes.having([], "it:1").nowhere
