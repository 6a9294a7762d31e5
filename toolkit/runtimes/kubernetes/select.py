"""Which containers of a cluster a selection means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from toolkit import clusters
from toolkit.auditor import Auditing
from toolkit.clusters import Cluster, RefusedError
from toolkit.errors import CallError, ScanError
from toolkit.reports.text import visible
from toolkit.runtimes.kubernetes import pods, words

_PAGE = 500
_BAD_REQUEST = 400


def find(
    selector: str, namespace: str, *, all_namespaces: bool, auditing: Auditing
) -> tuple[list[str], list[str]]:
    """Return the URIs of the containers selected, and a note on pods that have ended and are left out.

    Pods that do not run yet are among them: not to be scannable is a result. Raises ScanError when no pod is
    selected or they may not be listed, CallError for what is no selector.
    """
    cluster = clusters.connect(auditing.context)
    place = words.Place(namespace or cluster.namespace, "", "", auditing.image)
    found = list(_pods(cluster, place, selector, everywhere=all_namespaces))
    ended = [pod for pod in found if pod.status.phase in pods.ENDED]
    where = "any namespace" if all_namespaces else f"the namespace {place.namespace}"
    if len(found) == len(ended):
        if not all_namespaces:
            pods.check_namespace(cluster, place)
        which = f" that {selector!r} selects" if selector else ""
        raise ScanError(
            f"there is no pod{which} in {where}" + (f", but {len(ended)} that have ended" if ended else ""),
            "see: kubectl get pods --selector …; --namespace and --context say where to look",
        )
    uris = [
        f"k8s-container://{pod.metadata.namespace}/{pod.metadata.name}/{container}"
        for pod in found
        if pod not in ended
        for container in pods.lasting(pod, auditing.image)
    ]
    return uris, [f"{len(ended)} pods have ended and are left out"] if ended else []


def _pods(cluster: Cluster, place: words.Place, selector: str, *, everywhere: bool) -> Iterator[Any]:
    method = cluster.core.list_pod_for_all_namespaces if everywhere else cluster.core.list_namespaced_pod
    where = [] if everywhere else [place.namespace]
    more: str | None = None
    while more is None or more:
        options = {"_continue": more} if more else {}
        try:
            page = cluster.call(method, *where, label_selector=selector, limit=_PAGE, **options)
        except RefusedError as refusal:
            if refusal.status == _BAD_REQUEST:
                raise CallError(
                    f"{selector!r} is no label selector: {visible(refusal.message, 200)}",
                    "write --selector app=web,tier!=test",
                ) from None
            raise words.refused(refusal, place) from None
        yield from page.items
        more = page.metadata._continue or ""
