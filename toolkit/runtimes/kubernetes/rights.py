"""What an auditor container may do in a pod, as an ephemeral container and as a sidecar alike."""

from __future__ import annotations

from kubernetes import client

from toolkit.auditor import CAPABILITIES


def security_context(*, privileged: bool = False, app_armor: bool = False) -> client.V1SecurityContext:
    """Return the security context of an auditor container: the least one, or a privileged one.

    The user is named since the pod's would be taken otherwise, without any capability. `app_armor` asks the
    node to leave AppArmor out, whose default profile denies mounts; servers know the field from 1.30 on.
    """
    if privileged:
        return client.V1SecurityContext(
            privileged=True, read_only_root_filesystem=True, run_as_user=0, run_as_non_root=False
        )
    return client.V1SecurityContext(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=client.V1Capabilities(drop=["ALL"], add=list(CAPABILITIES)),
        seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
        app_armor_profile=client.V1AppArmorProfile(type="Unconfined") if app_armor else None,
        run_as_user=0,
        run_as_non_root=False,
    )
