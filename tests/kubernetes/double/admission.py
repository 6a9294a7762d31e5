"""Pod Security: what the level that a namespace enforces says of a pod, in the words of its checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.kubernetes.double import statuses
from tests.kubernetes.double.statuses import Json
from tests.kubernetes.double.store import PODS

_LABEL = "pod-security.kubernetes.io/enforce"
_DEFAULT_CAPABILITIES = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim"}
_VOLUMES |= {"projected", "secret"}
_SECCOMP = {"RuntimeDefault", "Localhost"}

Found = Iterator[tuple[str, str]]
"""Reason and detail of what a check found; nothing when it is content."""


def check(namespace: Json, pod: Json) -> None:
    """Raise the 403 when the pod breaks the level that its namespace enforces."""
    labels = namespace["metadata"].get("labels") or {}
    level = labels.get(_LABEL, "privileged")
    found = [each for look in _CHECKS.get(level, ()) for each in look(pod["spec"])]
    if found:
        said = ", ".join(f"{reason} ({detail})" for reason, detail in found)
        version = labels.get(f"{_LABEL}-version", "latest")
        why = f'violates PodSecurity "{level}:{version}": {said}'
        raise statuses.forbidden(PODS, pod["metadata"]["name"], why)


def _containers(spec: Json) -> list[tuple[str, Json]]:
    kinds = ("initContainers", "containers", "ephemeralContainers")
    every = [each for kind in kinds for each in spec.get(kind) or []]
    return [(each["name"], each.get("securityContext") or {}) for each in every]


def _quoted(names: list[str] | set[str]) -> str:
    ordered = sorted(names) if isinstance(names, set) else names
    return ", ".join(f'"{each}"' for each in ordered)


def _named(names: list[str]) -> str:
    return f"container{'s' if len(names) > 1 else ''} {_quoted(names)}"


def _privilege_escalation(spec: Json) -> Found:
    bad = [
        name for name, context in _containers(spec) if context.get("allowPrivilegeEscalation") is not False
    ]
    if bad:
        detail = f"{_named(bad)} must set securityContext.allowPrivilegeEscalation=false"
        yield "allowPrivilegeEscalation != false", detail


def _added(spec: Json, allowed: set[str]) -> tuple[list[str], set[str]]:
    """Return which containers add capabilities that are not allowed, and which those are."""
    extra = {
        name: set((context.get("capabilities") or {}).get("add") or []) - allowed
        for name, context in _containers(spec)
    }
    return [name for name, added in extra.items() if added], {
        one for added in extra.values() for one in added
    }


def _default_capabilities(spec: Json) -> Found:
    bad, extra = _added(spec, _DEFAULT_CAPABILITIES)
    if bad:
        detail = f"{_named(bad)} must not include {_quoted(extra)} in securityContext.capabilities.add"
        yield "non-default capabilities", detail


def _no_capabilities(spec: Json) -> Found:
    keeping = [
        name
        for name, context in _containers(spec)
        if "ALL" not in ((context.get("capabilities") or {}).get("drop") or [])
    ]
    bad, extra = _added(spec, {"NET_BIND_SERVICE"})
    details = []
    if keeping:
        details.append(f'{_named(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if bad:
        details.append(f"{_named(bad)} must not include {_quoted(extra)} in securityContext.capabilities.add")
    if details:
        yield "unrestricted capabilities", "; ".join(details)


def _host_namespaces(spec: Json) -> Found:
    if shared := [each for each in ("hostNetwork", "hostPID", "hostIPC") if spec.get(each)]:
        yield "host namespaces", ", ".join(f"{each}=true" for each in shared)


def _host_paths(spec: Json) -> Found:
    if bad := [each["name"] for each in spec.get("volumes") or [] if "hostPath" in each]:
        yield "hostPath volumes", f"volume{'s' if len(bad) > 1 else ''} {_quoted(bad)}"


def _privileged(spec: Json) -> Found:
    if bad := [name for name, context in _containers(spec) if context.get("privileged")]:
        yield "privileged", f"{_named(bad)} must not set securityContext.privileged=true"


def _volume_types(spec: Json) -> Found:
    types = {
        each["name"]: next((key for key in each if key != "name"), "") for each in spec.get("volumes") or []
    }
    if bad := [name for name, kind in types.items() if kind not in _VOLUMES]:
        kinds = {types[name] for name in bad}
        yield (
            "restricted volume types",
            f"volume{'s' if len(bad) > 1 else ''} {_quoted(bad)} {'use' if len(bad) > 1 else 'uses'} "
            f"restricted volume type{'s' if len(kinds) > 1 else ''} {_quoted(kinds)}",
        )


def _non_root(spec: Json) -> Found:
    of_pod = (spec.get("securityContext") or {}).get("runAsNonRoot")
    said = [(name, context.get("runAsNonRoot")) for name, context in _containers(spec)]
    explicit = [name for name, value in said if value is False]
    setters = (["pod"] if of_pod is False else []) + ([_named(explicit)] if explicit else [])
    silent = [name for name, value in said if value is None and not of_pod]
    if setters:
        yield (
            "runAsNonRoot != true",
            f"{' and '.join(setters)} must not set securityContext.runAsNonRoot=false",
        )
    elif silent:
        yield "runAsNonRoot != true", f"pod or {_named(silent)} must set securityContext.runAsNonRoot=true"


def _user(spec: Json) -> Found:
    of_pod = (spec.get("securityContext") or {}).get("runAsUser")
    bad = [name for name, context in _containers(spec) if context.get("runAsUser") == 0]
    if setters := (["pod"] if of_pod == 0 else []) + ([_named(bad)] if bad else []):
        yield "runAsUser=0", f"{' and '.join(setters)} must not set runAsUser=0"


def _seccomp(spec: Json, *, demanded: bool) -> Found:
    def kind(context: Json | None) -> str | None:
        return ((context or {}).get("seccompProfile") or {}).get("type")

    of_pod = kind(spec.get("securityContext"))
    types = [(name, kind(context)) for name, context in _containers(spec)]
    explicit = [name for name, value in types if value is not None and value not in _SECCOMP]
    bad_pod = of_pod is not None and of_pod not in _SECCOMP
    setters = (["pod"] if bad_pod else []) + ([_named(explicit)] if explicit else [])
    values = {value for _, value in [("pod", of_pod), *types] if value is not None} - _SECCOMP
    silent = [name for name, value in types if value is None and of_pod is None]
    if setters:
        said = (
            f"{' and '.join(setters)} must not set securityContext.seccompProfile.type to {_quoted(values)}"
        )
        yield "seccompProfile", said
    elif demanded and silent:
        must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        yield "seccompProfile", f"pod or {_named(silent)} {must}"


def _known_seccomp(spec: Json) -> Found:
    return _seccomp(spec, demanded=False)


def _some_seccomp(spec: Json) -> Found:
    return _seccomp(spec, demanded=True)


_CHECKS: dict[str, tuple[Callable[[Json], Found], ...]] = {
    "baseline": (_default_capabilities, _host_namespaces, _host_paths, _privileged, _known_seccomp),
    "restricted": (
        *(_host_namespaces, _privileged),
        *(_privilege_escalation, _no_capabilities, _volume_types, _non_root, _user, _some_seccomp),
    ),
}
"""In the order of their names, baseline's first; restricted replaces three of those by stricter ones."""
