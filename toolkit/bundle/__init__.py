"""The bundle: every program a scan brings along, in one tree that needs no library of its surroundings.

`assemble` runs inside a Debian root and makes the tree; `build` runs on the host, gives it such a root and
caches what comes out. Nothing here knows what a target or a profile is.
"""
