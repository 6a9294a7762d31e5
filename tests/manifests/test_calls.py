"""Bad calls are refused before anything is printed, with the cause and the next step."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.manifests.conftest import CRON_JOB, JOB, Printed, documents
from toolkit.errors import CallError
from toolkit.manifests import checks

RBAC = ("manifests.rbac", "--namespace", "shop")
SIDECAR = ("manifests.sidecar",)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("manifests.rbac",), "no namespace was named write --namespace NAME, or --all-namespaces"),
        (("manifests.rbac", "--all-namespaces"), "write --namespace NAME, in which the account will be"),
        (("manifests.rbac", "--account-namespace", "audit"), "no namespace to scan was named"),
        (("manifests.rbac", "--namespace", "Shop"), "'Shop' is no name of a namespace"),
        (("manifests.rbac", "--namespace", "a" * 64), "at most 63"),
        (("manifests.rbac", "--namespace", "a.b"), "is no name of a namespace"),
        (("manifests.rbac", "--namespace", "a\n---\nkind: X"), "is no name of a namespace"),
        ((*RBAC, "--pod", "web_1"), "'web_1' is no name of a pod"),
        ((*RBAC, "--pod", "a..b"), "is no name of a pod"),
        ((*RBAC, "--pod", "a" * 254), "at most 253"),
        ((*RBAC, "--service-account", "-x"), "is no name of a service account"),
        ((*RBAC, "--account-namespace", "x-"), "is no name of a namespace"),
        ((*RBAC, "--selector", "app=\nkind: X"), "write --selector app=web,tier!=test"),
        ((*RBAC, "--selector", "app=web;"), "is no label selector"),
        ((*RBAC, "--pod", "a", "--selector", "app=web"), "--pod and --selector exclude each other"),
        ((*RBAC, "--pod", "a", "--all-namespaces"), "--pod and --all-namespaces exclude each other"),
        ((*SIDECAR, "--kind", "job"), "write --kind with one of deployment, statefulset, daemonset, pod"),
        ((*SIDECAR, "--target", "docker://web"), "write k8s-container://NAMESPACE/POD[/CONTAINER]"),
        ((*SIDECAR, "--target", "k8s-container://shop"), "is no container of a pod"),
        ((*SIDECAR, "--target", "k8s-container://shop/web/"), "is no container of a pod"),
        ((*SIDECAR, "--target", "k8s-container://shop/web/a/b"), "is no container of a pod"),
        ((*SIDECAR, "--target", "k8s-container://shop/web/A"), "'A' is no name of a container"),
        ((*SIDECAR, "--target", "k8s-container://s/p", "--container", "a"), "leave the other flag out"),
        ((*SIDECAR, "--container", "barescan-auditor"), "is the sidecar itself"),
        ((*SIDECAR, "--image", "two words"), "write --image REGISTRY/NAME:TAG"),
        ((*SIDECAR, "--name", "x\ny"), "is no name of a deployment"),
        ((*SIDECAR, "--pull-policy", "always"), "Always, IfNotPresent, Never"),
        (("manifests.job", "--namespace", "shop"), "no profile was named write --profile"),
        (("manifests.job", "--profile", "scap:debian12#x"), "no namespace was named"),
        (("manifests.job", "--namespace", "shop", "--profile", "profiles/x"), "a job has no profile"),
        (("manifests.job", "--namespace", "shop", "--profile", "scap:debian12"), "a job has no profile"),
        (("manifests.job", "--namespace", "shop", "--profile", "/etc/barescan/x.xml#y"), "--config-map NAME"),
        ((*JOB, "--workers", "0"), "'0' is no number for --workers write --workers 2 (1 to 1000)"),
        ((*JOB, "--workers", "-1"), "'-1' is no number for --workers"),
        ((*JOB, "--workers", "two"), "'two' is no number"),
        ((*JOB, "--workers", "²"), "is no number"),
        ((*JOB, "--workers", "9" * 5000), "is no number"),
        ((*JOB, "--jobs", "0"), "is no number for --jobs"),
        ((*JOB, "--deadline", "0"), "is no number for --deadline"),
        ((*JOB, "--ttl", "-5"), "is no number for --ttl"),
        ((*JOB, "--threshold", "gate.yml"), "with an absolute path in the pod"),
        ((*JOB, "--threshold", "/a/../b"), "is no path in the pod"),
        ((*JOB, "--threshold", "/etc/barescan/gate.yml"), "write --config-map NAME, which is mounted at"),
        ((*JOB, "--config-map", "Gate"), "is no name of a config map"),
        ((*JOB, "--claim", "a", "--host-path", "/b"), "--claim and --host-path exclude each other"),
        ((*JOB, "--claim", "a b"), "is no name of a claim"),
        ((*JOB, "--host-path", "reports"), "with an absolute path on the nodes"),
        ((*JOB, "--storage", "much"), "write --storage 1Gi"),
        ((*JOB, "--name", "a" * 62), "at most 61"),
        ((*JOB, "--name", "a" * 61, "--workers", "11"), "at most 60"),
        ((*JOB, "--cli-image", "-x"), "write --cli-image"),
        ((*JOB, "--pull-policy", "Sometimes"), "there is no --pull-policy"),
        ((*CRON_JOB, "--name", "a" * 51), "at most 50"),
        ((*CRON_JOB, "--time-zone", "Local"), "'Local' is no time zone"),
        ((*CRON_JOB, "--time-zone", "a b"), "is no time zone"),
        ((*CRON_JOB, "--history", "x"), "is no number for --history"),
        (("manifests.cronjob", *JOB[1:]), "no schedule was named write --schedule '0 3 * * *'"),
        (("manifests.cronjob", *JOB[1:], "--schedule", "0 3 * *"), "no schedule of five fields"),
        (("manifests.cronjob", *JOB[1:], "--schedule", "0 24 * * *"), "'24' is no hour in the schedule"),
        (("manifests.cronjob", *JOB[1:], "--schedule", "0 3 * * 7"), "write 0 to 6 or sun to sat"),
    ],
)
def test_a_bad_call_says_what_to_write(refused: Printed, call: tuple[str, ...], said: str) -> None:
    assert said in refused(*call)


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "*/15 0-6,22 1 jan-mar MON",
        "5/10 * ? * 0",
        "@daily",
        "1-59/2 * * * mon-fri",
        "0 3 31 12 6",
    ],
)
def test_schedules(text: str) -> None:
    assert checks.schedule(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *["60 * * * *", "-1 * * * *", "* * 0 * *", "* * * 13 *", "* * * * 7", "*/0 * * * *", "3-1 * * * *"],
        *[
            "1-2-3 * * * *",
            "1, * * * *",
            "* * * mon *",
            "* * * * * *",
            "@reboot",
            "1/2/3 * * * *",
            "a * * * *",
        ],
        *["TZ=UTC 0 3 * * *", "\N{ARABIC-INDIC DIGIT ONE} * * * *", "*-5 * * * *", "1/ * * * *"],
    ],
)
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(CallError):
        checks.schedule(text)


@pytest.mark.parametrize("name", ["1e3", "y", "n", "0x10", "0o17", "2026-01-01", "1-0", "on", "null", "123"])
def test_a_name_stays_text_for_every_parser(printed: Printed, name: str) -> None:
    text = printed("manifests.rbac", "--namespace", name)
    assert documents(text)["Role"]["metadata"]["namespace"] == name
    values = [line.partition(": ")[2] for line in text.splitlines() if line.lstrip().startswith("namespace:")]
    assert len(values) == 4
    assert all(value[0] == value[-1] and value[0] in "'\"" for value in values)


def test_nothing_of_a_value_is_markup(printed: Printed) -> None:
    assert "image: a/b:smile:tag" not in printed("manifests.sidecar")
    assert "image: a/b:smile:tag" in printed("manifests.sidecar", "--image", "a/b:smile:tag")


@pytest.mark.parametrize("task", ["rbac", "sidecar", "job", "cronjob"])
def test_help_explains_every_flag(task: str) -> None:
    # In a process of its own: Invoke forgets a flag's help when the flags have been asked for once.
    call = [sys.executable, "-m", "toolkit", f"manifests.{task}", "--help"]
    text = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    assert f"barescan manifests.{task} " in text
    assert "nothing is applied" in text
    flags = re.split(r"^  (--\S+)", text, flags=re.MULTILINE)[1:]
    explained = dict(zip(flags[::2], flags[1::2], strict=True))
    assert len(explained) >= 7
    assert [flag for flag, words in explained.items() if not words.strip()] == []


def test_the_cluster_client_is_loaded_by_these_tasks_only() -> None:
    code = (
        "import sys; from toolkit.cli import program; program.run(['barescan', '--list']);"
        "sys.exit(any(name.partition('.')[0] == 'kubernetes' for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
