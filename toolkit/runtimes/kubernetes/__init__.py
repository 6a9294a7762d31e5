"""Containers in pods: `k8s-container://`, entered from an ephemeral container or a sidecar of the pod."""
