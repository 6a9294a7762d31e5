"""Tasks that print manifests for a cluster and apply nothing: `manifests.rbac`, `sidecar`, `job`, `cronjob`.

What builds them is imported by the tasks: the models of Kubernetes' client take half a second to load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict, cast

from invoke import Collection, Context

from toolkit import auditor
from toolkit.cli_base import console, task
from toolkit.errors import CallError
from toolkit.manifests import checks

if TYPE_CHECKING:
    from toolkit.manifests import job as jobs

_MOST_WORKERS = 1000
_MOST_SECONDS = 7 * 86400
_MOST_AT_A_TIME = 100
_MOST_KEPT = 100

_SCOPE_HELP = {
    "namespace": "the namespace whose pods are scanned (with --all-namespaces: only where the account is)",
    "all-namespaces": "rights to the pods of every namespace: a ClusterRole",
    "selector": "scan only pods with these labels, such as app=web,tier!=test (it can't limit rights)",
    "service-account": f"what the account is called, and its role (default: {checks.ACCOUNT})",
    "account-namespace": "where the account is, if not in --namespace: a place the scanned can't write to",
    "with-events": "also the right to list events: a missing image is told at once, not seconds later",
}
_JOB_HELP = _SCOPE_HELP | {
    "namespace": "the namespace whose pods are scanned (with --all-namespaces: only where the job is)",
    "all-namespaces": "scan every namespace, with rights to all of them",
    "selector": "scan only pods with these labels, such as app=web,tier!=test (the job's own pods never are)",
    "account-namespace": "where job, account and reports are, if not in --namespace",
    "service-account": f"what the job's account is called, and its role (default: {checks.JOB_ACCOUNT})",
    "profile": "scap:NAME#PROFILE-ID, /opt/barescan/profiles/distroless-baseline (in the image of barescan), "
    "or a file of the config map: /etc/barescan/FILE",
    "threshold": "threshold file (SAF's format) that decides alone, such as /etc/barescan/gate.yml",
    "input-file": "YAML file of inputs for InSpec profiles, as /etc/barescan/inputs.yml (may be repeated)",
    "waiver-file": "InSpec waiver file, such as /etc/barescan/waivers.yml (may be repeated)",
    "config-map": "a ConfigMap there is, whose files are at /etc/barescan: "
    "kubectl create configmap NAME --from-file gate.yml",
    "name": "what the job is called (default: barescan)",
    "workers": "how many pods share the targets (default: 1)",
    "jobs": "how many targets a worker scans at a time (default: as `scan` does)",
    "cli-image": "image of barescan itself, see `images.build --kind cli` (default: barescan:latest)",
    "image": f"auditor image, which the nodes of the targets pull (default: {auditor.IMAGE})",
    "pull-policy": "when the image of barescan is pulled: Always, IfNotPresent (the default) or Never",
    "claim": "a PersistentVolumeClaim there is, for the reports (default: one is made, barescan-reports)",
    "host-path": "a directory of each worker's node for the reports; uid 65532 must be able to write to it",
    "storage": "size of the claim that is made (default: 1Gi)",
    "deadline": "seconds after which the whole job is ended (default: 3600)",
    "rbac": "print account, role and binding as well, as manifests.rbac does (--no-rbac leaves them out)",
}


def _write(text: str) -> None:
    console.out(text, highlight=False, end="")


@task(
    name="rbac",
    help=_SCOPE_HELP | {"pod": "rights to this pod only, by its name (may be repeated; default: all)"},
    iterable=["pod"],
)
def manifests_rbac(
    _context: Context,
    namespace: str = "",
    pod: list[str] | None = None,
    selector: str = "",
    all_namespaces: bool = False,
    service_account: str = checks.ACCOUNT,
    account_namespace: str = "",
    with_events: bool = False,
) -> None:
    """Print the account that scans and the least rights it needs, as YAML; nothing is applied.

    Ends with comments on how to get a token for ten minutes and a kubeconfig that has nothing else.

    barescan manifests.rbac --namespace shop --pod web-0 | kubectl apply -f -
    """
    from toolkit.manifests import rbac

    scope = rbac.Scope(
        namespace=namespace,
        all_namespaces=all_namespaces,
        selector=selector,
        pods=tuple(pod or []),
        account=service_account,
        account_namespace=account_namespace,
        with_events=with_events,
    )
    _write(rbac.document(scope))


@task(
    name="sidecar",
    help={
        "kind": "what is patched: deployment (the default), statefulset, daemonset, "
        "or pod for the manifest of a static pod",
        "name": "what the workload is called, for the command that is shown and for kustomize",
        "target": "k8s-container://NAMESPACE/POD[/CONTAINER]: one of its pods, for the commands shown",
        "namespace": "namespace of the workload, where no --target says it",
        "container": "the container that will be scanned, where no --target says it",
        "image": f"auditor image, which the nodes pull (default: {auditor.IMAGE})",
        "pull-policy": "Always, IfNotPresent or Never (default: Kubernetes' own)",
        "privileged": "give the sidecar all rights, where the least ones do not do",
        "app-armor-unconfined": "no AppArmor profile, for nodes that have it: the default one denies mounts",
    },
)
def manifests_sidecar(  # noqa: PLR0913, PLR0917 one parameter a flag is how Invoke works
    _context: Context,
    kind: str = "deployment",
    name: str = "",
    target: str = "",
    namespace: str = "",
    container: str = "",
    image: str = auditor.IMAGE,
    pull_policy: str = "",
    privileged: bool = False,
    app_armor_unconfined: bool = False,
) -> None:
    """Print a patch that adds the auditor to a workload as a sidecar, as YAML; nothing is applied.

    For pods that can have no ephemeral container: static pods, and where a policy forbids them. The pods
    are replaced by it; the scan then starts nothing, and finds the sidecar by its name.

    barescan manifests.sidecar --name web --namespace shop >sidecar.yaml
    """
    from toolkit.manifests import sidecar

    pod = ""
    if target:
        if namespace or container:
            raise CallError("--target says namespace and container itself", "leave the other flag out")
        namespace, pod, container = checks.parts(target)
    wanted = sidecar.Sidecar(
        kind=kind,
        workload=name,
        namespace=namespace,
        pod=pod,
        container=container,
        image=image,
        pull_policy=pull_policy,
        privileged=privileged,
        app_armor=app_armor_unconfined,
    )
    _write(sidecar.document(wanted))


class _Flags(TypedDict):
    """The flags that `job` and `cronjob` share, as they were given."""

    namespace: str
    profile: str
    selector: str
    all_namespaces: bool
    threshold: str
    input_file: list[str] | None
    waiver_file: list[str] | None
    config_map: str
    name: str
    workers: str
    jobs: str
    cli_image: str
    image: str
    pull_policy: str
    claim: str
    host_path: str
    storage: str
    deadline: str
    service_account: str
    account_namespace: str
    with_events: bool
    rbac: bool


def _flags(given: Mapping[str, Any]) -> _Flags:
    """Return the shared ones among the parameters of a task."""
    return cast("_Flags", {name: given[name] for name in _Flags.__annotations__})


def _job(flags: _Flags, ttl: int = 0, schedule: jobs.Schedule | None = None) -> jobs.Job:
    from toolkit.manifests import job, rbac

    number = checks.number
    return job.Job(
        scope=rbac.Scope(
            namespace=flags["namespace"],
            all_namespaces=flags["all_namespaces"],
            selector=flags["selector"],
            account=flags["service_account"],
            account_namespace=flags["account_namespace"],
            with_events=flags["with_events"],
        ),
        profile=flags["profile"],
        name=flags["name"],
        threshold=flags["threshold"],
        input_files=tuple(flags["input_file"] or []),
        waiver_files=tuple(flags["waiver_file"] or []),
        config_map=flags["config_map"],
        workers=number(flags["workers"], "--workers", 1, _MOST_WORKERS, 2),
        jobs=number(flags["jobs"], "--jobs", 1, _MOST_AT_A_TIME, 4) if flags["jobs"] else None,
        cli_image=flags["cli_image"],
        image=flags["image"],
        pull_policy=flags["pull_policy"],
        storage=job.Storage(flags["claim"], flags["host_path"], flags["storage"]),
        deadline=number(flags["deadline"], "--deadline", 1, _MOST_SECONDS, 3600),
        ttl=ttl,
        schedule=schedule,
        rbac=flags["rbac"],
    )


@task(
    name="job",
    help=_JOB_HELP | {"ttl": "seconds until the job is removed after its end, reports stay (default: 86400)"},
    iterable=["input_file", "waiver_file"],
)
def manifests_job(  # noqa: PLR0913, PLR0917 one parameter a flag is how Invoke works
    _context: Context,
    namespace: str = "",
    profile: str = "",
    selector: str = "",
    all_namespaces: bool = False,
    threshold: str = "",
    input_file: list[str] | None = None,
    waiver_file: list[str] | None = None,
    config_map: str = "",
    name: str = "barescan",
    workers: str = "1",
    jobs: str = "",
    cli_image: str = "barescan:latest",
    image: str = auditor.IMAGE,
    pull_policy: str = "IfNotPresent",
    claim: str = "",
    host_path: str = "",
    storage: str = "1Gi",
    deadline: str = "3600",
    ttl: str = "86400",
    service_account: str = checks.JOB_ACCOUNT,
    account_namespace: str = "",
    with_events: bool = False,
    rbac: bool = True,
) -> None:
    """Print a Job that scans from inside the cluster, with all it needs, as YAML; nothing is applied.

    Its workers share the targets. It has failed when a gate was not met or a target could not be scanned.
    Thresholds and the like come from a ConfigMap, whose files are at /etc/barescan.

    kubectl create configmap gate --namespace shop --from-file gate.yml
    barescan manifests.job --namespace shop --profile scap:debian12#anssi_bp28_high --workers 2
      --config-map gate --threshold /etc/barescan/gate.yml | kubectl apply -f -
    """
    from toolkit.manifests import job

    flags = _flags(locals())
    _write(job.document(_job(flags, checks.number(ttl, "--ttl", 0, _MOST_SECONDS, 86400))))


@task(
    name="cronjob",
    help=_JOB_HELP
    | {
        "schedule": "minute, hour, day of the month, month, day of the week, as '0 3 * * 1-5'; or @daily",
        "time-zone": "whose clock, such as Europe/Berlin (default: that of the cluster's controller)",
        "history": "how many jobs are kept that went well, and that failed; reports stay (default: 3)",
    },
    iterable=["input_file", "waiver_file"],
)
def manifests_cronjob(  # noqa: PLR0913, PLR0917 one parameter a flag is how Invoke works
    _context: Context,
    schedule: str = "",
    namespace: str = "",
    profile: str = "",
    selector: str = "",
    all_namespaces: bool = False,
    time_zone: str = "",
    history: str = "3",
    threshold: str = "",
    input_file: list[str] | None = None,
    waiver_file: list[str] | None = None,
    config_map: str = "",
    name: str = "barescan",
    workers: str = "1",
    jobs: str = "",
    cli_image: str = "barescan:latest",
    image: str = auditor.IMAGE,
    pull_policy: str = "IfNotPresent",
    claim: str = "",
    host_path: str = "",
    storage: str = "1Gi",
    deadline: str = "3600",
    service_account: str = checks.JOB_ACCOUNT,
    account_namespace: str = "",
    with_events: bool = False,
    rbac: bool = True,
) -> None:
    """Print a CronJob that scans from inside the cluster, with all it needs, as YAML; nothing is applied.

    As manifests.job, by a schedule: a scan that still runs is not joined by another.

    barescan manifests.cronjob --schedule '0 3 * * *' --time-zone Europe/Berlin --namespace shop
      --profile scap:debian12#anssi_bp28_high | kubectl apply -f -
    """
    from toolkit.manifests import job

    when = job.Schedule(schedule, time_zone, checks.number(history, "--history", 0, _MOST_KEPT, 3))
    flags = _flags(locals())
    _write(job.document(_job(flags, schedule=when)))


manifests = Collection("manifests", manifests_rbac, manifests_sidecar, manifests_job, manifests_cronjob)
