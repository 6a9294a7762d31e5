"""The objects that the double keeps, as etcd would: named, versioned, listed by selectors and in pages."""

from __future__ import annotations

import base64
import copy
import json
import random
import re
import string
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.kubernetes.double import statuses
from tests.kubernetes.double.statuses import Json, Resource

RBAC = "rbac.authorization.k8s.io"
NAMESPACES = Resource("namespaces", "Namespace")
NODES = Resource("nodes", "Node")
PODS = Resource("pods", "Pod")
EVENTS = Resource("events", "Event")
ACCOUNTS = Resource("serviceaccounts", "ServiceAccount")
ROLES = Resource("roles", "Role", RBAC)
BINDINGS = Resource("rolebindings", "RoleBinding", RBAC)
CLUSTER_ROLES = Resource("clusterroles", "ClusterRole", RBAC)
CLUSTER_BINDINGS = Resource("clusterrolebindings", "ClusterRoleBinding", RBAC)
RESOURCES = (NAMESPACES, NODES, PODS, EVENTS, ACCOUNTS, ROLES, BINDINGS, CLUSTER_ROLES, CLUSTER_BINDINGS)
CLUSTER_WIDE = (NAMESPACES, NODES, CLUSTER_ROLES, CLUSTER_BINDINGS)

_FIELDS = {
    PODS: (
        "metadata.name",
        "metadata.namespace",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    ),
    EVENTS: (
        "metadata.name",
        "metadata.namespace",
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.fieldPath",
        "reason",
        "type",
    ),
}
"""What a fieldSelector may ask for; elsewhere only for name and namespace."""


def now(later: int = 0) -> str:
    """Return the time, or one so many seconds later, as the API writes it: in whole seconds."""
    return (datetime.now(UTC) + timedelta(seconds=later)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """All objects, by resource, namespace and name."""

    def __init__(self) -> None:
        self._objects: dict[tuple[Resource, str, str], Json] = {}
        self.version = 0

    def find(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """Return the object itself, not a copy; None when there is none."""
        return self._objects.get((resource, namespace, name))

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return the object itself, or raise the 404."""
        found = self.find(resource, namespace, name)
        if found is None:
            raise statuses.not_found(resource, name)
        return found

    def create(self, resource: Resource, namespace: str, given: Json, *, dry: bool = False) -> Json:
        """Keep an object under its name, or one that is made up; with `dry` only say how it would look."""
        made = copy.deepcopy(given)
        meta = made.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + "".join(random.choices(string.ascii_lowercase, k=5))
        name = meta.get("name", "")
        if not name:
            cause = statuses.Cause(
                "FieldValueRequired", "metadata.name", "Required value: name or generateName is required"
            )
            raise statuses.invalid(resource.kind, "", [cause])
        if self.find(resource, namespace, name):
            raise statuses.already_exists(resource, name)
        version = f"{resource.group}/v1" if resource.group else "v1"
        made |= {"kind": resource.kind, "apiVersion": version}
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        if namespace:
            meta["namespace"] = namespace
        if not dry:
            self._objects[resource, namespace, name] = made
            self.touch(made)
        return made

    def touch(self, changed: Json) -> None:
        """Give an object that was changed its next version."""
        self.version += 1
        changed["metadata"]["resourceVersion"] = str(self.version)

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Forget an object, if it is there."""
        self._objects.pop((resource, namespace, name), None)
        self.version += 1

    def all(self, resource: Resource, namespace: str = "") -> list[Json]:
        """Return the objects of a namespace, or of all, by name."""
        found = [
            (key[1:], each)
            for key, each in self._objects.items()
            if key[0] == resource and namespace in ("", key[1])
        ]
        return [each for _, each in sorted(found, key=lambda pair: pair[0])]

    def listed(self, resource: Resource, namespace: str, query: dict[str, str]) -> Json:
        """Return one page of what the selectors of a query leave, as a list object."""
        wanted = _selected(resource, query)
        found = [each for each in self.all(resource, namespace) if wanted(each)]
        meta: Json = {"resourceVersion": str(self.version)}
        after = _decoded(query["continue"]) if query.get("continue") else ""
        found = [each for each in found if _key(each) > after]
        limit = int(query.get("limit") or 0)
        if 0 < limit < len(found):
            meta["continue"] = _encoded(_key(found[limit - 1]))
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                meta["remainingItemCount"] = len(found) - limit
            found = found[:limit]
        version = f"{resource.group}/v1" if resource.group else "v1"
        items = [{key: each[key] for key in each if key not in ("kind", "apiVersion")} for each in found]
        return {"kind": f"{resource.kind}List", "apiVersion": version, "metadata": meta, "items": items}


def _key(each: Json) -> str:
    return f"{each['metadata'].get('namespace', '')}/{each['metadata']['name']}"


def _encoded(after: str) -> str:
    return base64.urlsafe_b64encode(json.dumps({"v": "meta.k8s.io/v1", "start": after}).encode()).decode()


def _decoded(token: str) -> str:
    try:
        return str(json.loads(base64.urlsafe_b64decode(token))["start"])
    except (ValueError, KeyError):
        raise statuses.bad_request("continue key is not valid") from None


def _selected(resource: Resource, query: dict[str, str]) -> Callable[[Json], bool]:
    labels = list(_requirements(query.get("labelSelector", "")))
    fields = list(_field_terms(resource, query.get("fieldSelector", "")))

    def wanted(each: Json) -> bool:
        own = each["metadata"].get("labels") or {}
        return all(test(own) for test in labels) and all(
            (_value(each, path) == value) is equal for path, value, equal in fields
        )

    return wanted


def _value(each: Json, path: str) -> str:
    value: Any = each
    for part in path.split("."):
        value = (value or {}).get(part, "")
    return str(value)


def _field_terms(resource: Resource, selector: str) -> Iterable[tuple[str, str, bool]]:
    allowed = _FIELDS.get(resource, ("metadata.name", "metadata.namespace"))
    for term in filter(None, selector.split(",")):
        matched = re.fullmatch(r"([^=!]+)(!=|==?)(.*)", term)
        if not matched:
            raise statuses.bad_request(f"invalid selector: '{selector}'; can't understand '{term}'")
        path, sign, value = matched.groups()
        if path not in allowed:
            raise statuses.bad_request(f"field label not supported: {path}")
        yield path, value, sign != "!="


def _requirements(selector: str) -> Iterable[Callable[[dict[str, str]], bool]]:
    """Yield a test for each requirement of a label selector: a=b, a!=b, a in (b, c), a, !a."""
    for term in filter(None, (each.strip() for each in re.split(r",(?![^(]*\))", selector))):
        if among := re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", term):
            key, word, values = among.groups()
            yield _among(key, [value.strip() for value in values.split(",")], wanted=word == "in")
        elif equal := re.fullmatch(r"([^=!]+?)\s*(!=|==?)\s*(.*)", term):
            key, sign, value = equal.groups()
            yield _among(key, [value], wanted=sign != "!=")
        elif re.fullmatch(r"\S+\s+(in|notin)", term):
            raise statuses.bad_request("unable to parse requirement: found '' expected: '('")
        elif term.startswith("!"):
            yield _present(term[1:], wanted=False)
        else:
            yield _present(term, wanted=True)


def _present(key: str, *, wanted: bool) -> Callable[[dict[str, str]], bool]:
    return lambda own: (key in own) is wanted


def _among(key: str, values: list[str], *, wanted: bool) -> Callable[[dict[str, str]], bool]:
    return lambda own: (own.get(key) in values) is wanted
