"""The node of the double: starts the containers of pods, and anew, and reports what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import APIError

from tests.kubernetes.double import options, reports
from tests.kubernetes.double.engine import Engine, start_error
from tests.kubernetes.double.pods import NODE
from tests.kubernetes.double.reports import Run
from tests.kubernetes.double.statuses import Json
from tests.kubernetes.double.store import EVENTS, PODS, Store, now

POD_LABEL = "io.barescan.double.pod"
_LOOK_SECONDS = 0.15
_RETRY_SECONDS = 10
_BACKOFF_SECONDS = (10, 300)
"""The first and the longest wait of a container that crashes."""
_NOT_RUNNING = re.compile("non running container|is not running")
"""In what the engine says when a namespace can't be joined, as its container has ended meanwhile."""
_NODE_LABELS = {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}
_log = logging.getLogger(__name__)


@dataclass
class Ways:
    """How this node differs from the usual: switched on by the tests that need it."""

    ignores_target: bool = False
    """targetContainerName has no effect, as with some container runtimes."""
    network: str = "none"
    """The engine's network that pods are on."""
    report_seconds: float = 3.0
    """How long it takes until the status says why a container can't be started; 11 to 16 on a real node."""


class _HeldError(Exception):
    """A container can't be started now."""

    def __init__(self, reason: str, message: str = "", *, event: str = "") -> None:
        super().__init__(reason)
        self.reason, self.message = reason, message
        self.event = event or message or reason


class Kubelet:
    """All pods of the one node."""

    def __init__(self, store: Store, engine: Engine, folder: Path, ways: Ways) -> None:
        self.store, self.engine, self.folder, self.ways = store, engine, folder, ways
        self.addresses = itertools.count(2)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to look after the containers."""
        self._spawn(self._look())

    def add(self, pod: Json) -> None:
        """Take a new pod, if it is for this node."""
        spec = pod["spec"]
        if spec["schedulerName"] != "default-scheduler" or spec.get("nodeName", NODE) != NODE:
            return
        if not set((spec.get("nodeSelector") or {}).items()) <= set(_NODE_LABELS.items()):
            self._unschedulable(pod)
            return
        worker = self._workers[pod["metadata"]["uid"]] = PodWorker(self, pod)
        self._spawn(worker.live())

    def poke(self, pod: Json) -> None:
        """Say that a pod was changed."""
        if worker := self._workers.get(pod["metadata"]["uid"]):
            worker.changed.set()

    def delete(self, pod: Json, grace: int | None) -> None:
        """End a pod: its object goes at once without a grace, else when its containers have ended."""
        meta, spec = pod["metadata"], pod["spec"]
        seconds = spec["terminationGracePeriodSeconds"] if grace is None else grace
        worker = self._workers.get(meta["uid"])
        meta |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": seconds}
        self.store.touch(pod)
        if worker is None or seconds == 0:
            self.store.remove(PODS, meta["namespace"], meta["name"])
        if worker:
            worker.end(seconds)

    def container(self, pod: Json, name: str) -> str:
        """Return the engine's id of a container that runs, or nothing."""
        worker = self._workers.get(pod["metadata"]["uid"])
        run = worker.runs.get(name) if worker else None
        return run.container if run and run.running else ""

    def event(self, pod: Json, reason: str, message: str, path: str = "", kind: str = "Normal") -> None:
        """Record an event of a pod."""
        meta = pod["metadata"]
        about = {
            "kind": "Pod",
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "apiVersion": "v1",
            "resourceVersion": meta["resourceVersion"],
        } | ({"fieldPath": path} if path else {})
        said: Json = {
            "metadata": {"name": f"{meta['name']}.{secrets.token_hex(8)}"},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": NODE},
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "count": 1,
            "type": kind,
            "eventTime": None,
            "reportingComponent": "kubelet",
            "reportingInstance": NODE,
        }
        same = ("reason", "message", "involvedObject")
        keys = ("name", "fieldPath")
        for each in self.store.all(EVENTS, meta["namespace"]):
            if all(each[key] == said[key] for key in same[:2]) and all(
                each["involvedObject"].get(key) == about.get(key) for key in keys
            ):
                each |= {"count": each["count"] + 1, "lastTimestamp": now()}
                self.store.touch(each)
                return
        self.store.create(EVENTS, meta["namespace"], said)

    async def forget(self, worker: PodWorker) -> None:
        """Remove what a pod that has ended left."""
        meta = worker.pod["metadata"]
        self._workers.pop(meta["uid"], None)
        kept = self.store.find(PODS, meta["namespace"], meta["name"])
        if kept is worker.pod:
            self.store.remove(PODS, meta["namespace"], meta["name"])
        await asyncio.to_thread(shutil.rmtree, worker.folder, ignore_errors=True)

    async def stop(self) -> None:
        """Look after nothing any more; the engine removes the containers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _unschedulable(self, pod: Json) -> None:
        why = (
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to "
            "deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
        said = {"type": "PodScheduled", "observedGeneration": 1, "status": "False", "lastProbeTime": None}
        said |= {"lastTransitionTime": now(), "reason": "Unschedulable", "message": why}
        pod["status"]["conditions"] = [said]
        self.store.touch(pod)
        self.event(pod, "FailedScheduling", why, kind="Warning")

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("the double's kubelet failed", exc_info=error)

    async def _look(self) -> None:
        """Wake the pods of which a container has ended."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if any(run.running for worker in self._workers.values() for run in worker.runs.values()):
                states = await self.engine.states()
                for worker in self._workers.values():
                    worker.look(states)


class PodWorker:
    """One pod on the node, from its sandbox to its removal."""

    def __init__(self, kubelet: Kubelet, pod: Json) -> None:
        self._kubelet, self.pod = kubelet, pod
        self._engine = kubelet.engine
        self.folder = kubelet.folder / "pods" / pod["metadata"]["uid"]
        self.changed = asyncio.Event()
        self.runs: dict[str, Run] = {}
        self._sandbox = ""
        self._address = ""
        self._grace: int | None = None
        for kind, key in (("init", "initContainers"), ("main", "containers")):
            for spec in pod["spec"].get(key) or []:
                self._add(spec, kind)

    @property
    def _spec(self) -> Json:
        return dict(self.pod["spec"])

    def look(self, states: dict[str, str]) -> None:
        """Wake up when a container that ran does not."""
        if any(run.running and states.get(run.container) != "running" for run in self.runs.values()):
            self.changed.set()

    def end(self, grace: int) -> None:
        """Ask for the end, after so many seconds at most."""
        self._grace = grace
        self.changed.set()

    async def live(self) -> None:
        """Do all that is to be done for the pod until it is deleted."""
        self.pod["spec"]["nodeName"] = NODE
        self.pod["status"]["startTime"] = now()
        self._publish()
        meta = self.pod["metadata"]
        name = f"{meta['namespace']}/{meta['name']}"
        self._event("Scheduled", f"Successfully assigned {name} to {NODE}")
        await self._make_sandbox()
        while self._grace is None:
            self.changed.clear()
            await self._sync()
            self._publish()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), self._idle_seconds())
        await self._tear_down(self._grace)

    async def _make_sandbox(self) -> None:
        meta, network = self.pod["metadata"], self._kubelet.ways.network
        self._sandbox = await self._engine.pause(
            self._container_name("POD", 0),
            network_mode=network,
            hostname=meta["name"][:63],
            labels={POD_LABEL: meta["uid"]},
        )
        self._address = f"10.244.0.{next(self._kubelet.addresses)}"
        if network != "none":
            about = await self._engine.inspect(self._sandbox)
            networks = about["NetworkSettings"]["Networks"]
            self._address = next((each["IPAddress"] for each in networks.values()), self._address)

    async def _tear_down(self, grace: int) -> None:
        containers = [run.container for run in self.runs.values() if run.container]
        await asyncio.gather(*(self._engine.remove(each, grace) for each in containers))
        await self._engine.remove(self._sandbox)
        await self._kubelet.forget(self)

    def _idle_seconds(self) -> float:
        moments = [run.settle() for run in self.runs.values()]
        clock = time.monotonic()
        moments += [run.not_before - clock for run in self.runs.values() if run.not_before > clock]
        return max(0.01, min([*moments, _RETRY_SECONDS]))

    async def _sync(self) -> None:
        for run in list(self.runs.values()):
            if run.running:
                await self._note_end(run)
        if self._phase() in ("Succeeded", "Failed"):
            return
        for spec in self._spec.get("ephemeralContainers") or []:
            if spec["name"] not in self.runs:
                self._add(spec, "ephemeral")
                self._publish()
        for run in [each for each in self.runs.values() if each.kind == "ephemeral"]:
            if not run.over and not run.starts:
                await self._try(run)
        if await self._initialise():
            for run in [each for each in self.runs.values() if each.kind == "main"]:
                await self._keep_up(run, self._spec["restartPolicy"])

    def _add(self, spec: Json, kind: str) -> None:
        reason = (
            "PodInitializing" if self._spec.get("initContainers") and kind != "init" else "ContainerCreating"
        )
        if kind == "init":
            reason = "PodInitializing"
        self.runs[spec["name"]] = Run(spec, kind, {"waiting": {"reason": reason}})

    async def _initialise(self) -> bool:
        """Run the init containers in their order; tell whether all that must end have ended well."""
        for run in [each for each in self.runs.values() if each.kind == "init"]:
            if run.sidecar:
                await self._keep_up(run, "Always")
                if not run.running:
                    return False
            elif not run.succeeded:
                policy = self._spec["restartPolicy"]
                await self._keep_up(run, "OnFailure" if policy == "Always" else policy)
                return False
        return True

    async def _keep_up(self, run: Run, policy: str) -> None:
        """Start a container that has not run yet, or anew when its policy says so."""
        if run.running:
            return
        ended = run.state.get("terminated")
        if ended:
            if policy == "Never" or (policy == "OnFailure" and run.succeeded):
                return
            run.last = {"terminated": ended}
            if time.monotonic() < run.not_before:
                uid, name = self.pod["metadata"]["uid"], self._title()
                back_off = f"back-off {run.backoff}s restarting failed container={run.name} pod={name}({uid})"
                run.wait("CrashLoopBackOff", back_off)
                self._event(
                    "BackOff", f"Back-off restarting failed container {run.name} in pod {name}({uid})", run
                )
        await self._try(run)

    async def _try(self, run: Run) -> None:
        if time.monotonic() < run.not_before:
            return
        try:
            await self._begin(run)
        except _HeldError as held:
            self._event("Failed", f"Error: {held.event}", run, "Warning")
            delay = self._kubelet.ways.report_seconds if run.kind == "ephemeral" else 0.0
            run.wait(held.reason, held.message, delay)
            waits_for_target = held.reason == "CreateContainerError"
            run.not_before = time.monotonic() + (0.5 if waits_for_target else _RETRY_SECONDS)

    async def _begin(self, run: Run) -> None:
        image = await self._image(run)
        context = options.security(self._spec, run.spec)
        if why := options.why_root(context, image.attrs["Config"].get("User") or ""):
            uid = self.pod["metadata"]["uid"]
            said = f'{why} (pod: "{self._title()}({uid})", container: {run.name})'
            raise _HeldError("CreateContainerConfigError", said)
        old = run.container
        container = await self._create(run, image.id, context)
        self._event("Created", f"Created container: {run.name}", run)
        run.container, run.image, run.image_id = container, options.full_name(run.spec["image"]), image.id
        run.starts += 1
        if old:
            await self._engine.remove(old)
        try:
            await self._engine.start(container)
        except APIError as error:
            gone = run.spec.get("targetContainerName") and _NOT_RUNNING.search(str(error.explanation))
            self._failed_to_start(run, self._no_target(run) if gone else start_error(error))
            return
        about = await self._engine.inspect(container)
        run.set({"running": {"startedAt": _time(about["State"]["StartedAt"])}})
        self._event("Started", f"Started container {run.name}", run)
        self.changed.set()

    async def _create(self, run: Run, image: str, context: Json) -> str:
        spec, meta = self._spec, self.pod["metadata"]
        sandbox = f"container:{self._sandbox}"
        made = (
            options.rights(context)
            | options.command(run.spec, meta)
            | options.memory(spec, run.spec, ephemeral=run.kind == "ephemeral")
        )
        if namespace := self._pid_namespace(run):
            made["pid_mode"] = f"container:{namespace}"
        try:
            return await self._engine.create(
                image,
                name=self._container_name(run.name, run.starts),
                network_mode=sandbox,
                ipc_mode=sandbox,
                mounts=options.mounts(spec, run.spec, self.folder),
                labels={POD_LABEL: meta["uid"]},
                **made,
            )
        except APIError as error:
            raise _HeldError("CreateContainerError", str(error.explanation)) from None

    def _pid_namespace(self, run: Run) -> str:
        """Return the container whose pid namespace a new one joins; nothing for one of its own."""
        target = self.runs.get(run.spec.get("targetContainerName", ""))
        if target and not target.container:
            raise _HeldError("CreateContainerConfigError", f"unable to find target container {target.name}")
        if self._spec.get("shareProcessNamespace"):
            return self._sandbox
        if not target or self._kubelet.ways.ignores_target:
            return ""
        if not target.running:
            said = f'failed to generate container "{secrets.token_hex(32)}" spec: {self._no_target(run)}'
            raise _HeldError("CreateContainerError", said)
        return target.container

    def _no_target(self, run: Run) -> str:
        container = self.runs[run.spec["targetContainerName"]].container
        why = f'container "{container}" is not running - in state CONTAINER_EXITED'
        return f"invalid target container: {why}"

    async def _image(self, run: Run) -> Any:
        """Return the image of a container, as its pull policy has it got; nothing is ever pulled."""
        reference, policy = run.spec["image"], run.spec["imagePullPolicy"]
        try:
            name = options.full_name(reference)
        except ValueError as error:
            parsed = f'couldn\'t parse image name "{reference}": {error}'
            said = f'Failed to apply default image tag "{reference}": {parsed}'
            self._event("InspectFailed", said, run, "Warning")
            raise _HeldError("InvalidImageName", said, event="InvalidImageName") from None
        image = await self._engine.image(name)
        if image is not None and policy != "Always":
            self._event("Pulled", f'Container image "{reference}" already present on machine', run)
            return image
        if policy == "Never":
            said = f'Container image "{reference}" is not present with pull policy of Never'
            self._event("ErrImageNeverPull", said, run, "Warning")
            raise _HeldError("ErrImageNeverPull", said, event="ErrImageNeverPull")
        run.tries += 1
        repository, _, tag = name.removeprefix("docker.io/").rpartition(":")
        host = name.partition("/")[0]
        said = (
            f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": '
            f'failed to do request: Head "https://{host}/v2/{repository}/manifests/{tag}": '
            f"dial tcp: lookup {host}: no such host"
        )
        if run.tries % 2 == 0:
            self._event("BackOff", f'Back-off pulling image "{reference}"', run)
            waits = f'Back-off pulling image "{reference}": ErrImagePull: {said}'
            raise _HeldError("ImagePullBackOff", waits, event="ImagePullBackOff")
        self._event("Pulling", f'Pulling image "{reference}"', run)
        self._event("Failed", f'Failed to pull image "{reference}": {said}', run, "Warning")
        raise _HeldError("ErrImagePull", said, event="ErrImagePull")

    def _failed_to_start(self, run: Run, said: str) -> None:
        self._event("Failed", f"Error: {said}", run, "Warning")
        ended = {"exitCode": 128, "reason": "StartError", "message": said, "startedAt": reports.ZERO}
        ended |= {"finishedAt": now(), "containerID": f"docker://{run.container}"}
        run.over = run.kind == "ephemeral"
        if self._spec["restartPolicy"] == "Never":
            run.set({"terminated": ended})
        else:
            run.last = {"terminated": ended}
            run.wait("RunContainerError", said)
            self._back_off(run)

    async def _note_end(self, run: Run) -> None:
        """Look whether a container that ran has ended, and how."""
        about = await self._engine.inspect(run.container)
        state = about.get("State") or {"ExitCode": 137}
        if state.get("Running"):
            return
        code = state["ExitCode"]
        reason = "OOMKilled" if state.get("OOMKilled") else "Error" if code else "Completed"
        words = self.folder / "containers" / run.name / "0"
        message = words.read_text(errors="replace")[:4096] if words.exists() else ""
        ended = {"exitCode": code, "reason": reason} | ({"message": message} if message else {})
        ended |= {
            "startedAt": _time(state.get("StartedAt", reports.ZERO)),
            "finishedAt": _time(state.get("FinishedAt", reports.ZERO)),
            "containerID": f"docker://{run.container}",
        }
        run.set({"terminated": ended})
        run.over = run.kind == "ephemeral"
        if run.starts > 1:
            self._back_off(run)
        self._publish()

    def _back_off(self, run: Run) -> None:
        first, longest = _BACKOFF_SECONDS
        run.backoff = min(longest, run.backoff * 2) if run.backoff else first
        run.not_before = time.monotonic() + run.backoff

    def _phase(self) -> str:
        return reports.phase(self._spec, list(self.runs.values()))

    def _publish(self) -> None:
        runs = list(self.runs.values())
        for run in runs:
            run.settle()
        status = dict(self.pod["status"])
        status["phase"] = self._phase()
        status["observedGeneration"] = self.pod["metadata"]["generation"]
        after = {"metadata": self.pod["metadata"], "status": status}
        status["conditions"] = reports.conditions(after, runs, sandbox=bool(self._sandbox))
        status |= {"hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}]}
        if self._address:
            status |= {"podIP": self._address, "podIPs": [{"ip": self._address}]}
        for kind, key in (("init", "init"), ("main", "c"), ("ephemeral", "ephemeral")):
            found = [run.report() for run in runs if run.kind == kind]
            if found:
                status["containerStatuses" if key == "c" else f"{key}ContainerStatuses"] = found
        if status != self.pod["status"]:
            self.pod["status"] = status
            self._kubelet.store.touch(self.pod)

    def _event(self, reason: str, message: str, run: Run | None = None, kind: str = "Normal") -> None:
        lists = {"init": "initContainers", "main": "containers", "ephemeral": "ephemeralContainers"}
        path = f"spec.{lists[run.kind]}{{{run.name}}}" if run else ""
        self._kubelet.event(self.pod, reason, message, path, kind)

    def _title(self) -> str:
        meta = self.pod["metadata"]
        return f"{meta['name']}_{meta['namespace']}"

    def _container_name(self, container: str, attempt: int) -> str:
        meta = self.pod["metadata"]
        return f"k8s_{container}_{meta['name']}_{meta['namespace']}_{meta['uid']}_{attempt}"


def _time(engine: str) -> str:
    """Return a time of the engine's in whole seconds."""
    return re.sub(r"\.\d+Z$", "Z", engine)
