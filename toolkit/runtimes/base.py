"""What every runtime offers, and the one parser of target URIs."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from toolkit.agent.stream import Stream
from toolkit.auditor import Auditing
from toolkit.bundle.build import Bundle
from toolkit.errors import CallError, ScanError
from toolkit.reports.text import counted, visible
from toolkit.stop import Stop

_RUNTIMES = {
    "docker": "toolkit.runtimes.docker:DockerRuntime",
    "podman": "toolkit.runtimes.docker:PodmanRuntime",
    "image": "toolkit.runtimes.image:ImageRuntime",
    "k8s-container": "toolkit.runtimes.kubernetes.runtime:KubernetesRuntime",
    "pid": "toolkit.runtimes.local:PidRuntime",
    "rootfs": "toolkit.runtimes.local:RootfsRuntime",
}
Bundles = Callable[[], Bundle]
"""Returns the bundle of this host, built first where there is none."""
FORMS = (
    "k8s-container://NAMESPACE/POD[/CONTAINER]",
    "docker://NAME-OR-ID",
    "podman://NAME-OR-ID",
    "pid://PID",
    "image://REFERENCE",
    "image:///path/of/an/archive-or-layout",
    "rootfs:///path/of/a/root",
)


_TAKES_OVER = {"SYS_PTRACE", "ALL"}
"""What lets a process trace an auditor before that has given up its privileges, ptrace(2)."""


@dataclass
class Connection:
    """An agent that has been started: its stream, and what it said on standard error when it broke."""

    stream: Stream
    complaint: str = ""
    hello: dict[str, Any] | None = None
    """What the agent said of itself, once it was greeted."""

    def abort(self) -> None:
        """Shut the client's end down, so that a thread that waits for the agent wakes at once."""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.stream.read_fd)) as end:
            end.shutdown(socket.SHUT_RDWR)


def _tell_nobody(_text: str) -> None:
    """Take what a runtime is doing for so long, where nobody wants to know."""


class Runtime(ABC):
    """One kind of place where targets live. Made for one target; knows how to start the agent beside it.

    `tell` gets a line of text about what takes its time.
    """

    scheme: ClassVar[str]

    def __init__(self, uri: str, name: str, auditing: Auditing) -> None:
        """Take the URI as the user wrote it and what follows `scheme://`; raises CallError if unusable."""
        self.uri = uri
        self.name = name
        self.auditing = auditing
        self.tell: Callable[[str], None] = _tell_nobody
        self.stop = Stop()
        self.trust_target = False

    @classmethod
    def expand(cls, uri: str, name: str, auditing: Auditing) -> list[str]:
        """Return the URIs of the targets that one URI means, each of them one target."""
        del name, auditing
        return [uri]

    @abstractmethod
    def job(self) -> dict[str, Any]:
        """Return the fields of the agent's job that name the target."""

    def facts(self) -> dict[str, Any]:
        """Return what the runtime itself knows of the target, such as the digest of its image."""
        return {}

    @abstractmethod
    def bundle(self, local: Bundles) -> Bundle:
        """Return the bundle that will be used, whose path is where the agent finds it."""

    @abstractmethod
    def attach(self, bundle: Path, timeout: float) -> AbstractContextManager[Connection]:
        """Start the agent beside the target; `timeout` in seconds bounds the whole scan."""

    def check(self, facts: Mapping[str, Any]) -> None:  # noqa: B027 most can't tell
        """Raise ScanError when by what the agent found it was not this target that was scanned."""

    def close(self) -> None:  # noqa: B027 most have nothing to end
        """End whatever was started and is not at work in `attach`: called once, however a scan ends."""

    def left_behind(self) -> str:
        """Return what an interrupted scan leaves for a while, as a sentence: asked after `close`."""
        return ""

    def explained(self, broke: ScanError, complaint: str) -> ScanError:
        """Return why a scan broke off: the error with what the agent said last, where it said anything."""
        lines = complaint.splitlines()
        if not lines:
            return broke
        return ScanError(
            f"{broke.cause} ({visible(lines[-1], 300)})", broke.remedy, transient=broke.transient
        )


def check_not_prying(name: str, added: Iterable[str], *, privileged: bool) -> None:
    """Raise ScanError for a container whose rights let it take over an auditor that starts beside it.

    The agent judges by the processes there are, but by then it has been in their reach.
    """
    rights = {each.upper().removeprefix("CAP_") for each in added}
    found = ["SYS_PTRACE"] if privileged or rights & _TAKES_OVER else []
    if found:
        raise ScanError(
            f"a process of the target has or may gain the capability {', '.join(found)}, "
            f"with which it could forge the result: the container {name} is "
            + ("privileged" if privileged else "given it"),
            "drop it from the container, scan its image with image://, or use --trust-target",
        )


def resolve(uri: str, auditing: Auditing | None = None) -> Runtime:
    """Return the runtime for a target URI (train's spelling); raises CallError naming the forms there are."""
    kind, name = _kind(uri)
    return kind(uri, name, auditing or Auditing())


def _kind(uri: str) -> tuple[type[Runtime], str]:
    scheme, separator, name = uri.partition("://")
    if not separator or scheme not in _RUNTIMES or not name:
        raise CallError(f"{uri!r} is not a target", f"write one of {', '.join(FORMS)}")
    module, _, attribute = _RUNTIMES[scheme].partition(":")
    kind: type[Runtime] = getattr(importlib.import_module(module), attribute)
    return kind, name


@dataclass(frozen=True)
class Selection:
    """What the user wants scanned: URIs, and what is to be looked for in a cluster."""

    targets: tuple[str, ...] = ()
    selector: str = ""
    namespace: str = ""
    all_namespaces: bool = False

    @property
    def looks(self) -> bool:
        """Whether pods are to be looked for."""
        return bool(self.selector or self.namespace or self.all_namespaces)


@dataclass(frozen=True)
class Expanded:
    """The targets that a selection means, each once, and what is to be told of the selection."""

    uris: tuple[str, ...]
    notes: tuple[str, ...] = ()
    failed: Mapping[str, ScanError] = field(default_factory=dict)
    """Those among `uris` of which could not be found out what they mean."""


def _check(selection: Selection) -> None:
    """Raise CallError where one way to say what is meant would widen another: auditors go into all of it."""
    if selection.all_namespaces and selection.namespace:
        raise CallError(
            "--namespace and --all-namespaces exclude each other",
            f"leave one out: --namespace {selection.namespace} alone is the lesser part",
        )
    if selection.targets and selection.looks:
        flags = {
            "--selector": selection.selector,
            "--namespace": selection.namespace,
            "--all-namespaces": selection.all_namespaces,
        }
        given = " and ".join(flag for flag, value in flags.items() if value)
        raise CallError(
            f"--target excludes {given}",
            "leave one out: targets are named one by one, with --target k8s-container://NAMESPACE/POD for a "
            "pod of any namespace, or are all that the other flags select",
        )


def _extent(uris: list[str]) -> str:
    """Return how much was selected, of `k8s-container://NAMESPACE/POD/CONTAINER` each."""
    pods = {uri.rpartition("/")[0] for uri in uris}
    namespaces = {pod.split("/")[2] for pod in pods}
    where = f"the namespace {min(namespaces)}" if len(namespaces) == 1 else f"{len(namespaces)} namespaces"
    return f"{counted(len(uris), 'container')} of {counted(len(pods), 'pod')} in {where}"


def expand(selection: Selection, auditing: Auditing) -> Expanded:
    """Find out which targets are meant; raises CallError for what is no target, ScanError without any.

    One of several that can't be looked up is a failure of that one alone.
    """
    _check(selection)
    uris: list[str] = []
    failed: dict[str, ScanError] = {}
    notes: list[str] = []
    kinds = {uri: _kind(uri) for uri in selection.targets}
    for uri, (kind, name) in kinds.items():
        try:
            uris += kind.expand(uri, name, auditing)
        except ScanError as error:
            if len(kinds) == 1:
                raise
            uris.append(uri)
            failed[uri] = error
    if selection.looks:
        select = importlib.import_module("toolkit.runtimes.kubernetes.select")  # its client loads for 0.5 s
        found, also = select.find(
            selection.selector,
            selection.namespace,
            all_namespaces=selection.all_namespaces,
            auditing=auditing,
        )
        uris += found
        notes += [_extent(found), *also]
    if not uris:
        raise ScanError("nothing that could be scanned was found", "name a target with --target")
    return Expanded(tuple(dict.fromkeys(uris)), tuple(notes), failed)
