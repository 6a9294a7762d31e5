"""What a bundle says of itself, held against what it is: bill of materials, provenance, manifest.

Works on a description of the tree, so that a directory and an image's layer are checked alike. What is read
may have been tampered with. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from toolkit.auditor import AGENT
from toolkit.bundle.tree import sha256

MANIFEST = "bundle.json"
SBOM = "sbom.cdx.json"
PROVENANCE = "provenance.intoto.json"
NAMES = (MANIFEST, SBOM, PROVENANCE)
"""What tells about the tree and is no part of its hash in the manifest."""
LARGEST = 32 << 20
"""Bytes that each of them may have; the largest seen has 2 MB."""
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
TREE = "barescanTree"
"""The key of `tree_digest` in the provenance's digests, as the manifest has it."""
Entries = Mapping[str, str]
"""Relative path → kind and content: `directory`, `link TARGET`, `file SHA256` or `program SHA256`."""


def entries(root: Path) -> dict[str, str]:
    """Return what is below `root`, without the agent that a bundle taken out of an image has beside it."""
    found = {}
    for directory, folders, names in os.walk(root):
        for name in folders + names:
            path = Path(directory, name)
            found[path.relative_to(root).as_posix()] = _kind(path)
    return {path: kind for path, kind in found.items() if path.partition("/")[0] != AGENT}


def _kind(path: Path) -> str:
    if path.is_symlink():
        return f"link {path.readlink()}"
    if path.is_dir():
        return "directory"
    return f"{'program' if path.stat().st_mode & 0o100 else 'file'} {sha256(path)}"


def tree_digest(tree: Entries) -> str:
    """Return `toolkit.bundle.tree.digest` of a tree that is given as entries."""
    inside: dict[str, list[str]] = {}
    for path in tree:
        inside.setdefault(posixpath.dirname(path), []).append(posixpath.basename(path))
    total = hashlib.sha256()
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        paths = [posixpath.join(directory, name) for name in sorted(inside.get(directory, ()))]
        total.update("".join(f"{path}\0{tree[path]}\n" for path in paths).encode())
        waiting.extend(path for path in reversed(paths) if tree[path] == "directory")
    return total.hexdigest()


def described(tree: Entries) -> dict[str, str]:
    """Return the part of the tree that the manifest's hash is over: all but what tells about it."""
    return {path: kind for path, kind in tree.items() if path not in NAMES}


def files(tree: Entries) -> dict[str, str]:
    """Return path → SHA-256 of the regular files."""
    return {
        path: kind.partition(" ")[2] for path, kind in tree.items() if kind.startswith(("file ", "program "))
    }


def directory_hash(tree: Entries) -> str:
    """Return in-toto's `dirHash` over all files but the provenance: a hash of what sha256sum(1) prints.

    As defined in the in-toto attestation framework, spec/v1/digest_set.md.
    """
    hashes = files(tree)
    names = sorted((name for name in hashes if name != PROVENANCE), key=os.fsencode)
    return hashlib.sha256("".join(f"{hashes[name]}  {name}\n" for name in names).encode()).hexdigest()


def digests(tree: Entries) -> dict[str, str]:
    """Return what the provenance names the tree by."""
    return {TREE: tree_digest(described(tree)), "dirHash": directory_hash(tree)}


def check(bundle: Path) -> list[str]:
    """Return what in a bundle's directory is not as its papers say, a sentence each."""
    return disagreements(entries(bundle), lambda name: _read(bundle / name))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def disagreements(tree: Entries, read: Callable[[str], bytes]) -> list[str]:
    """Return what in a tree is not as its papers say; `read` gives the content of each of `NAMES`.

    Changed files are named first; each file, link and execute bit is covered by one of the hashes.
    """
    papers: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        try:
            papers[name] = _parsed(read(name))
        except (OSError, LookupError, ValueError, RecursionError):
            return [f"{name} is missing or can't be read"]
    try:
        return [*_of_files(tree, papers[SBOM]), *_of_tree(tree, papers), *_of_materials(papers)]
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        return [f"{SBOM}, {PROVENANCE} or {MANIFEST} is malformed ({type(error).__name__}: {error})"]


def _parsed(content: bytes) -> dict[str, Any]:
    if len(content) > LARGEST:
        raise ValueError("too large")
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _of_files(tree: Entries, sbom: Mapping[str, Any]) -> Iterator[str]:
    listed = dict(_listed(sbom))
    there = files(tree)
    for path in sorted(there.keys() - {SBOM, PROVENANCE}):
        if path not in listed:
            yield f"{path} is not in {SBOM}"
        elif listed[path] != there[path]:
            yield f"{path} has SHA-256 {there[path]}, and {SBOM} says {listed[path]}"
    for path in sorted(listed.keys() - there.keys()):
        yield f"{path}, which {SBOM} lists, is not there"


def _listed(sbom: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield path and hash of every file in a bill of materials, also of those inside packages."""
    for component in sbom["components"]:
        for each in component.get("components", [component]):
            if each["type"] == "file":
                yield each["name"], each["hashes"][0]["content"]


def _of_tree(tree: Entries, papers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What is no file's content (links, directories, execute bits), and what the provenance is about."""
    found = tree_digest(described(tree))
    if papers[MANIFEST]["sha256"] != found:
        yield (
            f"the tree's hash is {found}, and {MANIFEST} says {papers[MANIFEST]['sha256']}: a file, a link, "
            "a directory or an execute bit is another"
        )
    statement = papers[PROVENANCE]
    if (statement["_type"], statement["predicateType"]) != (STATEMENT, PREDICATE):
        yield f"{PROVENANCE} is no SLSA provenance of version 1"
    about = {each["name"]: each["digest"] for each in statement["subject"]}
    if about["barescan-bundle"] != digests(tree):
        yield f"{PROVENANCE} is of another tree: it names {about['barescan-bundle']}, not {digests(tree)}"
    if about[SBOM] != {"sha256": files(tree)[SBOM]}:
        yield f"{PROVENANCE} is of another {SBOM}"


def _of_materials(papers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Packages and gems: what the bundle was made from is what it says it holds."""
    definition = papers[PROVENANCE]["predicate"]["buildDefinition"]
    came = {
        each["uri"]: each.get("digest", {}).get("sha256", "")
        for each in definition["resolvedDependencies"]
        if "uri" in each
    }
    held = {
        each["purl"]: each["hashes"][0]["content"] if each.get("hashes") else ""
        for each in papers[SBOM]["components"]
        if "purl" in each
    }
    for purl in sorted(came.keys() | held.keys()):
        if purl not in held:
            yield f"{purl} of {PROVENANCE} is not in {SBOM}"
        elif purl not in came:
            yield f"{purl} of {SBOM} is not in {PROVENANCE}"
        elif came[purl] != held[purl]:
            yield f"{purl} has another SHA-256 in {PROVENANCE} than in {SBOM}"
