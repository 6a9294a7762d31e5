"""Which containers of a pod are believed to be auditors, and which could take one over."""

from __future__ import annotations

import posixpath
from typing import Any

from toolkit.auditor import CAPABILITIES, WAIT
from toolkit.runtimes.base import check_not_prying

_GIVEN_BY_KUBERNETES = "/var/run/secrets/kubernetes.io/"


def is_auditor(container: Any, image: str) -> bool:
    """Return whether a container is what barescan itself would have started of this image, and nothing else.

    Whoever writes the pod chooses names; a command, a volume over our files or a variable of the environment
    would do to have something else answer for it.
    """
    mounts = [posixpath.normpath(each.mount_path) for each in container.volume_mounts or []]
    return (
        container.image == image
        and not container.command
        and (container.args or [""])[0] == WAIT
        and all(path.startswith(_GIVEN_BY_KUBERNETES) for path in mounts)
        and not (container.env or container.env_from or container.volume_devices or container.lifecycle)
        and _rights_are_ours(container.security_context)
    )


def _rights_are_ours(context: Any) -> bool:
    """Return whether rights are those of an auditor: no less, for it would not work, and no more."""
    if context is None or context.run_as_user != 0:
        return False
    if context.privileged:
        return True
    capabilities = context.capabilities
    return bool(capabilities) and set(capabilities.add or []) == set(CAPABILITIES)


def check(pod: Any, target: Any, image: str, *, shared: bool) -> None:
    """Raise ScanError when a container in reach of the auditor's processes could take it over.

    In reach are the target and those that joined its PID namespace; all of the pod where that is shared.
    Processes of the node (hostPID) are not judged: their rights are nowhere told.
    """
    ended = {
        each.name
        for each in pod.status.ephemeral_container_statuses or []
        if not (each.state and each.state.running)
    }
    joined = [
        each
        for each in pod.spec.ephemeral_containers or []
        if each.name not in ended and (shared or each.target_container_name == target.name)
    ]
    others = [*pod.spec.containers, *(pod.spec.init_containers or [])] if shared else [target]
    for each in [*others, *joined]:
        if is_auditor(each, image):
            continue
        context = each.security_context
        added = (context and context.capabilities and context.capabilities.add) or []
        check_not_prying(each.name, added, privileged=bool(context and context.privileged))
