"""Errors as the API server words them: a Status object each, raised wherever a request is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """A request is refused; `body` is the Status that says why, `headers` go with the answer."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
        }
        if details is not None:
            self.body["details"] = details
        self.body["code"] = code


@dataclass(frozen=True)
class Resource:
    """What a request is about, as errors and rules name it."""

    name: str
    kind: str
    group: str = ""

    @property
    def qualified(self) -> str:
        """Return `roles.rbac.authorization.k8s.io`, or `pods`."""
        return f"{self.name}.{self.group}" if self.group else self.name

    def details(self, name: str = "") -> Json:
        """Return the details of a Status that is about one object of this resource."""
        return (
            ({"name": name} if name else {})
            | ({"group": self.group} if self.group else {})
            | {"kind": self.name}
        )


def not_found(resource: Resource, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', resource.details(name))


def already_exists(resource: Resource, name: str) -> ApiError:
    said = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", said, resource.details(name))


def forbidden(resource: Resource, name: str, why: str) -> ApiError:
    about = f'{resource.qualified} "{name}"' if name else resource.qualified
    return ApiError(403, "Forbidden", f"{about} is forbidden: {why}", resource.details(name))


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def no_such_resource() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def unsupported_media() -> ApiError:
    return ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def internal(message: str) -> ApiError:
    details = {"causes": [{"message": message}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", details)


@dataclass(frozen=True)
class Cause:
    """One field of an object that is not valid."""

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def required(field: str) -> Cause:
    return Cause("FieldValueRequired", field, "Required value")


def wrong(field: str, value: str, why: str) -> Cause:
    return Cause("FieldValueInvalid", field, f'Invalid value: "{value}": {why}')


def duplicate(field: str, value: str) -> Cause:
    return Cause("FieldValueDuplicate", field, f'Duplicate value: "{value}"')


def missing(field: str, value: str) -> Cause:
    return Cause("FieldValueNotFound", field, f'Not found: "{value}"')


def not_allowed(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", field, f"Forbidden: {why}")


def invalid(kind: str, name: str, causes: Iterable[Cause]) -> ApiError:
    """Return the 422 for an object with fields that are not valid."""
    listed = list(causes)
    said = str(listed[0]) if len(listed) == 1 else f"[{', '.join(map(str, listed))}]"
    details = {
        "name": name,
        "kind": kind,
        "causes": [{"reason": each.reason, "message": each.message, "field": each.field} for each in listed],
    }
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {said}', details)
