"""What a kubelet reports of a pod: the state of each container, the phase, the conditions."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tests.kubernetes.double.statuses import Json
from tests.kubernetes.double.store import now

ZERO = "1970-01-01T00:00:00Z"


@dataclass
class Run:
    """One container of a pod, over all its starts."""

    spec: Json
    kind: str
    """`init`, `main` or `ephemeral`."""
    state: Json
    last: Json = field(default_factory=dict)
    container: str = ""
    """The engine's id of the newest one; empty before the first."""
    image: str = ""
    image_id: str = ""
    starts: int = 0
    over: bool = False
    """It never starts again."""
    not_before: float = 0.0
    """When it may be tried again, by the monotonic clock."""
    backoff: int = 0
    """How long it was made to wait the last time, in seconds."""
    tries: int = 0
    _later: tuple[float, Json] | None = None

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def sidecar(self) -> bool:
        return self.kind == "init" and self.spec.get("restartPolicy") == "Always"

    @property
    def succeeded(self) -> bool:
        ended = self.state.get("terminated") or {}
        return ended.get("exitCode") == 0

    def wait(self, reason: str, message: str, delay: float = 0.0) -> None:
        """Say why it waits, after a delay: a kubelet reports some reasons only when it comes by again."""
        state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        due = time.monotonic() + delay
        self._later = (min(due, self._later[0]) if self._later else due, state)
        self.settle()

    def settle(self) -> float:
        """Show what is due by now; return in how many seconds there is more, or infinity."""
        if self._later is None:
            return float("inf")
        due, state = self._later
        left = due - time.monotonic()
        if left > 0:
            return left
        self.state, self._later = state, None
        return float("inf")

    def set(self, state: Json) -> None:
        """Show a state at once; nothing that was to be shown later is."""
        self.state, self._later = state, None

    def report(self) -> Json:
        """Return its status."""
        status: Json = {
            "name": self.spec["name"],
            "state": self.state,
            "lastState": self.last,
            "ready": self.running and (self.kind == "main" or self.sidecar),
            "restartCount": max(0, self.starts - 1),
            "image": self.image or self.spec["image"],
            "imageID": self.image_id,
        }
        if self.kind == "init" and not self.sidecar:
            status["ready"] = self.succeeded
        if self.container:
            status["containerID"] = f"docker://{self.container}"
            status["resources"] = self.spec.get("resources") or {}
        if self.kind != "ephemeral":
            status["started"] = self.running
        return status


def phase(spec: Json, runs: list[Run]) -> str:
    """Return the phase of a pod whose containers are so."""
    policy = spec["restartPolicy"]
    init = [run for run in runs if run.kind == "init" and not run.sidecar]
    main = [run for run in runs if run.kind == "main"]
    if any("terminated" in run.state and not run.succeeded for run in init) and policy == "Never":
        return "Failed"
    if not all(run.succeeded for run in init) or not main:
        return "Pending"
    if any("waiting" in run.state and not run.last for run in main):
        return "Pending"
    if any("terminated" not in run.state for run in main) or policy == "Always":
        return "Running"
    if all(run.succeeded for run in main):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def conditions(pod: Json, runs: list[Run], *, sandbox: bool) -> list[Json]:
    """Return the conditions of a pod, with the times of those that have not changed."""
    over = pod["status"].get("phase") in ("Succeeded", "Failed")
    main = [run for run in runs if run.kind == "main"]
    unready = [run.name for run in main if not run.running]
    initialised = all(run.succeeded or (run.sidecar and run.running) for run in runs if run.kind == "init")
    said = {} if not unready else {"reason": "ContainersNotReady"}
    if unready:
        said["message"] = f"containers with unready status: [{' '.join(unready)}]"
    if over:
        said = {"reason": "PodCompleted"}
    ready = not unready and bool(main) and initialised
    wanted = {
        "PodReadyToStartContainers": (sandbox and not over, {}),
        "Initialized": (initialised, {"reason": "PodCompleted"} if over else {}),
        "Ready": (ready, said),
        "ContainersReady": (ready, said),
        "PodScheduled": (True, {}),
    }
    had = {each["type"]: each for each in pod["status"].get("conditions") or []}
    return [
        _condition(kind, holds, more, had.get(kind), pod["metadata"]["generation"])
        for kind, (holds, more) in wanted.items()
    ]


def _condition(kind: str, holds: bool, more: Json, had: Json | None, generation: int) -> Json:
    status = "True" if holds else "False"
    since = had["lastTransitionTime"] if had and had["status"] == status else now()
    base = {"type": kind, "observedGeneration": generation, "status": status, "lastProbeTime": None}
    return base | {"lastTransitionTime": since} | more
