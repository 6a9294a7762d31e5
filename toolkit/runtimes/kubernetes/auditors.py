"""An auditor container in the target's pod: one that waits there, or an ephemeral one that is added."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kubernetes import client

from toolkit.auditor import SIDECAR, Auditing, wait_arguments
from toolkit.clusters import Cluster, RefusedError
from toolkit.errors import ScanError
from toolkit.runtimes.kubernetes import pods, trust, words
from toolkit.runtimes.kubernetes.rights import security_context
from toolkit.stop import Stop

PREFIX = "barescan-"
IDLE_SECONDS = 120.0
"""How long an auditor that was added waits for its scan before it ends by itself."""
_APP_ARMOR_FIELD = (1, 30)
_EXEC_NEEDS_CREATE = (1, 35)
_EVERY_SECONDS = 0.1
_SLOWEST_SECONDS = 1.0
_FIRST_TRY_SECONDS = 0.6  # no node was seen to be faster
_SILENT_SECONDS = 60.0  # for the node to say anything of it
_PULLING_SECONDS = 600.0  # for an image to arrive


@dataclass(frozen=True)
class Auditor:
    """An auditor container in a pod: its name, how it came there."""

    name: str
    kind: str
    """`ephemeral` or `sidecar`."""
    added: bool


class Auditors:
    """Finds or adds the auditor for one target."""

    def __init__(self, cluster: Cluster, target: pods.Target, place: words.Place, auditing: Auditing) -> None:
        """Take what it is for."""
        self._cluster = cluster
        self._target = target
        self._place = place
        self._auditing = auditing

    def waiting(self) -> list[Auditor]:
        """Return those that are there already: sidecars, or ephemeral ones that this target is in reach of.

        Raises ScanError for a container that is called as an auditor is, and is something else.
        """
        pod, image, shared = self._target.pod, self._auditing.image, self._target.shares_pids
        if found := self._target.sidecars(image):
            return [Auditor(name, "sidecar", False) for name in found]
        if self._target.false_sidecar:
            raise ScanError(
                f"the container {SIDECAR} of the pod {self._place.pod} is not what barescan would start of "
                f"the image {image}: image, arguments, rights or mounts differ",
                "roll it out anew (invoke manifests.sidecar), and name its image with --image",
            )
        states = {each.name: each.state for each in pod.status.ephemeral_container_statuses or []}
        return [
            Auditor(each.name, "ephemeral", False)
            for each in pod.spec.ephemeral_containers or []
            if _may_run(states.get(each.name))
            and (shared or each.target_container_name == self._place.container)
            and trust.is_auditor(each, image)
        ]

    def preflight(self, found: list[Auditor]) -> None:
        """Raise ScanError when what is needed can't be had, before anything is changed."""
        place, cluster = self._place, self._cluster
        known = cluster.resources
        if not found and known is not None and "pods/ephemeralcontainers" not in known:
            raise ScanError(
                "this cluster has no ephemeral containers",
                f"add the auditor as a sidecar (invoke manifests.sidecar), or {place.instead}",
            )
        needed = [] if found else [("patch", "pods/ephemeralcontainers")]
        needed.append(("get", "pods/exec"))
        if cluster.version >= _EXEC_NEEDS_CREATE:
            needed.append(("create", "pods/exec"))
        for verb, resource in needed:
            if not cluster.may(verb, resource, place.namespace, place.pod):
                raise words.may_not(verb, resource, place)
        if not found:
            self._patch(dry=True)

    def add(self) -> Auditor:
        """Add an ephemeral container to the pod; raises ScanError as the server refuses it."""
        self._patch(dry=False)
        return Auditor(self._new.name, "ephemeral", True)

    @cached_property
    def _new(self) -> client.V1EphemeralContainer:
        """The container to add: the one that was asked about is the one that is added."""
        return client.V1EphemeralContainer(
            name=f"{PREFIX}{secrets.token_hex(4)}",
            image=self._auditing.image,
            image_pull_policy=self._auditing.pull_policy or None,
            args=wait_arguments(IDLE_SECONDS),
            target_container_name=self._place.container,
            security_context=security_context(
                privileged=self._auditing.privileged, app_armor=self._unconfined
            ),
        )

    @cached_property
    def _unconfined(self) -> bool:
        """Whether AppArmor is to be left out: where the node has it, and the server knows how to say so."""
        node = str(self._target.pod.spec.node_name)
        return self._cluster.version >= _APP_ARMOR_FIELD and self._cluster.denies_mounts(node)

    def _patch(self, *, dry: bool) -> None:
        body = {"spec": {"ephemeralContainers": [self._new]}}
        try:
            self._cluster.call(
                self._cluster.core.patch_namespaced_pod_ephemeralcontainers,
                self._place.pod,
                self._place.namespace,
                body,
                **({"dry_run": "All"} if dry else {}),
            )
        except RefusedError as refusal:
            raise words.refused(refusal, self._place) from None


def _may_run(state: Any) -> bool:
    """Return whether a container may be entered: the API server learns of its start a second after us."""
    if state is None or state.running:
        return True
    return bool(state.waiting) and words.starting(state.waiting.reason or "")


@dataclass
class Starting:
    """Watches an auditor that was added until it can be entered, or says why it never will."""

    cluster: Cluster
    place: words.Place
    uid: str
    auditor: Auditor
    stop: Stop
    tell: Callable[[str], None]
    _events: bool = True
    _pulling: bool = False

    def tries(self) -> Iterator[None]:
        """Yield whenever it is worth a try to enter it; raises ScanError once it is not any more."""
        began = time.monotonic()
        pause = _EVERY_SECONDS
        self.stop.pause(_FIRST_TRY_SECONDS)
        while True:
            yield
            self._check_status()
            self._check_events()
            self._check_time(time.monotonic() - began)
            self.stop.pause(pause)
            pause = min(pause * 1.1, _SLOWEST_SECONDS)

    def _check_status(self) -> None:
        pod = pods.read(self.cluster, self.place)
        if pod.metadata.uid != self.uid or pod.metadata.deletion_timestamp:
            raise ScanError(
                f"the pod {self.place.pod} was deleted meanwhile", "scan one that stays", transient=True
            )
        found = pod.status.ephemeral_container_statuses or []
        state = next((each.state for each in found if each.name == self.auditor.name), None)
        if state and state.waiting:
            error = words.waiting(state.waiting.reason or "", state.waiting.message or "", self.place)
            if error:
                raise error
        if state and state.terminated:
            ended = state.terminated
            raise words.ended(ended.reason or "", ended.exit_code, ended.message or "", self.place)

    def _check_events(self) -> None:
        """Look at the events of the auditor: they tell a dozen seconds earlier; without the right to, not."""
        if not self._events:
            return
        try:
            found = self.cluster.call(
                self.cluster.core.list_namespaced_event,
                self.place.namespace,
                field_selector=f"involvedObject.uid={self.uid}",
            )
        except RefusedError:
            self._events = False
            return
        ours = f"spec.ephemeralContainers{{{self.auditor.name}}}"
        for each in found.items:
            if not each.involved_object or each.involved_object.field_path != ours:
                continue
            error = words.event(each.message or "", self.place)
            if error:
                raise error
            if each.reason == "Pulling" and not self._pulling:
                self._pulling = True
                self.tell(f"pulling {self.place.image}")

    def _check_time(self, seconds: float) -> None:
        if seconds > (_PULLING_SECONDS if self._pulling else _SILENT_SECONDS):
            raise ScanError(
                f"the node did not start the auditor in {seconds:.0f} seconds",
                f"is it ready? see: kubectl describe pod {self.place.pod} --namespace {self.place.namespace}",
            )
