"""The account that scans, and the least it must be allowed to."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

from kubernetes import client

from toolkit.errors import CallError
from toolkit.manifests import checks
from toolkit.manifests.documents import LABELS, stream

_GROUP = "rbac.authorization.k8s.io"
_TOKEN_MINUTES = 10  # the least that the API gives
_USER = "barescan"
"""What the account is called in the kubeconfig, where a dot in a name would be a step into it."""


@dataclass(frozen=True)
class Scope:
    """Whose scan: what is scanned, and the account that does it."""

    namespace: str = ""
    """What is scanned; with `all_namespaces` only where the account is."""
    all_namespaces: bool = False
    selector: str = ""
    pods: tuple[str, ...] = field(default=())
    account: str = checks.ACCOUNT
    account_namespace: str = ""
    """Where the account is; `namespace` where empty."""
    with_events: bool = False

    def __post_init__(self) -> None:
        """Check all of it; raises CallError."""
        if not self.home:
            raise CallError(
                "no namespace was named",
                "write --namespace NAME"
                + (", in which the account will be" if self.all_namespaces else ", or --all-namespaces"),
            )
        checks.subdomain(self.account, "service account", "--service-account")
        for name, flag in ((self.namespace, "--namespace"), (self.account_namespace, "--account-namespace")):
            if name:
                checks.label(name, "namespace", flag)
        if self.selector:
            checks.selector(self.selector)
        for pod in self.pods:
            checks.subdomain(pod, "pod", "--pod")
        self._check_together()

    def _check_together(self) -> None:
        if not self.namespace and not self.all_namespaces:
            raise CallError("no namespace to scan was named", "write --namespace NAME, or --all-namespaces")
        if self.pods and (self.all_namespaces or self.selector):
            other = "--all-namespaces" if self.all_namespaces else "--selector"
            raise CallError(
                f"--pod and {other} exclude each other",
                f"leave one out: rights are to pods by name, or to all that a namespace has "
                f"(a label can't limit them); --pod {self.pods[0]} alone is the lesser right",
            )

    @property
    def home(self) -> str:
        """The namespace of the account."""
        return self.account_namespace or self.namespace


def rules(scope: Scope) -> list[client.V1PolicyRule]:
    """Return what a scan needs, each in an entry of its own: without it, that step fails and says so."""
    named = sorted(set(scope.pods)) or None

    def rule(resource: str, *verbs: str, names: list[str] | None = named) -> client.V1PolicyRule:
        return client.V1PolicyRule(
            api_groups=[""], resources=[resource], verbs=list(verbs), resource_names=names
        )

    return [
        rule("pods", "get"),
        *([] if named else [rule("pods", "list")]),
        rule("pods/ephemeralcontainers", "patch"),
        rule("pods/exec", "get", "create"),  # by WebSocket: get, from Kubernetes 1.35 on create too
        *([rule("events", "list", names=None)] if scope.with_events else []),
    ]


def objects(scope: Scope) -> list[Any]:
    """Return the account, the role and what binds them."""
    account = client.V1ServiceAccount(
        api_version="v1",
        kind="ServiceAccount",
        metadata=client.V1ObjectMeta(name=scope.account, namespace=scope.home, labels=LABELS),
        automount_service_account_token=False,
    )
    kind = "ClusterRole" if scope.all_namespaces else "Role"
    role = client.V1ClusterRole if scope.all_namespaces else client.V1Role
    binding = client.V1ClusterRoleBinding if scope.all_namespaces else client.V1RoleBinding
    where = None if scope.all_namespaces else scope.namespace
    metadata = client.V1ObjectMeta(name=scope.account, namespace=where, labels=LABELS)
    subject = client.RbacV1Subject(kind="ServiceAccount", name=scope.account, namespace=scope.home)
    return [
        account,
        role(api_version=f"{_GROUP}/v1", kind=kind, metadata=metadata, rules=rules(scope)),
        binding(
            api_version=f"{_GROUP}/v1",
            kind=f"{kind}Binding",
            metadata=metadata,
            role_ref=client.V1RoleRef(api_group=_GROUP, kind=kind, name=scope.account),
            subjects=[subject],
        ),
    ]


def document(scope: Scope) -> str:
    """Return the YAML of it all, with how to use it."""
    where = "every namespace" if scope.all_namespaces else f"namespace {scope.namespace}"
    pods = sorted(set(scope.pods))
    what = " ".join(["pod" if len(pods) == 1 else "pods", *([", ".join(pods)] if pods else []), "of", where])
    head = [
        f"The account {scope.account} in namespace {scope.home}, which may scan {what}, and no more.",
        *(["These names are all it may touch: a pod that is replaced has another."] if pods else []),
        *(["Rights can't be limited by label: it may scan all the others too."] if scope.selector else []),
        "Apply: barescan manifests.rbac … | kubectl apply -f -",
    ]
    return stream(objects(scope), head, _how_to_use(scope))


def _how_to_use(scope: Scope) -> list[str]:
    token, file = "barescan.token", "barescan.kubeconfig"
    other = f"kubectl --kubeconfig {file} config"
    return [
        "",
        f"A token for {_TOKEN_MINUTES} minutes (say more for many targets), and a kubeconfig with it alone:",
        f"  umask 077; kubectl create token {scope.account} --namespace {scope.home} "
        f"--duration {_TOKEN_MINUTES}m >{token}",
        f"  kubectl config view --raw --minify --flatten >{file}",
        f"  {other} unset users",
        f'  {other} set users.{_USER}.tokenFile "$PWD/{token}"',
        f"  {other} set-context --current --user {_USER}",
        "Scan with it; when the token has run out, make it anew, the kubeconfig stays:",
        f"  KUBECONFIG={file} barescan scan {_targets(scope)} --profile PROFILE",
    ]


def _targets(scope: Scope) -> str:
    if scope.pods:
        return f"--target k8s-container://{scope.namespace}/{min(scope.pods)}"
    where = ["--all-namespaces"] if scope.all_namespaces else ["--namespace", scope.namespace]
    return shlex.join([*where, *(["--selector", scope.selector] if scope.selector else [])])
