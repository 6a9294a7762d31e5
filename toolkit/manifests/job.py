"""A scan from inside the cluster: a Job whose workers share the targets, once or by a schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kubernetes import client

from toolkit import auditor
from toolkit.errors import CallError
from toolkit.manifests import checks, rbac
from toolkit.manifests.documents import LABELS, stream

IMAGE = "barescan:latest"
"""The image of barescan itself, as `images.build --kind cli` calls it."""
REPORTS = "/reports"
CONFIG = "/etc/barescan"
CLAIM = "barescan-reports"
_USER = 65532  # who the image of barescan runs as
_LONGEST_JOB = 63
_LONGEST_CRON_JOB = 52  # Kubernetes adds the minute to it
_INDEX = "$(JOB_COMPLETION_INDEX)"
"""Expanded by the kubelet: Kubernetes sets this variable in the pods of an Indexed Job."""
_NOT_OURS = ",".join(f"{key}!={value}" for key, value in LABELS.items())
_REQUESTS = {"cpu": "100m", "memory": "128Mi"}
_LIMITS = {"memory": "1Gi"}


@dataclass(frozen=True)
class Storage:
    """Where the reports stay: a claim there is, a directory of the node, else a claim of our own."""

    claim: str = ""
    host_path: str = ""
    size: str = "1Gi"

    def __post_init__(self) -> None:
        """Check all of it; raises CallError."""
        if self.claim and self.host_path:
            raise CallError("--claim and --host-path exclude each other", "leave one of them out")
        if self.claim:
            checks.subdomain(self.claim, "claim", "--claim")
        if self.host_path:
            checks.path(self.host_path, "--host-path", "on the nodes")
        checks.quantity(self.size, "--storage")


@dataclass(frozen=True)
class Schedule:
    """When a CronJob runs."""

    times: str
    time_zone: str = ""
    history: int = 3

    def __post_init__(self) -> None:
        """Check all of it; raises CallError."""
        checks.schedule(self.times)
        if self.time_zone:
            checks.time_zone(self.time_zone)


@dataclass(frozen=True)
class Job:
    """A scan, who does it, and where its outcome stays."""

    scope: rbac.Scope
    profile: str
    name: str = "barescan"
    threshold: str = ""
    input_files: tuple[str, ...] = field(default=())
    waiver_files: tuple[str, ...] = field(default=())
    config_map: str = ""
    workers: int = 1
    jobs: int | None = None
    cli_image: str = IMAGE
    image: str = auditor.IMAGE
    pull_policy: str = "IfNotPresent"
    storage: Storage = field(default_factory=Storage)
    deadline: int = 3600
    ttl: int = 86400
    """For how many seconds a Job stays after its end; those of a schedule are kept by number."""
    schedule: Schedule | None = None
    rbac: bool = True

    def __post_init__(self) -> None:
        """Check all of it; raises CallError."""
        # Pods of an Indexed Job are called NAME-INDEX as hosts, which is a label too.
        longest = _LONGEST_CRON_JOB if self.schedule else _LONGEST_JOB
        checks.label(self.name, "job", "--name", longest - len(f"-{self.workers - 1}"))
        checks.profile(self.profile)
        checks.image(self.cli_image, "--cli-image")
        checks.image(self.image, "--image")
        checks.one_of(self.pull_policy, "--pull-policy", checks.PULL_POLICIES)
        if self.config_map:
            checks.subdomain(self.config_map, "config map", "--config-map")
        files = [("--threshold", self.threshold)] if self.threshold else []
        files += [("--input-file", each) for each in self.input_files]
        files += [("--waiver-file", each) for each in self.waiver_files]
        for flag, file in files:
            checks.path(file, flag, "in the pod")
        for flag, file in [("--profile", self.profile), *files]:
            if file.startswith(f"{CONFIG}/") and not self.config_map:
                raise CallError(
                    f"{flag} {file} is in no volume",
                    f"write --config-map NAME, which is mounted at {CONFIG} (made by "
                    "`kubectl create configmap NAME --from-file FILE`)",
                )


def arguments(job: Job) -> list[str]:
    """Return the command line of the scan, as the kubelet expands it."""
    scope = job.scope
    where = ["--all-namespaces"] if scope.all_namespaces else ["--namespace", scope.namespace]
    selector = f"{scope.selector},{_NOT_OURS}" if scope.selector else _NOT_OURS
    given = [*where, "--selector", selector, "--profile", job.profile]
    given += ["--threshold", job.threshold] if job.threshold else []
    for flag, files in (("--input-file", job.input_files), ("--waiver-file", job.waiver_files)):
        given += [argument for file in files for argument in (flag, file)]
    given += ["--jobs", str(job.jobs)] if job.jobs else []
    given += ["--image", job.image, "--report-dir", REPORTS]
    literal = [argument.replace("$", "$$") for argument in given]
    return ["scan", *literal, "--shard", f"{_INDEX}/{job.workers}"]


def objects(job: Job) -> list[Any]:
    """Return everything the scan needs in the cluster, the scan itself last."""
    needed = rbac.objects(job.scope) if job.rbac else []
    if not job.storage.claim and not job.storage.host_path:
        needed.append(_claim(job))
    metadata = _metadata(job, job.name)
    if job.schedule is None:
        spec = _spec(job)
        spec.ttl_seconds_after_finished = job.ttl
        return [*needed, client.V1Job(api_version="batch/v1", kind="Job", metadata=metadata, spec=spec)]
    return [
        *needed,
        client.V1CronJob(
            api_version="batch/v1",
            kind="CronJob",
            metadata=metadata,
            spec=client.V1CronJobSpec(
                schedule=job.schedule.times,
                time_zone=job.schedule.time_zone or None,
                concurrency_policy="Forbid",
                successful_jobs_history_limit=job.schedule.history,
                failed_jobs_history_limit=job.schedule.history,
                job_template=client.V1JobTemplateSpec(
                    metadata=client.V1ObjectMeta(labels=LABELS), spec=_spec(job)
                ),
            ),
        ),
    ]


def _metadata(job: Job, name: str) -> client.V1ObjectMeta:
    return client.V1ObjectMeta(name=name, namespace=job.scope.home, labels=LABELS)


def _claim(job: Job) -> client.V1PersistentVolumeClaim:
    return client.V1PersistentVolumeClaim(
        api_version="v1",
        kind="PersistentVolumeClaim",
        metadata=_metadata(job, CLAIM),
        spec=client.V1PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce" if job.workers == 1 else "ReadWriteMany"],
            resources=client.V1VolumeResourceRequirements(requests={"storage": job.storage.size}),
        ),
    )


def _spec(job: Job) -> client.V1JobSpec:
    return client.V1JobSpec(
        completion_mode="Indexed",
        completions=job.workers,
        parallelism=job.workers,
        # A scan that found something ends with a status as well, and is not done over; the other workers
        # come to their end, and the Job has failed when one of them has.
        backoff_limit_per_index=0,
        max_failed_indexes=job.workers,
        pod_failure_policy=client.V1PodFailurePolicy(
            rules=[  # a drained node says nothing about the targets
                client.V1PodFailurePolicyRule(
                    action="Ignore",
                    on_pod_conditions=[
                        client.V1PodFailurePolicyOnPodConditionsPattern(
                            type="DisruptionTarget", status="True"
                        )
                    ],
                )
            ]
        ),
        active_deadline_seconds=job.deadline,
        template=client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=LABELS), spec=_pod(job)),
    )


def _pod(job: Job) -> client.V1PodSpec:
    mounts = {"tmp": ("/tmp", False), "reports": (REPORTS, False)}  # noqa: S108 the pod's own
    volumes = [client.V1Volume(name="tmp", empty_dir=client.V1EmptyDirVolumeSource()), _reports(job.storage)]
    if job.config_map:
        mounts["config"] = (CONFIG, True)
        volumes.append(
            client.V1Volume(name="config", config_map=client.V1ConfigMapVolumeSource(name=job.config_map))
        )
    return client.V1PodSpec(
        service_account_name=job.scope.account,
        automount_service_account_token=True,
        enable_service_links=False,
        restart_policy="Never",
        security_context=client.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=_USER,
            run_as_group=_USER,
            fs_group=_USER,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
        ),
        containers=[
            client.V1Container(
                name="scan",
                image=job.cli_image,
                image_pull_policy=job.pull_policy,
                args=arguments(job),
                resources=client.V1ResourceRequirements(requests=_REQUESTS, limits=_LIMITS),
                security_context=client.V1SecurityContext(
                    allow_privilege_escalation=False,
                    capabilities=client.V1Capabilities(drop=["ALL"]),
                    read_only_root_filesystem=True,
                ),
                volume_mounts=[
                    client.V1VolumeMount(name=name, mount_path=path, read_only=read_only or None)
                    for name, (path, read_only) in mounts.items()
                ],
            )
        ],
        volumes=volumes,
    )


def _reports(storage: Storage) -> client.V1Volume:
    if storage.host_path:
        source = client.V1HostPathVolumeSource(path=storage.host_path, type="Directory")
        return client.V1Volume(name="reports", host_path=source)
    claim = client.V1PersistentVolumeClaimVolumeSource(claim_name=storage.claim or CLAIM)
    return client.V1Volume(name="reports", persistent_volume_claim=claim)


def document(job: Job) -> str:
    """Return the YAML of it all, with what it does and how to follow it."""
    return stream(objects(job), [*_what(job), *_reports_said(job)], _how_to_follow(job))


def _what(job: Job) -> list[str]:
    scope, when = job.scope, f"at '{job.schedule.times}'" if job.schedule else "once"
    where = "every namespace" if scope.all_namespaces else f"namespace {scope.namespace}"
    task = "cronjob" if job.schedule else "job"
    workers = "one worker" if job.workers == 1 else f"{job.workers} workers"
    return [
        f"Scans the pods of {where} {when}, by {workers} in namespace {scope.home}. It has failed when "
        "a gate was not met, a control failed or a target could not be scanned. The targets' namespaces "
        "must allow the auditor (Pod Security's level `privileged`); the workers are `restricted`.",
        *_images_said(job),
        f"Apply: barescan manifests.{task} … | kubectl apply -f -",
    ]


def _images_said(job: Job) -> list[str]:
    """Say where both images must be; ours are in no registry before somebody pushes them."""
    said = [f"The workers' nodes need the image {job.cli_image}."]
    if job.cli_image == IMAGE:
        said = [
            f"The workers' nodes need the image of barescan itself, {IMAGE}, which is in no registry before "
            "you have built and pushed it; then print this with --cli-image REGISTRY/barescan:TAG:",
            "  barescan images.build --kind cli",
            f"  barescan images.push --tag {IMAGE} --to REGISTRY/barescan:TAG",
        ]
    own = ", which barescan images.build builds: push it as well, and name it with --image"
    return [
        *said,
        f"The nodes of the targets need the auditor image {job.image}"
        f"{own if job.image == auditor.IMAGE else ''}.",
    ]


def _reports_said(job: Job) -> list[str]:
    if job.storage.host_path:
        return [
            "Reports stay on the node of each worker, which Pod Security has at `privileged` only. Before:",
            f"  install -d -o {_USER} -g {_USER} -m 0700 DIRECTORY    # that of --host-path, on every node",
        ]
    if not job.storage.claim and job.workers > 1:
        return [
            f"Several workers write to {CLAIM}: the cluster must have storage that many nodes can write to."
        ]
    return []


def _how_to_follow(job: Job) -> list[str]:
    where = f"--namespace {job.scope.home}"
    if job.schedule:
        return [
            "",
            "Run it now, without waiting for its time:",
            f"  kubectl create job {job.name}-now --from cronjob/{job.name} {where}",
        ]
    pods = f"{where} --selector batch.kubernetes.io/job-name={job.name}"
    status = ".status..exitCode"
    return [
        "",
        "What it says, and how it ended (0 passed, 100 a control failed or a gate not met, 2 not scanned):",
        f"  kubectl logs --follow --prefix --tail -1 {pods}",
        f"  kubectl get pods {pods} -o custom-columns=POD:.metadata.name,STATUS:{status}",
        f"To run it again: kubectl delete job {job.name} {where}",
    ]
