"""Every field that is printed is one of the API, and the YAML is what people would write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kubernetes.client import models

from tests.manifests.conftest import CRON_JOB, JOB, Printed

CALLS = [
    ("manifests.rbac", "--namespace", "shop", "--with-events"),
    ("manifests.rbac", "--namespace", "shop", "--pod", "a"),
    ("manifests.rbac", "--namespace", "shop", "--all-namespaces"),
    ("manifests.sidecar", "--name", "web", "--app-armor-unconfined"),
    ("manifests.sidecar", "--kind", "statefulset", "--privileged"),
    ("manifests.sidecar", "--kind", "daemonset", "--pull-policy", "Never"),
    ("manifests.sidecar", "--kind", "pod"),
    (*JOB, "--workers", "3", "--config-map", "gate"),
    (*JOB, "--host-path", "/srv/reports"),
    (*JOB, "--claim", "mine", "--all-namespaces"),
    (*CRON_JOB, "--time-zone", "Europe/Berlin"),
]


def unknown(value: Any, of_type: str, where: str) -> Iterator[str]:
    """Yield what is no field of a model, or null, or of another shape, however deep."""
    if value is None:
        yield f"{where} is null"
    elif found := re.fullmatch(r"[Ll]ist\[(.+)\]", of_type):
        assert isinstance(value, list), where
        for index, each in enumerate(value):
            yield from unknown(each, found.group(1), f"{where}[{index}]")
    elif found := re.fullmatch(r"[Dd]ict[\[(]str, (.+)[\])]", of_type):
        assert isinstance(value, dict), where
        for key, each in value.items():
            yield from unknown(each, found.group(1), f"{where}.{key}")
    elif model := getattr(models, of_type, None):
        assert isinstance(value, dict), where
        fields = {wire: model.openapi_types[name] for name, wire in model.attribute_map.items()}
        for key, each in value.items():
            if key not in fields:
                yield f"{where}.{key} is no field of {of_type}"
            else:
                yield from unknown(each, fields[key], f"{where}.{key}")
    else:
        python = {"str": str, "int": int, "bool": bool}[of_type]
        if type(value) is not python:
            yield f"{where} is no {of_type}: {value!r}"


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_every_field_is_one_of_the_api(printed: Printed, call: tuple[str, ...]) -> None:
    for document in yaml.safe_load_all(printed(*call)):
        assert list(unknown(document, f"V1{document['kind']}", document["kind"])) == []


def test_the_check_finds_what_it_should() -> None:
    rule = {"apiGroups": [1], "verb": ["get"], "resources": None}
    assert list(unknown({"rules": [rule]}, "V1Role", "Role")) == [
        "Role.rules[0].apiGroups[0] is no str: 1",
        "Role.rules[0].verb is no field of V1PolicyRule",
        "Role.rules[0].resources is null",
    ]


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_it_reads_as_people_write_it(printed: Printed, call: tuple[str, ...]) -> None:
    text = printed(*call)
    for document in yaml.safe_load_all(text):
        assert list(document)[:2] == ["apiVersion", "kind"]
    comments = text.partition("---\n")[0]
    assert all(line.startswith("# ") for line in comments.splitlines())
    assert "kubectl" in comments
    assert "null" not in text
    assert not re.search(r"[&*]id\d", text)  # no aliases, which readers of YAML for Kubernetes need not know
