"""CINC Auditor's gems inside the root: installed, checked, copied without what no audit reads.

Chef's own builds of InSpec are under a commercial licence; what is built here from gems must be CINC's, or
upstream's Apache-2.0 source put together by its user.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toolkit.bundle import elf
from toolkit.bundle.packages import Package
from toolkit.bundle.tree import Tree, files, sha256

PRODUCTS = ("inspec-core", "inspec")
"""Gems that are the auditor, the smaller one first; CINC publishes them under these names too."""

_LEFT_OUT = re.compile(
    r"^(test|tests|spec|specs|features|examples?|docs?|man|benchmarks?|samples?|ext|\.github|\.yardoc)(/|$)"
    r"|(^|/)(Gemfile(\.lock)?|Rakefile|Makefile|.*\.gemspec|.*\.(o|c|h|cc|java|jar|log|out|rdoc))$"
    r"|^(CHANGELOG|HISTORY|Changes|History|README|CONTRIBUTING|CODE_OF_CONDUCT|UPGRADING|SECURITY)[^/]*$"
)

_LIST = r"""
require "json"
Gem.paths = { "GEM_HOME" => ARGV[0], "GEM_PATH" => ARGV[0] }
files = Dir[File.join(ARGV[0], "specifications", "*.gemspec")].sort
specs = files.map { |file| Gem::Specification.load(file) }
puts JSON.generate(specs.compact.map { |spec|
  { name: spec.name, version: spec.version.to_s, licenses: spec.licenses, full_name: spec.full_name,
    dependencies: spec.runtime_dependencies.map(&:name), extensions: spec.extensions.size }
})
"""


class GemsError(Exception):
    """These gems can't be used; the message says why and what would do."""


def gem_home(given: Path, scratch: Path) -> Path:
    """Return a GEM_HOME: `given` itself, or one into which its .gem files were installed.

    Raises GemsError when it is neither or the installation fails.
    """
    if (given / "specifications").is_dir():
        return given
    names = [str(path) for path in sorted(given.glob("*.gem"))]
    if not names:
        raise GemsError("the directory has neither *.gem files nor a GEM_HOME's specifications/")
    _gem("install", "--local", "--force", "--no-document", "--install-dir", str(scratch), *names, cwd=given)
    return scratch


def fetch(output: Path, server: str, others: str, requirement: str) -> None:
    """Install the auditor from CINC's server, and what it needs from there or from RubyGems, as a GEM_HOME.

    The auditor itself comes from `server` alone: under the same name `others` has Chef's build of it.
    Raises GemsError with the last lines of what `gem` said.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _gem(
            "fetch",
            PRODUCTS[0],
            "--version",
            requirement,
            "--clear-sources",
            "--source",
            server,
            cwd=Path(scratch),
        )
        names = [path.name for path in Path(scratch).glob("*.gem")]
        sources = ["--clear-sources", "--source", server, "--source", others]
        _gem("install", *names, *sources, "--no-document", "--install-dir", str(output), cwd=Path(scratch))


def drift(home: Path, pinned: Mapping[str, Package]) -> dict[str, dict[str, str]]:
    """Return the fetched gems that are not of the pinned version, as "gem NAME" → both versions.

    Raises GemsError when one of the pinned version has another content.
    """
    found = {}
    for archive in archives(home):
        pin = pinned.get(archive.name)
        if pin is None or pin.version != archive.version:
            found[f"gem {archive.name}"] = {
                "pinned": pin.version if pin else "",
                "installed": archive.version,
            }
        elif pin.sha256 != archive.sha256:
            raise GemsError(
                f"{archive.name} {archive.version} has SHA-256 {archive.sha256}, pinned is {pin.sha256}"
            )
    return found


def archives(home: Path) -> list[Package]:
    """Return name, version and hash of the .gem files that a GEM_HOME keeps in cache/."""
    found = []
    for path in sorted((home / "cache").glob("*.gem")):
        match = re.fullmatch(r"(.+?)-(\d[^-]*)(-.*)?", path.stem)
        if match:
            found.append(Package(match[1], match[2], "gem", sha256(path)))
    return found


def _gem(*arguments: str, cwd: Path) -> None:
    done = subprocess.run(
        ["gem", *arguments], capture_output=True, text=True, check=False, cwd=cwd, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        reason = [line for line in said if "rror" in line][:3] or said[-3:]
        raise GemsError(f"gem {arguments[0]} failed: {' '.join(reason)[:600]}")


def describe(home: Path) -> list[dict[str, Any]]:
    """Return name, version, licenses, dependencies… of every gem, sorted."""
    done = subprocess.run(
        ["ruby", "--disable=did_you_mean", "-e", _LIST, str(home)], check=True, capture_output=True, text=True
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return sorted(found, key=lambda gem: (gem["name"], gem["version"]))


def product(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the auditor among the gems; GemsError when there is none, or it is one of Chef's builds."""
    by_name = {gem["name"]: gem for gem in found}
    auditor = next((by_name[name] for name in PRODUCTS if name in by_name), None)
    if auditor is None:
        raise GemsError("none of them is CINC Auditor (inspec-core or inspec)")
    major = int(auditor["version"].partition(".")[0])
    if major >= 6 and "chef-licensing" in auditor["dependencies"]:
        raise GemsError(
            f"{auditor['full_name']} is Chef's licensed build (it depends on chef-licensing); "
            "take CINC's gems from rubygems.cinc.sh"
        )
    return auditor


def check_abi(found: list[dict[str, Any]], home: Path, abi: str) -> None:
    """Raise GemsError unless every native extension was built for this Ruby's ABI, e.g. `3.3.0`."""
    built_for = {path.name for path in (home / "extensions").glob("*/*") if path.is_dir()}
    others = sorted(built_for - {abi})
    with_extensions = [gem["full_name"] for gem in found if gem["extensions"]]
    complete = {path.parent.name for path in (home / "extensions").glob(f"*/{abi}/*/gem.build_complete")}
    missing = [name for name in with_extensions if name not in complete]
    if missing:
        built = f"built for Ruby ABI {', '.join(others)}" if others else "not built"
        raise GemsError(
            f"native extensions of {', '.join(missing)} are {built}; the bundle's Ruby has ABI {abi}: "
            f"install the gems with Ruby {abi.rpartition('.')[0]}, or give the .gem files themselves"
        )


def _unused(gem: str, inside: str, abi: str) -> bool:
    """Tell whether a gem's file is never read during an audit."""
    version = "".join(abi.split(".")[:2])
    grammar = re.fullmatch(r"lib/parser/(ruby\d\d|macruby|rubymotion)\.rb", inside)
    if (
        gem.startswith("parser-") and grammar
    ):  # one grammar for each Ruby; only the running one's is asked for
        return grammar[1] != f"ruby{version}"
    return bool(_LEFT_OUT.search(inside))


def copy(home: Path, found: list[dict[str, Any]], abi: str, tree: Tree) -> Iterator[Path]:
    """Copy the gems to gems/ of the tree, yielding every native extension copied."""

    def native(gem: str, inside: str) -> bool:
        """Tell whether extensions/, which RubyGems looks at first, has that file too."""
        return any((home / "extensions").glob(f"*/{abi}/{gem}/{inside}"))

    for gem in sorted({gem["full_name"] for gem in found}):
        tree.copy(home / "specifications" / f"{gem}.gemspec", f"gems/specifications/{gem}.gemspec")
        source = home / "gems" / gem
        for path in files(source):
            inside = str(path.relative_to(source))
            is_copy = path.suffix == ".so" and inside.startswith("lib/") and native(gem, inside[4:])
            if not is_copy and not _unused(gem, inside, abi):
                target = tree.copy(path, f"gems/gems/{gem}/{inside}")
                if elf.is_elf(target):
                    yield target
    for platform in sorted((home / "extensions").glob(f"*/{abi}")):
        place = f"gems/extensions/{platform.parent.name}/{abi}"
        for path in files(platform):
            if path.suffix in {".so", ".rb"} or path.name == "gem.build_complete":
                target = tree.copy(path, f"{place}/{path.relative_to(platform)}")
                if elf.is_elf(target):
                    yield target
