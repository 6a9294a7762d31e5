"""Whatever the JSON of an image holds in place of what it should, only an error for the user comes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.runtimes.image_builders import OCI, Layout, config, digest, entry, layer
from toolkit.errors import BarescanError
from toolkit.unpack.blobs import Blobs, DirectoryBlobs
from toolkit.unpack.images import read

PLAIN = layer(entry("etc/hostname", b"x"))
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, -1, 1.5, 1 << 70, True, "", "x", "sha256:", "../..", [], [[]], {}, {"a": 1}, [None]]
)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value of a JSON document."""
    inside = document.items() if isinstance(document, dict) else enumerate(document)
    found = [path] if path else []
    if isinstance(document, dict | list):
        for key, value in inside:
            if isinstance(value, dict | list):
                found += places(value, (*path, key))
            else:
                found.append((*path, key))
    return found


def spoil(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(document))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return copy


def acceptable(blobs: Blobs) -> None:
    try:
        read(blobs, "")
    except BarescanError as error:
        assert len(error.cause) < 500  # noqa: PT017 nothing is raised where the oddity does not matter
        assert error.remedy  # noqa: PT017


@pytest.mark.parametrize("which", ["index", "manifest", "config", "nested"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(data=st.data())
def test_a_layout(which, data, tmp_path_factory):
    made = Layout(tmp_path_factory.mktemp("oci") / "oci")
    about: Any = config(PLAIN)
    manifest: Any = {
        "schemaVersion": 2,
        "mediaType": OCI.format("manifest.v1+json"),
        "layers": [made.put(PLAIN, OCI.format("layer.v1.tar"))],
    }
    platform = {"platform": {"os": "linux", "architecture": "amd64"}, "annotations": {"a": "b"}}

    def spoilt(name: str, document: Any) -> Any:
        if name != which:
            return document
        return spoil(document, data.draw(st.sampled_from(places(document))), data.draw(ODD))

    manifest["config"] = made.put(spoilt("config", about), OCI.format("config.v1+json"))
    descriptor = made.put(spoilt("manifest", manifest), OCI.format("manifest.v1+json")) | platform
    nested = {"manifests": [descriptor, descriptor], "mediaType": OCI.format("index.v1+json")}
    top = made.put(spoilt("nested", nested), OCI.format("index.v1+json"))
    index = {"schemaVersion": 2, "manifests": [top, {**top, "digest": digest(b"x")}]}
    if which != "index":
        index["manifests"] = [top]
    (made.path / "index.json").write_text(json.dumps(spoilt("index", index)))
    acceptable(DirectoryBlobs(made.path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(data=st.data())
def test_a_manifest_of_docker_save(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved")
    (path / "config.json").write_text(json.dumps(config(PLAIN)))
    manifest = [{"Config": "config.json", "RepoTags": ["a:1"], "Layers": ["0/layer.tar"]}] * 2
    odd = spoil(manifest, data.draw(st.sampled_from(places(manifest))), data.draw(ODD))
    (path / "manifest.json").write_text(json.dumps(odd))
    acceptable(DirectoryBlobs(path))


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "a/../../secret"])
def test_names_in_a_directory_lead_nowhere_else(name, tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "image" / "a").mkdir(parents=True)
    blobs = DirectoryBlobs(tmp_path / "image")
    assert not blobs.has(name)
    with pytest.raises(BarescanError, match="lacks"):
        blobs.open(name)
