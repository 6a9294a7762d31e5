"""Gems: whose build it is, for which Ruby, and what of them is copied."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from toolkit.bundle import gems
from toolkit.bundle.packages import Package
from toolkit.bundle.tree import Tree, files

ABI = "3.3.0"


def gem(
    name: str, version: str = "1.0", *, needs: tuple[str, ...] = (), extensions: int = 0
) -> dict[str, Any]:
    """Return a gem's description."""
    full_name = f"{name}-{version}"
    return {
        "name": name,
        "version": version,
        "licenses": ["MIT"],
        "full_name": full_name,
        "dependencies": list(needs),
        "extensions": extensions,
    }


def home(root: Path, found: list[dict[str, Any]], abi: str = ABI) -> Path:
    """Lay out a GEM_HOME with those gems; extensions are built for `abi`."""
    for entry in found:
        name = entry["full_name"]
        for place in (f"specifications/{name}.gemspec", f"gems/{name}/lib/{entry['name']}.rb"):
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_text("# x\n")
        if entry["extensions"]:
            built = root / "extensions" / "x86_64-linux" / abi / name
            built.mkdir(parents=True)
            (built / "gem.build_complete").touch()
            (built / "native.so").write_bytes(b"\x7fELF")
            (root / "gems" / name / "lib" / "native.so").write_bytes(b"\x7fELF")
    return root


def test_core_is_preferred() -> None:
    found = [gem("inspec", "5.22.3"), gem("inspec-core", "5.22.3"), gem("thor")]
    assert gems.product(found)["name"] == "inspec-core"


def test_no_auditor_is_said() -> None:
    with pytest.raises(gems.GemsError, match="none of them is CINC Auditor"):
        gems.product([gem("thor")])


def test_licensed_build_is_refused() -> None:
    with pytest.raises(gems.GemsError, match=r"inspec-core-6\.8\.1 is Chef's licensed build"):
        gems.product([gem("inspec-core", "6.8.1", needs=("chef-licensing",))])


def test_free_build_of_the_same_version_is_taken() -> None:
    assert gems.product([gem("inspec-core", "7.0.1")])["version"] == "7.0.1"


def test_extension_for_another_ruby_is_refused(tmp_path: Path) -> None:
    found = [gem("thor"), gem("ffi", extensions=1)]
    with pytest.raises(gems.GemsError, match=r"ffi-1\.0 are built for Ruby ABI 3\.1\.0.* has ABI 3\.3\.0"):
        gems.check_abi(found, home(tmp_path, found, abi="3.1.0"), ABI)


def test_extension_for_this_ruby_is_taken(tmp_path: Path) -> None:
    found = [gem("ffi", extensions=1)]
    gems.check_abi(found, home(tmp_path, found), ABI)


def test_copy_leaves_out_what_no_audit_reads(tmp_path: Path) -> None:
    found = [gem("parser", "3.3"), gem("ffi", extensions=1)]
    source = home(tmp_path / "home", found)
    for name in (
        "spec/a_spec.rb",
        "ext/x.c",
        "README.md",
        "lib/parser/ruby33.rb",
        "lib/parser/ruby27.rb",
        "LICENSE",
    ):
        path = source / "gems" / "parser-3.3" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    tree = Tree(tmp_path / "tree")
    native = list(gems.copy(source, found, ABI, tree))
    assert [path.name for path in native] == ["native.so"]
    assert {str(path.relative_to(tree.root / "gems")) for path in files(tree.root)} == {
        "specifications/parser-3.3.gemspec",
        "specifications/ffi-1.0.gemspec",
        "gems/parser-3.3/LICENSE",
        "gems/parser-3.3/lib/parser.rb",
        "gems/parser-3.3/lib/parser/ruby33.rb",
        "gems/ffi-1.0/lib/ffi.rb",
        "extensions/x86_64-linux/3.3.0/ffi-1.0/native.so",
        "extensions/x86_64-linux/3.3.0/ffi-1.0/gem.build_complete",
    }


def test_directory_without_gems_is_refused(tmp_path: Path) -> None:
    with pytest.raises(gems.GemsError, match=r"neither \*\.gem files nor a GEM_HOME"):
        gems.gem_home(tmp_path, tmp_path / "scratch")


def test_fetched_gems_are_held_to_their_pins(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    for name in ("thor-1.2.gem", "net-ssh-7.3.0.gem", "ffi-1.17-x86_64-linux-gnu.gem"):
        (tmp_path / "cache" / name).write_bytes(b"gem")
    content = hashlib.sha256(b"gem").hexdigest()
    pinned = {
        "thor": Package("thor", "1.1", "gem", "00" * 32),
        "net-ssh": Package("net-ssh", "7.3.0", "gem", content),
    }
    assert gems.drift(tmp_path, pinned) == {
        "gem thor": {"pinned": "1.1", "installed": "1.2"},
        "gem ffi": {"pinned": "", "installed": "1.17"},
    }
    changed = {"thor": Package("thor", "1.2", "gem", "00" * 32)}
    with pytest.raises(gems.GemsError, match=r"thor 1\.2 has SHA-256"):
        gems.drift(tmp_path, changed)
