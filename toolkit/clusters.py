"""The one way to a Kubernetes cluster: its client, and what it says when it refuses or does not answer."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import urllib3
import websocket
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config import kube_config
from kubernetes.stream import stream

from toolkit.errors import BarescanError, ScanError

OLDEST = (1, 25)
"""The first in which ephemeral containers are stable."""
_TIMEOUT = (5, 30)  # to connect, to answer; seconds
_ANOTHER = "name another cluster with --context or KUBECONFIG"
_RETRIES = urllib3.Retry(
    total=6,
    backoff_factor=0.1,
    backoff_max=5,
    status_forcelist=(429, 502, 503, 504),
    allowed_methods=None,  # also PATCH: each of our requests may be said twice
    respect_retry_after_header=True,
    raise_on_status=False,
)
"""Some seven seconds in all: an API server that is restarted is back by then."""
_AT_ONCE = urllib3.Retry(total=False)

websocket.setdefaulttimeout(_TIMEOUT[1])  # the client sets none, and an exec would wait for ever


@dataclass(eq=False)
class RefusedError(Exception):
    """What an API server answered instead of what was asked for: HTTP status, its message and reason."""

    status: int
    message: str
    reason: str = ""

    def __str__(self) -> str:
        """Return its words."""
        return self.message


class Cluster:
    """One cluster, as one context of the kubeconfig or the service account of our own pod reaches it."""

    def __init__(self, configuration: client.Configuration, namespace: str, version: tuple[int, int]) -> None:
        """Take the client's configuration, the namespace that its context names, the server's version."""
        self._configuration = configuration
        self.namespace = namespace
        self.version = version
        self._client = client.ApiClient(configuration)
        self.core = client.CoreV1Api(self._client)
        self.authorization = client.AuthorizationV1Api(self._client)
        self._app_armor: dict[str, bool] = {}

    @property
    def host(self) -> str:
        """Return the address of the API server."""
        return str(self._configuration.host)

    @cached_property
    def resources(self) -> frozenset[str] | None:
        """Return the names of the core resources, such as `pods/ephemeralcontainers`; None if not told."""
        try:
            return frozenset(each.name for each in self.call(self.core.get_api_resources).resources)
        except RefusedError:
            return None

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method of the client; raises RefusedError for an answer, ScanError when there is none."""
        return _call(self.host, method, *args, **kwargs)

    def denies_mounts(self, node: str) -> bool:
        """Say whether a node has AppArmor, by its Ready condition; True also where we may not read nodes."""
        if node not in self._app_armor:
            try:
                conditions = self.call(self.core.read_node, node).status.conditions or []
                self._app_armor[node] = any("AppArmor enabled" in (each.message or "") for each in conditions)
            except RefusedError:
                self._app_armor[node] = True
        return self._app_armor[node]

    def may(self, verb: str, resource: str, namespace: str, name: str = "") -> bool:
        """Say whether we may, as the server sees it; True also where it does not tell."""
        return self.allows(verb, resource, namespace, name) is not False

    def allows(self, verb: str, resource: str, namespace: str, name: str = "") -> bool | None:
        """Say whether we may, as the server sees it; None where it does not tell."""
        resource, _, subresource = resource.partition("/")
        asked = client.V1ResourceAttributes(
            verb=verb, resource=resource, subresource=subresource or None, namespace=namespace, name=name
        )
        review = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked)
        )
        try:
            return bool(
                self.call(self.authorization.create_self_subject_access_review, review).status.allowed
            )
        except RefusedError:
            return None

    def execute(self, namespace: str, pod: str, container: str, command: list[str]) -> Any:
        """Start a command in a container; return the client's WSClient, its streams untouched.

        Raises RefusedError as the server answered, ScanError when it did not.
        """
        # The client's `stream` replaces a method of its ApiClient meanwhile: each call has one of its own.
        api = client.CoreV1Api(client.ApiClient(self._configuration))
        try:
            return stream(
                api.connect_get_namespaced_pod_exec,
                pod,
                namespace,
                container=container,
                command=command,
                stdin=True,
                stdout=True,
                stderr=True,
                tty=False,
                binary=True,
                _preload_content=False,
                _request_timeout=_TIMEOUT[1],
            )
        except ApiException as error:
            raise self._not_executed(error) from None

    def _not_executed(self, error: ApiException) -> Exception:
        """Return what the server answered to a handshake: the client has put its own words in the way."""
        answer = error.__context__
        if not isinstance(answer, websocket.WebSocketBadStatusException):
            return unreachable(self.host, error)
        said = answer.resp_body or b""
        body = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return RefusedError(answer.status_code, *_words(body, str(error.reason)))


def connect(context: str = "") -> Cluster:
    """Return the cluster of a context of the kubeconfig (the current one by default), or of our own pod.

    Raises ScanError when none is configured, none answers, or it is too old.
    """
    return _connected(context, kubeconfig())


def kubeconfig() -> str | None:
    """Return what KUBECONFIG says now; the client itself looks at it only once."""
    return os.environ.get("KUBECONFIG") or None


@cache
def _connected(context: str, path: str | None) -> Cluster:
    configuration = client.Configuration()
    namespace = _configure(configuration, context, path)
    configuration.retries = _AT_ONCE  # who names a cluster that is not there is told so without delay
    version = _version(configuration, context)
    if version < OLDEST:
        raise ScanError(
            f"the cluster is Kubernetes {'.'.join(map(str, version))}, barescan needs 1.25 or newer",
            "scan the images with image://, or the processes on a node with pid://",
        )
    configuration.retries = _RETRIES
    return Cluster(configuration, namespace, version)


def _locked_out(host: str, refusal: RefusedError, context: str) -> ScanError:
    """Return the error for an API server that does not even tell its version."""
    if refusal.status == 401:
        which = f"the context {context}" if context else "the current context"
        return ScanError(
            f"the API server at {host} does not accept the credentials of {which}",
            "log in to it anew, or make a new token (kubectl create token)",
        )
    return ScanError(f"the API server at {host} refused ({refusal.status}): {refusal.message}", _ANOTHER)


def _version(configuration: client.Configuration, context: str) -> tuple[int, int]:
    """Return a server's version, such as (1, 34); raises ScanError when it does not answer."""
    method = client.VersionApi(client.ApiClient(configuration)).get_code
    try:
        about = _call(str(configuration.host), method)
    except RefusedError as refusal:
        raise _locked_out(str(configuration.host), refusal, context) from None
    major, minor = (int(re.sub(r"\D", "", part) or 0) for part in (about.major, about.minor))
    return major, minor


def _call(host: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return method(*args, _request_timeout=_TIMEOUT, **kwargs)
    except ApiException as error:
        if not error.status:
            raise unreachable(host, error) from None
        message, reason = _words(str(error.body or ""), str(error.reason))
        raise RefusedError(int(error.status), message, reason) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise unreachable(host, error) from None
    except ValueError as error:  # its words may hold the credentials
        if "header value" in str(error):
            raise ScanError(
                f"the credentials for {host} hold what can't be sent", "is there a line break in the token?"
            ) from None
        raise ScanError(
            f"what {host} answered is not understood ({type(error).__name__})",
            f"is it a Kubernetes API server? {_ANOTHER}",
        ) from None


def _configure(configuration: client.Configuration, context: str, path: str | None) -> str:
    """Fill the configuration and return the namespace of the context."""
    try:
        load: Any = config.load_kube_config  # the client declares no types for its configuration
        load(path, context=context or None, client_configuration=configuration)
        _strip_tokens(configuration)
        return context_of(context)[1]
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        if context:
            raise ScanError(
                f"the context {context} can't be used: {error}", "see: kubectl config get-contexts"
            ) from None
        if path and any(Path(each).is_file() for each in path.split(os.pathsep)):
            raise ScanError(
                f"the kubeconfig {path} can't be used: {error}", "correct it, or log in to the cluster anew"
            ) from None
        return _configure_inside(configuration, f"{path} is not there" if path else error)


def _strip_tokens(configuration: Any) -> None:
    """Take off what an editor or echo puts behind a token, also when it is read again from its file."""
    again = configuration.refresh_api_key_hook

    def strip(changed: Any) -> None:
        if again:
            again(changed)
        changed.api_key = {name: value.strip() for name, value in changed.api_key.items()}
        changed.refresh_api_key_hook = strip  # the client's own puts itself there each time

    strip(configuration)


def context_of(context: str = "") -> tuple[str, str]:
    """Return name and namespace of a context of the kubeconfig, of its current one by default.

    Raises ConfigException, YAMLError or OSError where there is no such context. Of a kubeconfig without a
    current one the client's own functions list nothing.
    """
    merger: Any = kube_config.KubeConfigMerger  # untyped, as above
    loader: Any = kube_config.KubeConfigLoader
    merged = merger(kubeconfig() or kube_config.KUBE_CONFIG_DEFAULT_LOCATION).config
    if merged is None:
        raise config.ConfigException("there is no kubeconfig")
    found = loader(merged, active_context=context or None).current_context
    return str(found["name"]), str(found["context"].get("namespace") or "default")


def _configure_inside(configuration: client.Configuration, outside: object) -> str:
    try:
        load: Any = config.load_incluster_config
        load(client_configuration=configuration)
    except config.ConfigException:
        raise ScanError(
            f"no Kubernetes cluster is configured ({outside})",
            "point KUBECONFIG at a kubeconfig, or see: kubectl config view",
        ) from None
    try:
        return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text().strip()
    except OSError:
        return "default"


def _words(body: str, instead: str) -> tuple[str, str]:
    """Return message and reason of a Status object, Kubernetes API conventions, response status kind."""
    try:
        said = json.loads(body)
        return str(said["message"]), str(said.get("reason") or "")
    except (ValueError, KeyError, TypeError):
        return " ".join((body or instead).split())[:600], ""


def unreachable(host: str, error: BaseException) -> BarescanError:
    """Return the error for an API server that does not answer, or can't be trusted."""
    said = " ".join(str(getattr(error, "reason", None) or error).split())[:300]
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return ScanError(f"the certificate of {host} is not one that the kubeconfig trusts", _ANOTHER)
    for plain in ("Connection refused", "Name or service not known", "timed out", "Network is unreachable"):
        if plain in said:
            said = plain.lower()
    return ScanError(f"no API server answers at {host} ({said})", f"is the cluster up? {_ANOTHER}")
