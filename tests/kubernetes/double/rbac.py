"""Who asks, and what the roles that are bound to them allow."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.kubernetes.double import statuses
from tests.kubernetes.double.statuses import ApiError, Json, Resource
from tests.kubernetes.double.store import (
    ACCOUNTS,
    BINDINGS,
    CLUSTER_BINDINGS,
    CLUSTER_ROLES,
    ROLES,
    Store,
)

_ACCOUNT = "system:serviceaccount"


@dataclass(frozen=True)
class User:
    """Who asks: a name and the groups it is in."""

    name: str
    groups: tuple[str, ...] = ()


ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))


@dataclass(frozen=True)
class Wish:
    """What is asked for, in the words of RBAC."""

    verb: str
    resource: Resource
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def path(self) -> str:
        """Return `pods/exec`, or `pods`."""
        return f"{self.resource.name}/{self.subresource}" if self.subresource else self.resource.name


class Tokens:
    """Tokens and whose they are: the administrator's, and those that were asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.admin = secrets.token_urlsafe(32)
        self._given: dict[str, tuple[str, str, str, float]] = {}

    def give(self, account: Json, seconds: int) -> str:
        """Return a new token of a service account."""
        meta, token = account["metadata"], secrets.token_urlsafe(96)
        self._given[token] = (meta["namespace"], meta["name"], meta["uid"], time.time() + seconds)
        return token

    def user(self, header: str) -> User:
        """Return who shows this Authorization header; raises the 401 for a token that is not valid."""
        if not header:
            return User("system:anonymous", ("system:unauthenticated",))
        token = header.removeprefix("Bearer ").strip()
        if secrets.compare_digest(token.encode(), self.admin.encode()):
            return ADMIN
        namespace, name, uid, until = self._given.get(token, ("", "", "", 0.0))
        account = self._store.find(ACCOUNTS, namespace, name)
        if until < time.time() or account is None or account["metadata"]["uid"] != uid:
            raise statuses.unauthorized()
        groups = (f"{_ACCOUNT}s", f"{_ACCOUNT}s:{namespace}", "system:authenticated")
        return User(f"{_ACCOUNT}:{namespace}:{name}", groups)


def allowed(store: Store, user: User, wish: Wish) -> bool:
    """Tell whether any role that is bound to the user has a rule for the wish."""
    if "system:masters" in user.groups:
        return True
    if wish.path == "selfsubjectaccessreviews":
        return "system:authenticated" in user.groups
    return any(_covers(rule, wish) for rule in _rules(store, user, wish.namespace))


def refusal(user: User, wish: Wish) -> ApiError:
    """Return the 403 for a wish that is not allowed."""
    where = f'in the namespace "{wish.namespace}"' if wish.namespace else "at the cluster scope"
    why = (
        f'User "{user.name}" cannot {wish.verb} resource "{wish.path}" '
        f'in API group "{wish.resource.group}" {where}'
    )
    return statuses.forbidden(wish.resource, wish.name, why)


def _rules(store: Store, user: User, namespace: str) -> Iterator[Json]:
    bindings = [(each, "") for each in store.all(CLUSTER_BINDINGS)]
    if namespace:
        bindings += [(each, namespace) for each in store.all(BINDINGS, namespace)]
    for binding, within in bindings:
        if any(_is_subject(user, each) for each in binding.get("subjects") or []):
            to = binding["roleRef"]
            of_namespace = to["kind"] == "Role"
            role = store.find(
                ROLES if of_namespace else CLUSTER_ROLES, within if of_namespace else "", to["name"]
            )
            yield from (role or {}).get("rules") or []


def _is_subject(user: User, subject: Json) -> bool:
    if subject["kind"] == "ServiceAccount":
        return user.name == f"{_ACCOUNT}:{subject.get('namespace', '')}:{subject['name']}"
    return bool(
        subject["name"] in user.groups if subject["kind"] == "Group" else subject["name"] == user.name
    )


def _covers(rule: Json, wish: Wish) -> bool:
    def has(key: str, *values: str) -> bool:
        return any(value in (rule.get(key) or []) for value in ("*", *values))

    anything = f"*/{wish.subresource}" if wish.subresource else "*"
    return (
        has("verbs", wish.verb)
        and has("apiGroups", wish.resource.group)
        and has("resources", wish.path, anything)
        and (not rule.get("resourceNames") or wish.name in rule["resourceNames"])
    )
