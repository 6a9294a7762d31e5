"""Containers of pods: an auditor container joins the target's PID namespace, a scan enters it by exec."""
