"""A job's workers share the targets, fail one by one, keep their reports and need no rights on their node."""

from __future__ import annotations

from typing import Any

import pytest

from tests.manifests.conftest import CRON_JOB, JOB, Printed, documents, model
from toolkit.cli import ns


def _spec(printed: Printed, *flags: str) -> Any:
    return model(documents(printed(*JOB, *flags))["Job"], "V1Job").spec


def _arguments(printed: Printed, *flags: str) -> list[str]:
    (container,) = _spec(printed, *flags).template.spec.containers
    return list(container.args)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_share_the_targets_and_fail_one_by_one(printed: Printed, workers: int) -> None:
    spec = _spec(printed, "--workers", str(workers))
    assert spec.completion_mode == "Indexed"
    assert spec.completions == spec.parallelism == spec.max_failed_indexes == workers
    assert spec.backoff_limit_per_index == 0
    assert spec.template.spec.restart_policy == "Never"
    assert spec.template.spec.containers[0].args[-2:] == ["--shard", f"$(JOB_COMPLETION_INDEX)/{workers}"]


def test_it_ends_and_is_removed(printed: Printed) -> None:
    spec = _spec(printed, "--deadline", "60", "--ttl", "0")
    assert (spec.active_deadline_seconds, spec.ttl_seconds_after_finished) == (60, 0)


def test_the_scan_is_called_as_it_was_asked_for(printed: Printed) -> None:
    flags = ["--selector", "app=web", "--jobs", "4", "--config-map", "gate", "--image", "audit:2"]
    flags += ["--threshold", "/etc/barescan/gate.yml", "--waiver-file", "/etc/barescan/w.yml"]
    flags += ["--input-file", "/etc/barescan/a.yml", "--input-file", "/etc/barescan/b.yml"]
    assert _arguments(printed, *flags) == [
        *["scan", "--namespace", "shop", "--selector", "app=web,app.kubernetes.io/name!=barescan"],
        *["--profile", "scap:debian12#some", "--threshold", "/etc/barescan/gate.yml"],
        *["--input-file", "/etc/barescan/a.yml", "--input-file", "/etc/barescan/b.yml"],
        *["--waiver-file", "/etc/barescan/w.yml", "--jobs", "4", "--image", "audit:2"],
        *["--report-dir", "/reports", "--shard", "$(JOB_COMPLETION_INDEX)/1"],
    ]


def test_every_namespace(printed: Printed) -> None:
    arguments = _arguments(printed, "--all-namespaces")
    assert "--all-namespaces" in arguments
    assert "--namespace" not in arguments


def test_the_flags_are_those_of_scan(printed: Printed) -> None:
    known = {f"--{each.name.replace('_', '-')}" for each in ns["scan"].get_arguments()}
    flags = [
        "--all-namespaces",
        "--jobs",
        "2",
        "--threshold",
        "/t",
        "--input-file",
        "/i",
        "--waiver-file",
        "/w",
    ]
    arguments = [*_arguments(printed, *flags), *_arguments(printed)]
    assert {each for each in arguments if each.startswith("--")} <= known


def test_the_kubelet_expands_nothing_of_the_users(printed: Printed) -> None:
    arguments = _arguments(printed, "--threshold", "/$(HOME)/$$")
    assert "/$$(HOME)/$$$$" in arguments


def test_its_own_pods_are_left_out(printed: Printed) -> None:
    arguments = _arguments(printed)
    (key, value) = arguments[arguments.index("--selector") + 1].split("!=")
    assert _spec(printed).template.metadata.labels[key] == value


def test_the_pod_is_restricted(printed: Printed) -> None:
    pod = _spec(printed, "--config-map", "gate").template.spec
    (container,) = pod.containers
    assert pod.security_context.run_as_non_root is True
    assert pod.security_context.run_as_user == pod.security_context.fs_group == 65532
    assert pod.security_context.seccomp_profile.type == "RuntimeDefault"
    rights = container.security_context
    assert rights.allow_privilege_escalation is False
    assert rights.read_only_root_filesystem is True
    assert (rights.capabilities.drop, rights.capabilities.add) == (["ALL"], None)
    mounts = {each.mount_path: each.read_only for each in container.volume_mounts}
    assert mounts == {"/tmp": None, "/reports": None, "/etc/barescan": True}
    assert {each.name for each in pod.volumes} == {each.name for each in container.volume_mounts}


def test_only_the_pod_has_the_token(printed: Printed) -> None:
    found = documents(printed(*JOB))
    assert found["ServiceAccount"]["automountServiceAccountToken"] is False
    assert found["Job"]["spec"]["template"]["spec"]["automountServiceAccountToken"] is True


@pytest.mark.parametrize(("workers", "mode"), [("1", "ReadWriteOnce"), ("2", "ReadWriteMany")])
def test_reports_stay_in_a_claim_of_its_own(printed: Printed, workers: str, mode: str) -> None:
    found = documents(printed(*JOB, "--workers", workers, "--storage", "5Gi"))
    claim = model(found["PersistentVolumeClaim"], "V1PersistentVolumeClaim")
    assert claim.spec.access_modes == [mode]
    assert claim.spec.resources.requests == {"storage": "5Gi"}
    volumes = model(found["Job"], "V1Job").spec.template.spec.volumes
    (reports,) = (each for each in volumes if each.name == "reports")
    assert reports.persistent_volume_claim.claim_name == claim.metadata.name


@pytest.mark.parametrize(
    ("flags", "volume"),
    [
        (["--claim", "mine"], {"persistentVolumeClaim": {"claimName": "mine"}}),
        (["--host-path", "/srv/r"], {"hostPath": {"path": "/srv/r", "type": "Directory"}}),
    ],
)
def test_reports_stay_where_they_were_told_to(
    printed: Printed, flags: list[str], volume: dict[str, Any]
) -> None:
    found = documents(printed(*JOB, *flags))
    assert "PersistentVolumeClaim" not in found
    volumes = found["Job"]["spec"]["template"]["spec"]["volumes"]
    assert {"name": "reports", **volume} in volumes


def test_rights_come_with_it_or_not(printed: Printed) -> None:
    kinds = set(documents(printed(*JOB)))
    assert kinds == {"ServiceAccount", "Role", "RoleBinding", "PersistentVolumeClaim", "Job"}
    assert set(documents(printed(*JOB, "--no-rbac", "--claim", "mine"))) == {"Job"}
    assert "ClusterRole" in documents(printed(*JOB, "--all-namespaces"))


def test_the_rights_are_those_of_the_task_for_them(printed: Printed) -> None:
    flags = ["--account-namespace", "audit", "--with-events", "--service-account", "scanner"]
    alone = documents(printed("manifests.rbac", "--namespace", "shop", *flags))
    found = documents(printed(*JOB, *flags))
    assert alone == {kind: found[kind] for kind in alone}
    assert found["Job"]["spec"]["template"]["spec"]["serviceAccountName"] == "scanner"
    for kind in ("Job", "PersistentVolumeClaim", "ServiceAccount"):
        assert found[kind]["metadata"]["namespace"] == "audit"


@pytest.mark.parametrize("job", [JOB, CRON_JOB])
def test_it_widens_no_account_of_others(printed: Printed, job: tuple[str, ...]) -> None:
    alone = documents(printed("manifests.rbac", "--namespace", "shop", "--pod", "web"))
    found = documents(printed(*job))
    for kind in ("ServiceAccount", "Role", "RoleBinding"):
        assert alone[kind]["metadata"]["name"] == "barescan"
        assert found[kind]["metadata"]["name"] == "barescan-job"
    assert [each["name"] for each in found["RoleBinding"]["subjects"]] == ["barescan-job"]
    assert found["RoleBinding"]["roleRef"]["name"] == "barescan-job"
    spec = found[{"manifests.job": "Job", "manifests.cronjob": "CronJob"}[job[0]]]["spec"]
    spec = spec.get("jobTemplate", {"spec": spec})["spec"]
    assert spec["template"]["spec"]["serviceAccountName"] == "barescan-job"


def test_a_schedule_runs_the_same_job(printed: Printed) -> None:
    flags = ["--workers", "2", "--selector", "app=web"]
    found = documents(printed(*CRON_JOB, *flags, "--time-zone", "Europe/Berlin", "--history", "5"))
    spec = model(found["CronJob"], "V1CronJob").spec
    assert (spec.schedule, spec.time_zone, spec.concurrency_policy) == (
        "0 3 * * *",
        "Europe/Berlin",
        "Forbid",
    )
    assert spec.successful_jobs_history_limit == spec.failed_jobs_history_limit == 5
    once = documents(printed(*JOB, *flags))["Job"]["spec"]
    del once["ttlSecondsAfterFinished"]
    assert found["CronJob"]["spec"]["jobTemplate"]["spec"] == once


def test_the_clusters_own_clock_is_not_said(printed: Printed) -> None:
    assert "timeZone" not in documents(printed(*CRON_JOB))["CronJob"]["spec"]
