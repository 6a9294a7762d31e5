"""Building for real, in the cached root: the same tree every time, gems of all kinds, nothing left."""

from __future__ import annotations

import gzip
import io
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from toolkit.bundle import build
from toolkit.bundle.build import Builder, Bundle
from toolkit.bundle.tree import digest
from toolkit.errors import CallError

pytestmark = [pytest.mark.bundle, pytest.mark.root, pytest.mark.slow]

METADATA = """\
--- !ruby/object:Gem::Specification
name: {name}
version: !ruby/object:Gem::Version
  version: '{version}'
platform: ruby
authors: [nobody]
date: 2025-01-01 00:00:00.000000000 Z
dependencies: {dependencies}
executables: []
extensions: []
extra_rdoc_files: []
files: [lib/{name}.rb]
licenses: [Apache-2.0]
metadata: {{}}
require_paths: [lib]
required_ruby_version: !ruby/object:Gem::Requirement
  requirements: [[">=", !ruby/object:Gem::Version {{version: '0'}}]]
required_rubygems_version: !ruby/object:Gem::Requirement
  requirements: [[">=", !ruby/object:Gem::Version {{version: '0'}}]]
rubygems_version: 3.6.7
specification_version: 4
summary: a test's
"""

LICENSING = """
- !ruby/object:Gem::Dependency
  name: chef-licensing
  requirement: !ruby/object:Gem::Requirement
    requirements: [[">=", !ruby/object:Gem::Version {version: '0'}]]
  type: :runtime
  prerelease: false
  version_requirements: !ruby/object:Gem::Requirement
    requirements: [[">=", !ruby/object:Gem::Version {version: '0'}]]"""


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add one file to a tar archive."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_gem(directory: Path, name: str, version: str, dependencies: str = "[]") -> None:
    """Write a .gem file (RubyGems' package format: a tar of metadata.gz and data.tar.gz)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as inner:
        add(inner, f"lib/{name}.rb", b"# nothing\n")
    metadata = METADATA.format(name=name, version=version, dependencies=dependencies).encode()
    with tarfile.open(directory / f"{name}-{version}.gem", "w") as outer:
        add(outer, "metadata.gz", gzip.compress(metadata))
        add(outer, "data.tar.gz", data.getvalue())


@pytest.fixture
def cache(tmp_path: Path, bundle: Bundle) -> Path:
    """Return a cache with nothing but the root, which the real one lends."""
    real = Builder(build.cache_directory(), None, print, locked=False)
    if not real.root.exists():
        real._make([(real.root, real._make_root)])
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / real.root.name).symlink_to(real.root)
    assert bundle.path.exists()
    return tmp_path / "cache"


def test_two_builds_are_identical(cache: Path, tmp_path: Path) -> None:
    one = Builder(cache, None, print, locked=False).bundle()
    first = digest(one.path)
    one.path.rename(tmp_path / "first")
    Builder(cache, None, print, locked=False).base.rename(tmp_path / "base")
    two = Builder(cache, None, print, locked=False).bundle()
    assert digest(two.path) == first


def test_gem_files_are_installed(cache: Path, tmp_path: Path) -> None:
    given = tmp_path / "gems"
    given.mkdir()
    write_gem(given, "inspec-core", "5.22.9")
    write_gem(given, "other", "1.0")
    found = Builder(cache, given, print, locked=False).bundle()
    assert found.manifest["engines"]["cinc"] == {"product": "inspec-core", "version": "5.22.9"}
    assert (found.path / "gems" / "gems" / "other-1.0" / "lib" / "other.rb").exists()
    assert (found.path / "bin" / "ruby").exists()


def test_chefs_licensed_build_is_refused(cache: Path, tmp_path: Path) -> None:
    given = tmp_path / "gems"
    given.mkdir()
    write_gem(given, "inspec-core", "6.8.1", LICENSING)
    with pytest.raises(CallError, match=r"inspec-core-6\.8\.1 is Chef's licensed build"):
        Builder(cache, given, print, locked=False).bundle()
    assert not list(cache.glob("bundle-*"))
    assert not list(cache.glob(".new-*"))


def test_interrupt_leaves_nothing_behind(cache: Path) -> None:
    script = """
import pathlib, signal, sys
from toolkit.bundle.build import Builder

signal.signal(signal.SIGINT, signal.default_int_handler)
Builder(pathlib.Path(sys.argv[1]), None, lambda line: print(line, flush=True), locked=False).bundle()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(cache)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(build.__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "copying SCAP content" in line:
                process.send_signal(signal.SIGINT)
                break
        assert process.wait(20) != 0
    names = {path.name.partition("-")[0] for path in cache.iterdir()}
    assert names <= {"root", "build", "lock"}
    assert str(cache) not in Path("/proc/self/mountinfo").read_text()
    assert not [path for path in Path("/proc").glob("[0-9]*") if str(cache) in command_line(path)]


def command_line(process: Path) -> str:
    """Return a process's command line, "" when it is gone."""
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
