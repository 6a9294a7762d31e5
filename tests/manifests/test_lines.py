"""Lines fit, and what is broken means the same to a shell."""

from __future__ import annotations

import shlex

import pytest

from tests.manifests.conftest import CRON_JOB, JOB, Printed
from toolkit.manifests import lines

LONG = "a" * 40
DOMAIN = ".".join(["b" * 30] * 2)


def _read(broken: list[str]) -> list[str]:
    """Return the words that a shell reads."""
    return shlex.split("\n".join(broken).replace("\\\n", ""))


@pytest.mark.parametrize(
    "command",
    [
        "kubectl get pods",
        f"kubectl create token {LONG} --namespace {LONG} --duration 10m >barescan.token",
        "barescan scan --selector 'app in (a, b), tier notin (one, two, three, four)' " + "--input x=y " * 20,
        'kubectl config set users.barescan.tokenFile "$PWD/with a space/and more/barescan.token" ' + LONG,
    ],
)
@pytest.mark.parametrize("width", [60, 100])
def test_a_command_stays_the_same_command(command, width):
    broken = lines.command(command, width)
    assert _read(broken) == shlex.split(command)
    longest = max(map(len, shlex.split(command)))
    assert all(len(line) <= max(width, longest + len("    --selector ''  |")) for line in broken)
    assert (len(broken) > 1) == (len(command) > width)
    assert all(not line.endswith(("--selector \\", "--namespace \\")) for line in broken)


def test_a_command_in_a_sentence_is_not_broken_by_it():
    text = (
        "word " * 10
        + "(docker save auditor:1 | ctr -n k8s.io images import -, minikube image load), and so on"
    )
    broken = lines.prose(text, 100)
    assert " ".join(broken) == text
    assert "(docker save auditor:1 | ctr -n k8s.io images import -," in broken[1]
    assert max(map(len, broken)) <= 100


def test_a_command_that_fits_nowhere_is_continued():
    command = f"kubectl label namespace {LONG * 2} pod-security.kubernetes.io/enforce=privileged --overwrite"
    first, *rest = lines.prose(f"allow it: {command}", 100)
    assert first == "allow it:"
    assert _read(rest) == shlex.split(command)
    assert max(map(len, rest)) <= 100


@pytest.mark.parametrize(
    "call",
    [
        ("manifests.rbac", "--namespace", LONG, "--pod", "web"),
        ("manifests.rbac", "--namespace", "shop", "--pod", "web-0"),
        ("manifests.rbac", "--namespace", LONG, "--service-account", LONG, "--selector", "app in (a, b)"),
        ("manifests.rbac", "--namespace", LONG, *(f"--pod=web-{number}" for number in range(40))),
        ("manifests.sidecar", "--kind", "statefulset", "--namespace", LONG, "--name", LONG),
        ("manifests.sidecar", "--kind", "pod", "--target", f"k8s-container://{LONG}/web/app"),
        (*JOB, "--workers", "1000", "--account-namespace", LONG, "--name", "c" * 50),
        (*JOB, "--host-path", "/srv/reports", "--cli-image", f"registry.example/{DOMAIN}/barescan:1"),
        (*CRON_JOB, "--all-namespaces", "--account-namespace", LONG, "--name", "c" * 50),
    ],
    ids=lambda call: call[0],
)
def test_comments_fit_and_name_the_program_as_it_is_called(printed: Printed, call: tuple[str, ...]) -> None:
    comments = [line for line in printed(*call).splitlines() if line.startswith("#")]
    assert [line for line in comments if len(line) > 100] == []
    assert not any("invoke" in line for line in comments)
    assert any("barescan" in line for line in comments)


@pytest.mark.parametrize("call", [JOB, CRON_JOB])
def test_a_job_says_which_images_it_takes_and_who_needs_them(printed: Printed, call: tuple[str, ...]) -> None:
    comments = " ".join(line.lstrip("# ") for line in printed(*call).splitlines() if line.startswith("#"))
    assert "barescan images.build --kind cli" in comments
    assert "barescan images.push --tag barescan:latest --to REGISTRY/" in comments
    assert "--cli-image" in comments
    assert "nodes of the targets" in comments
    named = " ".join(printed(*call, "--cli-image", "registry.example/barescan:1").split())
    assert "images.build --kind cli" not in named
    assert "registry.example/barescan:1" in named.partition("---")[0]
