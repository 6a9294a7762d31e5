"""A tree that is to be a layer of an overlay holds an overlay's own marks, which show and hide files."""

from __future__ import annotations

import os
import stat

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool, visit

pytestmark = [pytest.mark.root, pytest.mark.bundle]

LOOK = f"cd /public; {BIN}/ls; {BIN}/cat own; cd /opaque; {BIN}/cat own; {BIN}/cat /etc/content"


def test_they_show_nothing_of_the_host_and_hide_no_directory(works, planted, scan, secret):
    def plant(root):
        for name in ("public", "opaque"):
            (root / name).mkdir()
            (root / name / "own").write_text(f"{name}\n")
        (root / "etc/content").write_text("its own\n")
        try:
            os.setxattr(root / "public", "trusted.overlay.redirect", os.fsencode(secret.parent))
            os.setxattr(root / "opaque", "trusted.overlay.opaque", b"y")
            os.setxattr(root / "etc/content", "trusted.overlay.metacopy", b"")
            os.setxattr(root / "etc/content", "trusted.overlay.redirect", os.fsencode(secret))
        except OSError as error:
            pytest.skip(f"the file system of this directory holds no such attributes: {error.strerror}")
        os.mknod(root / "etc/passwd", stat.S_IFCHR, 0)

    uri, tree = planted("rootfs", plant)
    naive = visit(tree, [tool("ls"), "/public"])
    works("secret" in naive.output, "an overlay with the host beneath shows the host's directory")
    attempt = scan(uri, f"{LOOK}; {BIN}/test -e /etc/passwd || echo none")
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["own", "public", "opaque", "none"]
    assert "/etc/content: Operation not permitted" in attempt.outcome.stderr
