"""The HTTP server of the double: who asks, for what, may they, and which part answers."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.kubernetes.double import admission, discovery, pods, rbac, statuses, store
from tests.kubernetes.double.engine import Engine
from tests.kubernetes.double.exec import Execs, Line, container_of
from tests.kubernetes.double.kubelet import Kubelet, Ways
from tests.kubernetes.double.rbac import Tokens, User, Wish
from tests.kubernetes.double.statuses import ApiError, Json, Resource
from tests.kubernetes.double.store import Store

_REVIEWS = Resource("selfsubjectaccessreviews", "SelfSubjectAccessReview", "authorization.k8s.io")
_BY_PATH = {(each.group, each.name): each for each in (*store.RESOURCES, _REVIEWS)}
_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/v1)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>[^/]+)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<subresource>[^/]+))?)?/?"
)
_NAMESPACE = re.compile(r"/api/v1/namespaces(?:/(?P<name>[^/]+))?/?")
_FREE = ("/version", "/healthz", "/livez", "/readyz")
"""What anybody may ask."""
_BODY = 3 << 20
_DOWN_SECONDS = 1.0


@dataclass
class Faults:
    """What goes wrong, for the tests that need it; those with a count take back one at every request."""

    latency: float = 0.0
    too_many: int = 0
    retry_after: int = 1
    hang: int = 0
    only: str = ""
    """The part of `METHOD /path` that a request must have to be met by them; empty for all."""


@dataclass
class About:
    """What the server says of itself."""

    version: str = "v1.34.9"
    ephemeral: bool = True
    """Whether pods have ephemeral containers."""

    @property
    def minor(self) -> int:
        return int(self.version.split(".")[1])


@dataclass
class Options:
    """All that can be switched on."""

    about: About = field(default_factory=About)
    ways: Ways = field(default_factory=Ways)
    line: Line = field(default_factory=Line)
    faults: Faults = field(default_factory=Faults)


@dataclass(frozen=True)
class Call:
    """One request that may be answered."""

    wish: Wish
    user: User
    query: dict[str, str]
    body: Any
    media: str
    request: web.Request

    @property
    def dry(self) -> bool:
        return self.query.get("dryRun") == "All"


Answer = Json | tuple[int, Json] | web.StreamResponse
Handler = Callable[[Call], Awaitable[Answer]]


class Server:
    """The server: its objects, its node, its socket; all in one event loop."""

    def __init__(self, folder: Path, engine: Engine, options: Options) -> None:
        self.options, self.store = options, Store()
        self.tokens = Tokens(self.store)
        self._engine = engine
        self._kubelet = Kubelet(self.store, engine, folder, options.ways)
        self._execs = Execs(engine, options.line)
        self._context: ssl.SSLContext | None = None
        self._runner = web.AppRunner(self._application(), shutdown_timeout=0.1, access_log=None)
        self.port = 0
        self._handlers: dict[tuple[str, str], Handler] = {
            ("create", "pods"): self._create_pod,
            ("delete", "pods"): self._delete_pod,
            ("deletecollection", "pods"): self._delete_pods,
            ("get", "pods/exec"): self._exec,
            ("create", "pods/exec"): self._exec,
            ("get", "pods/ephemeralcontainers"): self._get,
            ("patch", "pods/ephemeralcontainers"): self._attach,
            ("create", "serviceaccounts/token"): self._token,
            ("create", "selfsubjectaccessreviews"): self._review,
            ("create", "namespaces"): self._create_namespace,
            ("delete", "namespaces"): self._delete_namespace,
        }
        self._generic: dict[str, Handler] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "delete": self._delete,
        }

    async def start(self, certificate: Path, key: Path) -> None:
        """Serve on a port of 127.0.0.1 that is free."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self.store.create(store.NODES, "", discovery.node(await self._engine.images()))
        for name in ("default", "kube-system"):
            self._new_namespace({"metadata": {"name": name}})
        rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
        self.store.create(store.CLUSTER_ROLES, "", {"metadata": {"name": "cluster-admin"}, "rules": rules})
        self._kubelet.start()
        await self._runner.setup()
        await self._listen()

    async def restart(self) -> None:
        """Be away for a second: nothing listens, and every connection is broken."""
        for site in list(self._runner.sites):
            await site.stop()
        self.break_connections()
        await asyncio.sleep(_DOWN_SECONDS)
        await self._listen()

    async def stop(self) -> None:
        """Serve no more."""
        self.break_connections()
        await self._kubelet.stop()
        self._execs.close()
        await self._runner.cleanup()

    def break_connections(self) -> None:
        """Break every connection there is, in the middle of whatever it carries."""
        for connection in list(self._runner.server.connections if self._runner.server else ()):
            if connection.transport is not None:
                connection.transport.abort()

    async def _listen(self) -> None:
        site = web.TCPSite(
            self._runner, "127.0.0.1", self.port, ssl_context=self._context, reuse_address=True
        )
        await site.start()
        self.port = self._runner.addresses[0][1]

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=_BODY)
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if broken := await self._fault(request):
            return broken
        try:
            answer = await self._route(request)
        except ApiError as error:
            return _json(error.body, error.code)
        if isinstance(answer, web.StreamResponse):
            return answer
        code, body = answer if isinstance(answer, tuple) else (200, answer)
        return _json(body, code)

    async def _fault(self, request: web.Request) -> web.Response | None:
        faults = self.options.faults
        if faults.only not in f"{request.method} {request.path}":
            return None
        await asyncio.sleep(faults.latency)
        if faults.too_many > 0:
            faults.too_many -= 1
            text = "Too many requests, please try again later.\n"
            return web.Response(status=429, text=text, headers={"Retry-After": str(faults.retry_after)})
        if faults.hang > 0:
            faults.hang -= 1
            await asyncio.sleep(3600)
        return None

    async def _route(self, request: web.Request) -> Answer:
        user = self.tokens.user(request.headers.get("Authorization", ""))
        path = request.path.rstrip("/")
        if path in _FREE:
            version = discovery.version(self.options.about.version)
            return version if path == "/version" else web.Response(text="ok")
        if (found := self._discovery(path)) is not None:
            return found
        wish = _wish(request)
        self._authorize(user, wish)
        body = await request.json() if request.can_read_body and request.method != "GET" else None
        call = Call(wish, user, dict(request.query), body, request.content_type, request)
        return await self._handler(wish)(call)

    def _discovery(self, path: str) -> Json | None:
        about = self.options.about
        return discovery.answers(ephemeral=about.ephemeral).get(path)

    def _authorize(self, user: User, wish: Wish) -> None:
        wishes = [wish]
        if wish.path == "pods/exec" and self.options.about.minor >= 35:
            wishes.append(Wish("create", wish.resource, wish.subresource, wish.namespace, wish.name))
        for each in wishes:
            if not rbac.allowed(self.store, user, each):
                raise rbac.refusal(user, each)

    def _handler(self, wish: Wish) -> Handler:
        if wish.subresource == "ephemeralcontainers" and not self.options.about.ephemeral:
            raise statuses.no_such_resource()
        handler = self._handlers.get((wish.verb, wish.path))
        if handler is None and not wish.subresource:
            handler = self._generic.get(wish.verb)
        if handler is None:
            raise statuses.no_such_resource()
        return handler

    async def _get(self, call: Call) -> Answer:
        wish = call.wish
        place = "" if wish.resource in store.CLUSTER_WIDE else wish.namespace
        return self.store.get(wish.resource, place, wish.name)

    async def _list(self, call: Call) -> Answer:
        if call.query.get("watch") in ("true", "1"):
            raise ApiError(405, "MethodNotAllowed", "the double has no watches", {})
        return self.store.listed(call.wish.resource, call.wish.namespace, call.query)

    async def _create(self, call: Call) -> Answer:
        wish = call.wish
        if wish.resource not in store.CLUSTER_WIDE:
            self.store.get(store.NAMESPACES, "", wish.namespace)
        return 201, self.store.create(wish.resource, wish.namespace, call.body, dry=call.dry)

    async def _delete(self, call: Call) -> Answer:
        wish = call.wish
        found = self.store.get(wish.resource, wish.namespace, wish.name)
        self.store.remove(wish.resource, wish.namespace, wish.name)
        details = wish.resource.details(wish.name) | {"uid": found["metadata"]["uid"]}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    async def _create_namespace(self, call: Call) -> Answer:
        return 201, self._new_namespace(call.body)

    def _new_namespace(self, given: Json) -> Json:
        made = self.store.create(store.NAMESPACES, "", given)
        name = made["metadata"]["name"]
        made["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
        made |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        self.store.create(store.ACCOUNTS, name, {"metadata": {"name": "default"}})
        return made

    async def _delete_namespace(self, call: Call) -> Answer:
        name = call.wish.name
        found = self.store.get(store.NAMESPACES, "", name)
        for pod in self.store.all(store.PODS, name):
            self._kubelet.delete(pod, 0)
        for resource in store.RESOURCES:
            if resource not in store.CLUSTER_WIDE:
                for each in self.store.all(resource, name):
                    self.store.remove(resource, name, each["metadata"]["name"])
        self.store.remove(store.NAMESPACES, "", name)
        found["metadata"]["deletionTimestamp"] = store.now()
        return found | {"status": {"phase": "Terminating"}}

    async def _create_pod(self, call: Call) -> Answer:
        namespace = self.store.get(store.NAMESPACES, "", call.wish.namespace)
        pod = pods.defaulted(call.body)
        # validated and admitted before it is kept, under the name that it will have
        preview = self.store.create(store.PODS, call.wish.namespace, pod, dry=True)
        pod["metadata"]["name"] = preview["metadata"]["name"]
        admission.check(namespace, preview)
        pods.check(preview)
        if call.dry:
            return 201, preview
        kept = self.store.create(store.PODS, call.wish.namespace, pod)
        answer = json.loads(json.dumps(kept))
        self._kubelet.add(kept)
        return 201, answer

    async def _delete_pod(self, call: Call) -> Answer:
        pod = self.store.get(store.PODS, call.wish.namespace, call.wish.name)
        asked = (call.body or {}).get("gracePeriodSeconds", call.query.get("gracePeriodSeconds"))
        if not call.dry:
            self._kubelet.delete(pod, None if asked is None else int(asked))
        return pod

    async def _delete_pods(self, call: Call) -> Answer:
        listed = self.store.listed(store.PODS, call.wish.namespace, call.query)
        asked = (call.body or {}).get("gracePeriodSeconds", call.query.get("gracePeriodSeconds"))
        for each in listed["items"]:
            pod = self.store.get(store.PODS, each["metadata"]["namespace"], each["metadata"]["name"])
            self._kubelet.delete(pod, None if asked is None else int(asked))
        return listed

    async def _attach(self, call: Call) -> Answer:
        wish = call.wish
        pod = self.store.get(store.PODS, wish.namespace, wish.name)
        new = pods.attached(pod, call.body, call.media)
        admission.check(self.store.get(store.NAMESPACES, "", wish.namespace), new)
        if not call.dry and new["spec"] != pod["spec"]:
            pod["spec"] = new["spec"]
            pod["metadata"]["generation"] = new["metadata"]["generation"]
            self.store.touch(pod)
            self._kubelet.poke(pod)
            return pod
        return new

    async def _token(self, call: Call) -> Answer:
        account = self.store.get(store.ACCOUNTS, call.wish.namespace, call.wish.name)
        seconds = int((call.body.get("spec") or {}).get("expirationSeconds") or 3600)
        return 201, {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": call.wish.name, "namespace": call.wish.namespace},
            "spec": {"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": seconds},
            "status": {
                "token": self.tokens.give(account, seconds),
                "expirationTimestamp": store.now(seconds),
            },
        }

    async def _review(self, call: Call) -> Answer:
        asked = (call.body.get("spec") or {}).get("resourceAttributes") or {}
        resource = Resource(asked.get("resource", ""), "", asked.get("group", ""))
        wish = Wish(
            asked.get("verb", ""),
            resource,
            asked.get("subresource", ""),
            asked.get("namespace", ""),
            asked.get("name", ""),
        )
        allowed = rbac.allowed(self.store, call.user, wish)
        about = {"kind": _REVIEWS.kind, "apiVersion": f"{_REVIEWS.group}/v1", "metadata": {}}
        return 201, about | {"spec": call.body.get("spec"), "status": {"allowed": allowed}}

    async def _exec(self, call: Call) -> Answer:
        pod = self.store.get(store.PODS, call.wish.namespace, call.wish.name)
        name = container_of(pod, call.query.get("container", ""))
        return await self._execs.serve(call.request, self._kubelet.container(pod, name), name)


def _json(body: Json, code: int) -> web.Response:
    # without the character set that aiohttp would add
    written = json.dumps(body, separators=(",", ":")).encode()
    return web.Response(body=written, status=code, content_type="application/json")


def _wish(request: web.Request) -> Wish:
    """Return what a request asks for; raises the 404 where there is no such resource."""
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
    verb = verbs.get(request.method, request.method.lower())
    if found := _NAMESPACE.fullmatch(request.path):
        name = found["name"] or ""
        verb = "list" if verb == "get" and not name else verb
        return Wish(verb, store.NAMESPACES, "", name, name)
    matched = _PATH.fullmatch(request.path)
    if not matched:
        raise statuses.no_such_resource()
    resource = _BY_PATH.get((matched["group"] or "", matched["resource"]))
    if resource is None:
        raise statuses.no_such_resource()
    name = matched["name"] or ""
    if not name:
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
    return Wish(verb, resource, matched["subresource"] or "", matched["namespace"] or "", name)
