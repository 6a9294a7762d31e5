"""Targets in a cluster: `k8s-container://NAMESPACE/POD/CONTAINER`."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from toolkit import clusters
from toolkit.agent.stream import StreamError
from toolkit.auditor import ADDING, AGENT, IMAGE_BUNDLE, IMAGE_LOADER, Auditing, agent_command
from toolkit.bundle import manifest
from toolkit.bundle.build import Bundle
from toolkit.clusters import Cluster, RefusedError
from toolkit.errors import BarescanError, CallError, InterruptedScanError, ScanError
from toolkit.reports.text import visible
from toolkit.runtimes.base import Bundles, Connection, Runtime
from toolkit.runtimes.kubernetes import channels, pods, trust, words
from toolkit.runtimes.kubernetes.auditors import IDLE_SECONDS, Auditor, Auditors, Starting
from toolkit.runtimes.session import greet

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")  # RFC 1123, as Kubernetes' names
_GREETING_SECONDS = 30.0
_ENDING_SECONDS = 3.0
_WATCH_SECONDS = 5.0
_NEWS_SECONDS = 4.0  # for a kubelet to say that a container has ended
_LOOK_SECONDS = 0.3
_GRACE_SECONDS = 30.0  # beyond the agent's own deadline
_PLANNING_SECONDS = 120.0
_AGENT = agent_command(IMAGE_BUNDLE, IMAGE_LOADER, f"{IMAGE_BUNDLE}/{AGENT}")
_one_by_one: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""By pod: where containers share a PID namespace, two scans at once would see each other's processes."""


class KubernetesRuntime(Runtime):
    """A container of a pod."""

    scheme = "k8s-container"

    def __init__(self, uri: str, name: str, auditing: Auditing) -> None:
        """Parse the names."""
        super().__init__(uri, name, auditing)
        parts = split(uri, name)
        if len(parts) != 3:
            raise CallError(f"{uri!r} names no container", "write k8s-container://NAMESPACE/POD/CONTAINER")
        self._place = words.Place(parts[0], parts[1], parts[2], auditing.image)
        self._open = contextlib.ExitStack()
        self._connection: Connection | None = None
        self._auditor: Auditor | None = None
        self._added: Auditor | None = None

    @classmethod
    def expand(cls, uri: str, name: str, auditing: Auditing) -> list[str]:
        """Return the URI of each container of a pod where it names none; raises ScanError without the pod."""
        parts = split(uri, name)
        if len(parts) == 3:
            return [uri]
        place = words.Place(parts[0], parts[1], "", auditing.image)
        pod = pods.read(clusters.connect(auditing.context), place)
        return [f"{uri}/{container}" for container in pods.lasting(pod, auditing.image)]

    @cached_property
    def _cluster(self) -> Cluster:
        return clusters.connect(self.auditing.context)

    @cached_property
    def _target(self) -> pods.Target:
        pod = pods.read(self._cluster, self._place)
        self._place = replace(self._place, target_image=pods.image_of(pod, self._place.container))
        return pods.target(pod, self._place)

    def bundle(self, local: Bundles) -> Bundle:
        """Bring an auditor beside the target and return the bundle that it says it has."""
        del local
        if self._target.shares_pids:
            lock = _one_by_one[self._target.uid]
            self._open.enter_context(lock)
        auditors = Auditors(self._cluster, self._target, self._place, self.auditing)
        waiting = auditors.waiting()
        if not self.trust_target:
            target = self._target
            trust.check(target.pod, target.spec, self.auditing.image, shared=target.shares_pids)
        auditors.preflight(waiting)
        for each in waiting:
            if found := self._try(each):
                return found
        if waiting:
            auditors.preflight([])
        return self._add(auditors)

    def _try(self, auditor: Auditor) -> Bundle | None:
        """Enter an auditor that is there already; None where it has just ended, or is of another version."""
        self.tell(f"using the {auditor.kind} auditor {auditor.name}")
        try:
            return self._enter(auditor)
        except (ScanError, RefusedError) as error:
            if isinstance(error, ScanError) and error.transient:
                raise
            if auditor.kind == "sidecar":
                raise ScanError(
                    f"the sidecar {auditor.name} of the pod {self._place.pod} can't be used: {error}",
                    "roll it out with the image of this version: invoke manifests.sidecar",
                ) from None
        return None

    def _add(self, auditors: Auditors) -> Bundle:
        self.tell(ADDING)
        auditor = self._added = auditors.add()
        try:
            return self._start(auditor)
        except BaseException:
            self._put_down(auditor)
            raise

    def _put_down(self, auditor: Auditor) -> None:
        """End an auditor that can't be used, if it runs: it may wait, or its target may have stopped it."""
        place = self._place
        with contextlib.suppress(BarescanError, RefusedError, OSError):
            started = self._cluster.execute(place.namespace, place.pod, auditor.name, [*_AGENT, "end"])
            with channels.conversation(started) as connection:
                connection.stream.deadline = time.monotonic() + _ENDING_SECONDS
                with contextlib.suppress(StreamError):
                    connection.stream.receive()

    def _start(self, auditor: Auditor) -> Bundle:
        starting = Starting(self._cluster, self._place, self._target.uid, auditor, self.stop, self.tell)
        for _ in starting.tries():
            try:
                return self._enter(auditor)
            except RefusedError as refusal:
                if not words.not_yet(refusal):
                    raise words.refused(refusal, self._place) from None
        raise AssertionError("tries never ends by itself")

    def _enter(self, auditor: Auditor) -> Bundle:
        """Start an agent in an auditor and greet it; raises RefusedError as exec is refused, ScanError."""
        place = self._place
        started = self._cluster.execute(place.namespace, place.pod, auditor.name, [*_AGENT, "session"])
        with contextlib.ExitStack() as opened:
            connection = opened.enter_context(channels.conversation(started))
            connection.stream.deadline = time.monotonic() + _GREETING_SECONDS
            try:
                said = greet(connection).get("bundle")
            except StreamError as error:
                opened.close()
                raise self._dumb(error, connection) from None
            bundle = Bundle(Path(IMAGE_BUNDLE), manifest.checked(said))
            self._open.enter_context(opened.pop_all())
        self._connection, self._auditor = connection, auditor
        connection.stream.deadline = time.monotonic() + _PLANNING_SECONDS
        return bundle

    def _dumb(self, error: StreamError, connection: Connection) -> Exception:
        """Return why an agent did not answer: it may be too early, or nothing that is an agent."""
        said = connection.complaint.strip()
        early = RefusedError(500, said)
        if words.not_yet(early):
            return early
        if killed := words.killed(said):
            return killed
        last = said.splitlines()[-1].replace("Internal error occurred: ", "") if said else str(error)
        return ScanError(
            f"{self.auditing.image} does not answer as an auditor, or is stopped: {visible(last, 300)}",
            "build it with invoke images.build, and load or push it anew; what was started stays in the pod",
        )

    def job(self) -> dict[str, Any]:
        """Name the container as its node knows it."""
        target = self._target
        container = {
            "id": target.id,
            "name": self._place.container,
            "shared": target.shares_pids,
        }
        return {"container": container, "keep": self.auditing.keep}

    def facts(self) -> dict[str, Any]:
        """Return what the API server says of pod and container, and which auditor was beside it."""
        target, place = self._target, self._place
        facts: dict[str, Any] = {
            "pod": {
                "namespace": place.namespace,
                "name": place.pod,
                "uid": target.uid,
                "node": target.pod.spec.node_name,
            },
            "container": {
                "name": place.container,
                "id": target.id,
                "image": target.spec.image,
                "started": target.status.state.running.started_at.isoformat(),
                "restarts": target.status.restart_count,
            },
            "image_id": target.status.image_id,
        }
        if self._auditor:
            facts["auditor"] = {
                "container": self._auditor.name,
                "kind": self._auditor.kind,
                "image": self.auditing.image,
            }
        return facts

    def check(self, facts: Mapping[str, Any]) -> None:
        """Compare the id that the agent read of the process it entered with the API server's."""
        found = (facts.get("target") or {}).get("container_id")
        if found and found != self._target.id:
            raise ScanError(
                f"another container than {self._place.container} was found beside the auditor "
                f"({visible(str(found), 13)})",
                f"treat this pod as hostile; {self._place.instead}",
            )

    @contextlib.contextmanager
    def attach(self, bundle: Path, timeout: float) -> Iterator[Connection]:
        """Give the connection to the agent, which was greeted already."""
        del bundle
        if self._connection is None:
            raise RuntimeError("the bundle comes first: it is what starts the agent")
        self._connection.stream.deadline = time.monotonic() + timeout + _GRACE_SECONDS
        with self._open, self._watched(self._connection):
            yield self._connection

    @contextlib.contextmanager
    def _watched(self, connection: Connection) -> Iterator[None]:
        """Break the conversation off when the auditor has ended, and the stream does not tell.

        A kubelet gives no sign of a program that ended before it had read all that was sent to it.
        """
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_WATCH_SECONDS):
                with contextlib.suppress(BarescanError):
                    if self._auditor_has_ended():
                        connection.abort()
                        return

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            over.set()

    def _auditor_has_ended(self) -> bool:
        found = pods.read(self._cluster, self._place).status.ephemeral_container_statuses or []
        name = self._auditor and self._auditor.name
        return any(each.name == name and each.state and each.state.terminated for each in found)

    def close(self) -> None:
        """Hang up: the agent ends, and with the last agent the auditor that was added."""
        self._open.close()

    def left_behind(self) -> str:
        """Return what becomes of the auditor when nobody waits for it any more."""
        if self._added is None:
            return ""
        minutes = IDLE_SECONDS / 60
        return (
            f"the auditor {self._added.name} ends by itself, within {minutes:g} minutes if it is not at work"
        )

    def explained(self, broke: ScanError, complaint: str) -> ScanError:
        """Return what happened to the target, if it was that which broke the scan off.

        The API server learns of it a moment after the agent does.
        """
        until = time.monotonic() + (_NEWS_SECONDS if broke.transient else 0)
        try:
            while (changed := self._changed()) is None and time.monotonic() < until:
                self.stop.pause(_LOOK_SECONDS)
        except InterruptedScanError:
            changed = None
        except BarescanError as error:
            return ScanError(f"{broke.cause}: {error.cause}", error.remedy, transient=True)
        return changed or super().explained(broke, complaint)

    def _changed(self) -> ScanError | None:
        """Return what the API server says has become of the target since the scan began; None if nothing."""
        again = "scan again once it keeps running"
        pod = pods.read(self._cluster, self._place)
        if pod.metadata.uid != self._target.uid:
            return ScanError(f"the pod {self._place.pod} was replaced during the scan", again, transient=True)
        now = pods.target(pod, self._place)
        if now.id == self._target.id:
            return None
        last = now.status.last_state and now.status.last_state.terminated
        why = f" ({visible(str(last.reason), 60)}, {last.exit_code})" if last else ""
        cause = f"the container {self._place.container} was restarted during the scan{why}"
        return ScanError(cause, again, transient=True)


def split(uri: str, name: str) -> list[str]:
    """Return namespace, pod and, where named, container; raises CallError for anything else."""
    parts = name.split("/")
    if len(parts) not in {2, 3} or not all(_NAME.fullmatch(part) for part in parts):
        raise CallError(
            f"{uri!r} is not a pod or a container of one",
            "write k8s-container://NAMESPACE/POD/CONTAINER; for the pods of a namespace or a workload "
            "--namespace NAMESPACE --selector LABELS",
        )
    return parts
