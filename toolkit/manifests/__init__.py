"""YAML for a cluster, printed and never applied: the rights a scan needs, a sidecar, jobs inside the cluster.

Everything but `checks` is built from the models of Kubernetes' client, which takes half a second to load.
"""
