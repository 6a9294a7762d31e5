"""Target URIs: what is none is refused with the forms there are."""

from __future__ import annotations

import pytest

from toolkit.errors import CallError
from toolkit.runtimes.base import resolve


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "1234",
        "pid:1",
        "pid://",
        "ftp://x",
        "pid://abc",
        "pid://-1",
        "pid://0",
        "pid://99999999",
        "pid://٣",
        "k8s-container://",
        "k8s-container://namespace",
        "k8s-container://namespace/pod/container/more",
        "k8s-container://Namespace/pod/container",
        "k8s-container://namespace//container",
        "k8s-container://namespace/../container",
        "k8s-container://namespace/pod/container/",
    ],
)
def test_what_is_no_target_is_refused(uri):
    with pytest.raises(CallError):
        resolve(uri)


@pytest.mark.parametrize("uri", ["rootfs://relative", "rootfs:///does/not/exist", "rootfs:///etc/passwd"])
def test_a_root_that_is_no_directory_is_refused(uri):
    with pytest.raises(CallError):
        resolve(uri)


def test_targets_are_named_in_the_job(tmp_path):
    assert resolve("pid://42").job() == {"pid": 42}
    (tmp_path / "link").symlink_to(tmp_path)
    assert resolve(f"rootfs://{tmp_path}/link").job() == {"rootfs": str(tmp_path)}
