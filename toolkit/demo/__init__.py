"""Things to scan: distroless roots made of Debian packages, full trees, and running targets of both.

Nothing here needs a container engine. `distroless` assembles roots as Google's images are, `trees` makes full
Debian roots for comparisons, `targets` starts and stops processes inside them the way an OCI runtime would.
"""
