"""What the auditor may do in a pod: the same in an ephemeral container and in a sidecar."""

from __future__ import annotations

from kubernetes import client

from toolkit import auditor


def security_context(*, privileged: bool = False, app_armor: bool = False) -> client.V1SecurityContext:
    """Return the least rights that entering a target takes, or all there are where `privileged`.

    The user is always said: a pod's own would be inherited otherwise, and no capability is anybody's but
    root's. `app_armor` asks for no AppArmor profile, where nodes have it: the default one denies mounts.
    """
    rights = client.V1SecurityContext(run_as_user=0, run_as_non_root=False, read_only_root_filesystem=True)
    if privileged:  # nothing more can be said then: Kubernetes refuses it, or runtimes overlook it
        rights.privileged = True
        return rights
    rights.capabilities = client.V1Capabilities(add=list(auditor.CAPABILITIES), drop=["ALL"])
    rights.allow_privilege_escalation = False
    rights.seccomp_profile = client.V1SeccompProfile(type="RuntimeDefault")
    if app_armor:
        rights.app_armor_profile = client.V1AppArmorProfile(type="Unconfined")
    return rights
