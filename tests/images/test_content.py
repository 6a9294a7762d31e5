"""What a saved image holds must be what its labels say, and nothing else."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from pathlib import Path

import pytest

from tests.images.saved import Saved, member, small_bundle
from toolkit.agent.source import source_sha256
from toolkit.auditor import AGENT_LABEL, BUNDLE_LABEL
from toolkit.bundle.papers import tree_digest
from toolkit.bundle.sources import DESCRIBING, INSIDE
from toolkit.bundle.tree import _describe, digest
from toolkit.errors import CallError, ScanError
from toolkit.images.build import last_stage
from toolkit.images.content import START, check_auditor, describe
from toolkit.images.layout import LABELS, TREE, lay_out


def check(saved: Saved):
    return check_auditor(io.BytesIO(saved.archive()))


@pytest.mark.parametrize("zipped", [False, True])
def test_bundle_and_agent_are_measured_in_the_layer(saved, zipped):
    saved.zipped = zipped
    found = check(saved)
    assert found.tags == ("small:1",)
    assert found.bundle_sha256 == digest(saved.scratch / "bundle")
    assert found.agent_sha256 == source_sha256()


def test_an_image_is_read_where_it_is_kept_and_nowhere_else(saved, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with tempfile.TemporaryFile() as file:
        file.write(saved.archive())
        assert check_auditor(file) == check_auditor(io.BytesIO(saved.archive()))
    assert list(here.iterdir()) == []


def test_the_layout_is_the_bundle_and_the_agent_alone(tmp_path):
    labels = lay_out(small_bundle(tmp_path / "bundle"), tmp_path / "out")
    tree = tmp_path / "out" / TREE
    assert [path.name for path in tree.iterdir()] == ["barescan"]
    packages = {
        str(path.relative_to(tree / "barescan/agent")) for path in (tree / "barescan/agent").rglob("*")
    }
    assert packages == {
        "toolkit",
        "toolkit/__init__.py",
        "toolkit/agent",
        *(
            f"toolkit/agent/{path.name}"
            for path in Path(source_sha256.__code__.co_filename).parent.glob("*.py")
        ),
    }
    assert len({path.lstat().st_mtime for path in [tree, *tree.rglob("*")]}) == 1
    assert {path.lstat().st_uid for path in tree.rglob("*")} <= {0, tmp_path.stat().st_uid}
    assert json.loads((tmp_path / "out" / LABELS).read_text()) == labels
    assert set(labels) == {BUNDLE_LABEL, AGENT_LABEL}


def test_the_digest_of_entries_is_the_digest_of_the_tree(tmp_path):
    bundle = small_bundle(tmp_path / "bundle")
    entries = {str(path.relative_to(bundle)): _describe(path) for path in bundle.rglob("*")}
    assert tree_digest(entries) == digest(bundle)


def other_bundle(saved: Saved) -> None:
    saved.replace("barescan/bin/sh", b"#?")


def other_agent(saved: Saved) -> None:
    saved.replace("barescan/agent/toolkit/agent/job.py", b"import os\n")


def another_module(saved: Saved) -> None:
    saved.members.append(member("barescan/agent/toolkit/agent/sneaky.py", b"import os\n"))


def a_native_module(saved: Saved) -> None:
    saved.members.append(member("barescan/agent/toolkit/agent/job.so", b"\x7fELF"))


def a_package_that_runs_something(saved: Saved) -> None:
    saved.replace("barescan/agent/toolkit/__init__.py", b'"""."""\n__version__ = print("ran")\n')


def a_second_package(saved: Saved) -> None:
    saved.members.append(member("barescan/agent/os.py", b"import sys\n"))


def a_file_beside_the_auditor(saved: Saved) -> None:
    saved.members.append(member("etc/ld.so.preload", b"/evil.so\n"))


def a_program_in_the_bundle(saved: Saved) -> None:
    saved.members.append(member("barescan/bin/evil", b"#!", 0o755))


def no_execute_bit(saved: Saved) -> None:
    saved.members = [
        (member("barescan/bin/sh", content, 0o644) if about.name == "barescan/bin/sh" else (about, content))
        for about, content in saved.members
    ]


def another_entrypoint(saved: Saved) -> None:
    saved.entrypoint = ["/barescan/bin/sh"]


def another_layer_than_its_configuration_names(saved: Saved) -> None:
    saved.diff_id = f"sha256:{'0' * 64}"


def two_layers(saved: Saved) -> None:
    saved.extra_layers = 1


def another_label(saved: Saved) -> None:
    saved.labels[BUNDLE_LABEL] = "0" * 64


def no_label(saved: Saved) -> None:
    del saved.labels[BUNDLE_LABEL]


@pytest.mark.parametrize(
    "change",
    [
        other_bundle,
        other_agent,
        another_module,
        a_native_module,
        a_package_that_runs_something,
        a_second_package,
        a_file_beside_the_auditor,
        a_program_in_the_bundle,
        no_execute_bit,
        another_entrypoint,
        another_layer_than_its_configuration_names,
        two_layers,
        another_label,
        no_label,
    ],
)
def test_an_image_that_is_not_what_it_says_is_refused(saved, change):
    change(saved)
    with pytest.raises(ScanError):
        check(saved)


def test_a_changed_file_of_the_bundle_is_named(saved):
    """The label only tells that something was; the bill of materials inside tells what."""
    other_bundle(saved)
    with pytest.raises(ScanError, match="bin/sh has SHA-256"):
        check(saved)


def test_a_file_too_many_in_the_bundle_is_named(saved):
    a_program_in_the_bundle(saved)
    with pytest.raises(ScanError, match=r"bin/evil is not in sbom\.cdx\.json"):
        check(saved)


def test_only_a_label_that_lies_is_named_as_such(saved):
    another_label(saved)
    with pytest.raises(ScanError, match="is not the one its label"):
        check(saved)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\0" * 2048])
def test_what_is_no_image_is_refused(content):
    with pytest.raises(ScanError, match="the saved image"):
        describe(io.BytesIO(content))


def test_a_layer_that_is_a_link_is_followed_inside_the_archive(saved):
    """Older engines save equal layers once and link to them."""
    packed = io.BytesIO(saved.archive())
    out = io.BytesIO()
    with tarfile.open(fileobj=packed) as old, tarfile.open(fileobj=out, mode="w") as new:
        for about in old:
            file = old.extractfile(about)
            about.name = about.name.replace("l/layer.tar", "m/layer.tar")
            new.addfile(about, file)
        link = tarfile.TarInfo("l/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../m/layer.tar"
        new.addfile(link)
    assert check_auditor(out).agent_sha256 == source_sha256()


DOCKERFILE = (Path(__file__).parents[2] / "images/auditor/Dockerfile").read_text()


def test_the_image_starts_the_agent_by_the_loader_whatever_the_architecture():
    (line,) = [line for line in DOCKERFILE.splitlines() if line.startswith("ENTRYPOINT")]
    assert json.loads(line.removeprefix("ENTRYPOINT ")) == START


def test_the_image_has_every_module_that_makes_the_bundle():
    first, _, later = DOCKERFILE.partition("assemble install")
    assert all(f"toolkit/bundle/{name}.py" in first for name in INSIDE)
    assert all(f"toolkit/bundle/{name}.py" in later for name in DESCRIBING)


def test_from_a_bundle_only_the_last_stage_is_built():
    text = last_stage(DOCKERFILE)
    instructions = [line.split()[0] for line in text.splitlines() if line[:1].isupper()]
    assert instructions == ["FROM", "COPY", "USER", "STOPSIGNAL", "ENTRYPOINT", "LABEL"]
    assert text.startswith("FROM scratch\nCOPY image/ /\n")


def test_a_dockerfile_of_another_shape_is_refused():
    with pytest.raises(CallError):
        last_stage("FROM debian\nRUN true\n")
