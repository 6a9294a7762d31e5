"""Pods as the API takes them: what is filled in, what is refused, and how ephemeral containers are added."""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Iterator
from typing import Any, cast

from tests.kubernetes.double import statuses
from tests.kubernetes.double.statuses import Cause, Json

MIRROR = "kubernetes.io/config.mirror"
"""The annotation of a static pod's image in the API."""
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
NODE = "double-node"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_MERGE_KEYS = {
    "ephemeralContainers": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
_NEVER_EPHEMERAL = ("ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")


def defaulted(given: Json) -> Json:
    """Return a pod as the server completes it."""
    pod = copy.deepcopy(given)
    pod["metadata"]["generation"] = 1
    pod.setdefault("spec", {})
    spec = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    } | {key: value for key, value in pod["spec"].items() if value is not None}
    if MIRROR in (pod["metadata"].get("annotations") or {}):
        del spec["serviceAccountName"]
    else:
        spec["serviceAccount"] = spec["serviceAccountName"]
    for kind in ("initContainers", "containers"):
        if kind in spec:
            spec[kind] = [_container(each) for each in spec[kind]]
    pod["spec"] = spec
    pod["status"] = {"phase": "Pending", "qosClass": _quality(spec)}
    return pod


def _container(given: Json) -> Json:
    latest = re.search(r":latest$|^[^@]*/[^:@]*$|^[^/:@]*$", given.get("image", ""))
    return {
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "Always" if latest else "IfNotPresent",
    } | {key: value for key, value in given.items() if value is not None}


def _quality(spec: Json) -> str:
    asked = [each.get("resources") or {} for each in spec.get("containers") or []]
    if not any(asked):
        return "BestEffort"
    full = all({"cpu", "memory"} <= set(each.get("limits") or {}) for each in asked)
    same = all(each.get("requests", each.get("limits")) == each.get("limits") for each in asked)
    return "Guaranteed" if full and same else "Burstable"


def check(pod: Json) -> None:
    """Raise the 422 for a new pod that is not valid."""
    spec, annotations = pod["spec"], pod["metadata"].get("annotations") or {}
    causes = []
    if MIRROR in annotations and not spec.get("nodeName"):
        field = f"metadata.annotations[{MIRROR}]"
        causes.append(
            statuses.wrong(
                field, annotations[MIRROR], "must set spec.nodeName if mirror pod annotation is set"
            )
        )
    if not spec.get("containers"):
        causes.append(statuses.required("spec.containers"))
    if spec.get("ephemeralContainers"):
        causes.append(statuses.not_allowed("spec.ephemeralContainers", "cannot be set on create"))
    seen: set[str] = set()
    for kind in ("containers", "initContainers"):
        for index, each in enumerate(spec.get(kind) or []):
            causes += _common(each, f"spec.{kind}[{index}]", seen)
    if causes:
        raise statuses.invalid("Pod", pod["metadata"]["name"], causes)


def _common(container: Json, field: str, seen: set[str]) -> Iterator[Cause]:
    name = container.get("name", "")
    if not name:
        yield statuses.required(f"{field}.name")
    elif not _LABEL.fullmatch(name):
        yield statuses.wrong(f"{field}.name", name, _LABEL_WORDS)
    if not container.get("image"):
        yield statuses.required(f"{field}.image")
    if name in seen:
        yield statuses.duplicate(f"{field}.name", name)
    seen.add(name)


def attached(old: Json, patch: Any, media: str) -> Json:
    """Return the pod with the ephemeral containers that a patch gives it; raises the 415 or 422."""
    new = _patched(old, patch, media)
    given = new["spec"].get("ephemeralContainers") or []
    result = copy.deepcopy(old)
    if given:
        result["spec"]["ephemeralContainers"] = [_container(each) for each in given]
    else:
        result["spec"].pop("ephemeralContainers", None)
    if causes := list(_ephemeral_causes(old, result)):
        raise statuses.invalid("Pod", old["metadata"]["name"], causes)
    if result["spec"] != old["spec"]:
        result["metadata"]["generation"] += 1
    return result


def _patched(old: Json, patch: Any, media: str) -> Json:
    if media == STRATEGIC:
        return cast("Json", merged(old, patch))
    if media == MERGE:
        return cast("Json", merged(old, patch, keys={}))
    if media == JSON_PATCH:
        new = copy.deepcopy(old)
        for step in patch:
            if step["op"] != "add" or step["path"] not in (
                "/spec/ephemeralContainers",
                "/spec/ephemeralContainers/-",
            ):
                raise statuses.bad_request(f"the double adds ephemeral containers only, not {step}")
            kept = new["spec"].setdefault("ephemeralContainers", [])
            if step["path"].endswith("-"):
                kept.append(step["value"])
            else:
                new["spec"]["ephemeralContainers"] = step["value"]
        return new
    raise statuses.unsupported_media()


def merged(old: Any, patch: Any, keys: dict[str, str] | None = None, field: str = "") -> Any:
    """Return old with a patch on it; lists of objects are merged by the key that belongs to their field.

    What a list gets anew stands before what it had, as the server puts it.
    """
    keys = _MERGE_KEYS if keys is None else keys
    if isinstance(patch, dict) and isinstance(old, dict):
        result = {key: value for key, value in old.items() if patch.get(key, value) is not None}
        for key, value in patch.items():
            if value is not None:
                result[key] = merged(old.get(key), value, keys, key)
        return result
    if isinstance(patch, list) and field in keys:
        return _merged_list(old or [], patch, keys, keys[field])
    return copy.deepcopy(patch)


def _merged_list(old: list[Json], patch: list[Json], keys: dict[str, str], key: str) -> list[Json]:
    gone = {each.get(key) for each in patch if each.get("$patch") == "delete"}
    had = {each.get(key): each for each in old if each.get(key) not in gone}
    given = [each for each in patch if each.get("$patch") != "delete"]
    new = [copy.deepcopy(each) for each in given if each.get(key) not in had]
    changes = {each.get(key): each for each in given}
    return new + [merged(each, changes.get(name, {}), keys) for name, each in had.items()]


def _ephemeral_causes(old: Json, new: Json) -> Iterator[Cause]:
    if MIRROR in (old["metadata"].get("annotations") or {}):
        yield statuses.not_allowed("[]", "static pods do not support ephemeral containers")
        return
    spec, where = new["spec"], "spec.ephemeralContainers"
    others = {each["name"] for kind in ("containers", "initContainers") for each in spec.get(kind) or []}
    seen = set(others)
    for index, each in enumerate(spec.get("ephemeralContainers") or []):
        field = f"{where}[{index}]"
        yield from _common(each, field, seen)
        target = each.get("targetContainerName")
        if target and target not in others:
            yield statuses.missing(f"{field}.targetContainerName", target)
        paths = [key for key in _NEVER_EPHEMERAL if each.get(key)]
        mounts = enumerate(each.get("volumeMounts") or [])
        paths += [f"volumeMounts[{number}].subPath" for number, mount in mounts if mount.get("subPath")]
        for path in paths:
            yield statuses.not_allowed(f"{field}.{path}", "cannot be set for an Ephemeral Container")
    yield from _changes(old, new, where)


def _changes(old: Json, new: Json, where: str) -> Iterator[Cause]:
    """Yield what is wrong with changes to ephemeral containers that were there: they may have none."""
    spec = new["spec"]
    now = {each.get("name"): each for each in spec.get("ephemeralContainers") or []}
    for each in old["spec"].get("ephemeralContainers") or []:
        said = f'existing ephemeral containers "{each["name"]}" may not be'
        if each["name"] not in now:
            yield statuses.not_allowed(where, f"{said} removed\n")
        elif now[each["name"]] != each:
            yield statuses.not_allowed(where, f"{said} changed\n{_difference(each, now[each['name']])}")


def _difference(old: Json, new: Json) -> str:
    """Return what differs, in the manner of the server, which shows its own internal fields."""
    before, after = (json.dumps(each, indent=1, sort_keys=True).splitlines() for each in (old, new))
    return "\n".join(list(difflib.unified_diff(before, after, lineterm=""))[2:]) + "\n"
