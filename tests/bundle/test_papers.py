"""Bill of materials and provenance agree with the tree, or it is said which file does not."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import toolkit
from tests.images.saved import small_bundle
from toolkit.bundle import papers, provenance
from toolkit.bundle.assemble import INVENTORY
from toolkit.bundle.build import Bundle
from toolkit.bundle.sources import HERE, LOCK
from toolkit.bundle.tree import _describe, digest, sha256


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return small_bundle(tmp_path / "bundle")


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def statement(tree: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tree / papers.PROVENANCE).read_text())
    return found


def test_a_tree_as_it_was_built_agrees(tree: Path) -> None:
    assert papers.check(tree) == []


def test_entries_are_what_the_digest_is_over(tree: Path) -> None:
    assert papers.entries(tree) == {
        path.relative_to(tree).as_posix(): _describe(path) for path in tree.rglob("*")
    }
    assert papers.tree_digest(papers.entries(tree)) == digest(tree)


def test_the_directory_hash_is_that_of_the_command_that_in_toto_names(tree: Path) -> None:
    command = (
        "find . -type f ! -path ./provenance.intoto.json | cut -c3- | LC_ALL=C sort"
        " | xargs -r sha256sum | sha256sum | cut -f1 -d' '"
    )
    done = subprocess.run(["sh", "-c", command], cwd=tree, check=True, capture_output=True, text=True)
    assert papers.directory_hash(papers.entries(tree)) == done.stdout.strip()
    assert statement(tree)["subject"][0]["digest"]["dirHash"] == done.stdout.strip()


def test_the_statement_says_what_from_where_and_by_what(tree: Path) -> None:
    said = statement(tree)
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    assert said["subject"][1] == {"name": "sbom.cdx.json", "digest": {"sha256": sha256(tree / papers.SBOM)}}
    definition = said["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"architecture": "x86_64", "gems": False, "suite": "trixie"}
    found = {each["name"]: each for each in definition["resolvedDependencies"]}
    assert found["bash"] == {
        "name": "bash",
        "uri": "pkg:deb/debian/bash@5.2-1?arch=amd64&distro=trixie",
        "digest": {"sha256": "ab" * 32},
    }
    assert found["toolkit/bundle/packages.lock"]["digest"] == {"sha256": sha256(LOCK)}
    assert found["toolkit/bundle/assemble.py"]["digest"] == {"sha256": sha256(HERE / "assemble.py")}
    assert any(name.startswith("toolkit/bundle/view/") for name in found)
    assert said["predicate"]["runDetails"]["builder"]["version"] == {"barescan": toolkit.__version__}


def test_the_same_input_gives_the_same_bytes_that_tell_nothing_of_this_machine(tmp_path: Path) -> None:
    one = small_bundle(tmp_path / "one") / papers.PROVENANCE
    os.utime(tmp_path / "one" / "bin")
    two = small_bundle(tmp_path / "elsewhere" / "two") / papers.PROVENANCE
    assert one.read_bytes() == two.read_bytes()
    for word in (str(tmp_path), str(HERE), str(Path.home()), socket.gethostname(), "://deb", "/tmp"):
        assert word not in one.read_text()


def test_a_gem_has_the_hash_of_the_archive_it_came_in(tmp_path: Path) -> None:
    gems = tmp_path / "gems"
    (gems / "cache").mkdir(parents=True)
    (gems / "cache" / "thor-1.3.2.gem").write_bytes(b"thor")
    (gems / "rake-13.0.gem").write_bytes(b"rake")
    tree = small_bundle(tmp_path / "bundle")
    entries = [
        {"name": name, "version": version, "full_name": f"{name}-{version}", "licenses": [], "files": {}}
        for name, version in (("thor", "1.3.2"), ("rake", "13.0"), ("lost", "1"))
    ]
    for name in (papers.SBOM, papers.PROVENANCE):
        (tree / name).unlink()
    own = papers.files(papers.entries(tree))
    (tree / INVENTORY).write_text(json.dumps({"packages": [], "gems": entries, "own": own}))
    provenance.describe(tree, gems)
    assert papers.check(tree) == []
    found = {
        each.get("uri"): each.get("digest")
        for each in statement(tree)["predicate"]["buildDefinition"]["resolvedDependencies"]
    }
    assert found["pkg:gem/thor@1.3.2"] == {"sha256": sha256(gems / "cache" / "thor-1.3.2.gem")}
    assert found["pkg:gem/rake@13.0"] == {"sha256": sha256(gems / "rake-13.0.gem")}
    assert found["pkg:gem/lost@1"] is None


def _appended(tree: Path) -> None:
    with (tree / "lib/a-b").open("a") as file:
        file.write("!")


def _linked_elsewhere(tree: Path) -> None:
    (tree / "lib/loader").unlink()
    (tree / "lib/loader").symlink_to("a-b")


def _link_for_file(tree: Path) -> None:
    shutil.move(tree / "bin/sh", tree / "lib/hidden")
    (tree / "bin/sh").symlink_to("../lib/hidden")


def _other_package(tree: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["sha256"] = "cd" * 32

    edit(tree / papers.PROVENANCE, change)


def _no_package(tree: Path) -> None:
    edit(
        tree / papers.PROVENANCE,
        lambda content: content["predicate"]["buildDefinition"]["resolvedDependencies"].pop(0),
    )


CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (_appended, "lib/a-b has SHA-256"),
    (lambda tree: (tree / "bin/evil").write_text("#!"), "bin/evil is not in sbom.cdx.json"),
    (lambda tree: (tree / "lib/a/z").unlink(), "lib/a/z, which sbom.cdx.json lists, is not there"),
    (lambda tree: (tree / "bin/sh").chmod(0o644), "an execute bit is another"),
    (_linked_elsewhere, "a link"),
    (_link_for_file, "lib/hidden is not in"),
    (lambda tree: (tree / "new").mkdir(), "a directory"),
    (lambda tree: edit(tree / "bundle.json", lambda it: it.update(format=2)), "bundle.json has SHA-256"),
    (lambda tree: edit(tree / papers.SBOM, lambda it: it.update(version=2)), "is of another sbom.cdx.json"),
    (lambda tree: edit(tree / papers.SBOM, lambda it: it["components"].clear()), "bin/sh is not in"),
    (_other_package, "bash@5.2-1?arch=amd64&distro=trixie has another SHA-256"),
    (_no_package, "bash@5.2-1?arch=amd64&distro=trixie of sbom.cdx.json is not in"),
    (lambda tree: edit(tree / papers.PROVENANCE, lambda it: it.update(_type="x")), "no SLSA provenance"),
    (lambda tree: edit(tree / papers.PROVENANCE, lambda it: it.update(subject=[])), "malformed"),
    (lambda tree: edit(tree / papers.SBOM, lambda it: it.update(components=[1])), "malformed"),
    (lambda tree: (tree / papers.PROVENANCE).unlink(), "provenance.intoto.json is missing"),
    (
        lambda tree: (tree / papers.SBOM).write_text("[" * 100_000),
        "sbom.cdx.json is missing or can't be read",
    ),
    (lambda tree: (tree / papers.SBOM).write_text("[]"), "sbom.cdx.json is missing or can't be read"),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_what_does_not_agree_is_named(change: Callable[[Path], object], said: str, tree: Path) -> None:
    change(tree)
    complaints = papers.check(tree)
    assert any(said in each for each in complaints), complaints


def test_a_file_that_is_too_large_for_a_paper_is_not_read(tree: Path) -> None:
    with (tree / papers.PROVENANCE).open("wb") as file:
        file.truncate(1 << 40)
    entries = papers.entries(small_bundle(tree.parent / "other"))
    found = papers.disagreements(entries, lambda name: papers._read(tree / name))
    assert found == ["provenance.intoto.json is missing or can't be read"]


def test_the_agent_of_a_bundle_taken_out_of_an_image_is_left_out(tree: Path) -> None:
    (tree / "agent/toolkit").mkdir(parents=True)
    (tree / "agent/toolkit/x.py").write_text("")
    assert papers.check(tree) == []


@pytest.mark.root
@pytest.mark.bundle
class TestReal:
    def test_the_bundle_agrees_and_every_package_has_its_hash(self, bundle: Bundle) -> None:
        assert papers.check(bundle.path) == []
        found = statement(bundle.path)["predicate"]["buildDefinition"]["resolvedDependencies"]
        debian = [each for each in found if each.get("uri", "").startswith("pkg:deb/")]
        assert len(debian) > 50
        for each in debian:
            assert len(each["digest"]["sha256"]) == 64, each
            assert each["uri"].endswith("&distro=trixie"), each

    def test_what_is_pinned_is_what_came(self, bundle: Bundle) -> None:
        """packages.lock is read by other code than that which took the packages' hashes from the archive."""
        pinned = {
            tuple(line.split()[1:3]): line.split()[3]
            for line in LOCK.read_text().splitlines()
            if line.startswith("amd64 ")
        }
        sbom = json.loads((bundle.path / papers.SBOM).read_text())
        for each in sbom["components"]:
            if each.get("purl", "").startswith("pkg:deb/") and each["name"] not in bundle.manifest["drift"]:
                assert pinned[each["name"], each["version"]] == each["hashes"][0]["content"]

    def test_bundle_verify_names_a_changed_file_before_it_starts_any(
        self, bundle: Bundle, tmp_path: Path
    ) -> None:
        copy = shutil.copytree(bundle.path, tmp_path / "bundle", symlinks=True)
        (copy / "bin/true").write_bytes((copy / "bin/false").read_bytes())
        done = subprocess.run(
            [sys.executable, "-m", "toolkit", "bundle.verify"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "BARESCAN_BUNDLE": str(copy)},
        )
        assert done.returncode == 2
        assert "bin/true has SHA-256" in done.stdout
        assert "do not start" not in done.stderr
