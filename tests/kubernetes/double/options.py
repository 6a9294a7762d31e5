"""From a container of a pod's spec to the options of a container of the engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docker.types import Mount

from tests.kubernetes.double.statuses import Json

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
_REFERENCE = re.compile(
    r"(?:(?P<domain>[a-zA-Z0-9.-]+(?::\d+)?)/)?(?P<path>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@sha256:[0-9a-f]{64})?"
)


def bytes_of(quantity: str) -> int:
    """Return how many bytes a quantity such as 64Mi is."""
    matched = re.fullmatch(r"(\d+)([kMG]?i?)", str(quantity))
    if not matched:
        raise ValueError(f"no quantity of bytes: {quantity!r}")
    return int(matched[1]) * _UNITS[matched[2]]


def full_name(image: str) -> str:
    """Return an image's name as a node's runtime shows it: docker.io/library/name:tag. Raises ValueError."""
    if image != image.lower() and not _REFERENCE.fullmatch(image):
        name = image.partition(":")[0]
        raise ValueError(f"invalid reference format: repository name (library/{name}) must be lowercase")
    matched = _REFERENCE.fullmatch(image)
    if not matched:
        raise ValueError("invalid reference format")
    name = image if matched["tag"] or "@" in image else f"{image}:latest"
    domain = matched["domain"] or ""
    if "." in domain or ":" in domain or domain == "localhost":
        return name
    return f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"


def security(spec: Json, container: Json) -> Json:
    """Return the security context of a container, with what it takes over from its pod."""
    inherited = ("runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile")
    of_pod = spec.get("securityContext") or {}
    return {key: of_pod[key] for key in inherited if key in of_pod} | (container.get("securityContext") or {})


def why_root(context: Json, image_user: str) -> str:
    """Return what is wrong with a container that must not run as root, or nothing."""
    if not context.get("runAsNonRoot"):
        return ""
    user = context.get("runAsUser")
    if user is not None:
        return "" if user else "container's runAsUser breaks non-root policy"
    named = image_user.partition(":")[0] or "0"
    if not named.isdigit():
        said = "cannot verify user is non-root"
        return f"container has runAsNonRoot and image has non-numeric user ({named}), {said}"
    return "container has runAsNonRoot and image will run as root" if int(named) == 0 else ""


def rights(context: Json) -> dict[str, Any]:
    """Return the options for user, capabilities and the like."""
    capabilities = context.get("capabilities") or {}
    profile = (context.get("seccompProfile") or {}).get("type", "Unconfined")
    secured = [] if profile == "RuntimeDefault" else ["seccomp=unconfined"]
    if context.get("allowPrivilegeEscalation") is False:
        secured.append("no-new-privileges")
    options: dict[str, Any] = {
        "cap_add": capabilities.get("add"),
        "cap_drop": capabilities.get("drop"),
        "read_only": bool(context.get("readOnlyRootFilesystem")),
        "privileged": bool(context.get("privileged")),
        "security_opt": secured,
    }
    if context.get("runAsUser") is not None:
        group = context.get("runAsGroup")
        options["user"] = str(context["runAsUser"]) + (f":{group}" if group is not None else "")
    return options


def command(container: Json, metadata: Json) -> dict[str, Any]:
    """Return the options for what runs in the container."""
    environment = {each["name"]: _variable(each, metadata) for each in container.get("env") or []}

    def expanded(words: list[str]) -> list[str]:
        return [
            re.sub(r"\$\((\w+)\)", lambda found: environment.get(found[1], found[0]), word) for word in words
        ]

    options: dict[str, Any] = {
        "environment": environment,
        "stdin_open": bool(container.get("stdin")),
        "tty": bool(container.get("tty")),
    }
    if container.get("command"):
        options["entrypoint"] = expanded(container["command"])
    if container.get("args"):
        options["command"] = expanded(container["args"])
    if container.get("workingDir"):
        options["working_dir"] = container["workingDir"]
    return options


def _variable(variable: Json, metadata: Json) -> str:
    path = ((variable.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath", "")
    if path.startswith("metadata."):
        return str(metadata.get(path.removeprefix("metadata."), ""))
    return str(variable.get("value") or "")


def memory(spec: Json, container: Json, *, ephemeral: bool) -> dict[str, Any]:
    """Return the option for the memory limit: of an ephemeral container that of its pod, which is charged."""
    charged = spec["containers"] if ephemeral else [container]
    limits = [((each.get("resources") or {}).get("limits") or {}).get("memory") for each in charged]
    if not all(limits):
        return {}
    total = sum(bytes_of(str(each)) for each in limits)
    return {"mem_limit": total, "memswap_limit": total}


def mounts(spec: Json, container: Json, folder: Path) -> list[Mount]:
    """Return the mounts of a container: its log of last words, its volumes; `folder` is its pod's."""
    words = folder / "containers" / container["name"] / "0"
    words.parent.mkdir(parents=True, exist_ok=True)
    words.touch()
    words.chmod(0o666)
    volumes = {each["name"]: each for each in spec.get("volumes") or []}
    result = [Mount("/dev/termination-log", str(words), "bind")]
    for mount in container.get("volumeMounts") or []:
        source: Path = _volume(volumes[mount["name"]], folder) / mount.get("subPath", "")
        source.mkdir(parents=True, exist_ok=True)
        result.append(Mount(mount["mountPath"], str(source), "bind", read_only=bool(mount.get("readOnly"))))
    return result


def _volume(volume: Json, folder: Path) -> Path:
    if "hostPath" in volume:
        return Path(str(volume["hostPath"]["path"]))
    place = folder / "volumes" / "kubernetes.io~empty-dir" / str(volume["name"])
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o777)
    return place
