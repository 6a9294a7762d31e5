"""The cache of bundles: whole or absent, one builder at a time, and words for what is missing."""

from __future__ import annotations

import json
import os
import platform
import shutil
import threading
import time
from pathlib import Path

import pytest

from toolkit.bundle import build, namespaces, sources
from toolkit.bundle.build import Builder, ensure_bundle, load
from toolkit.errors import CallError, ScanError


def manifest(**changes: object) -> str:
    """Return a manifest for this machine."""
    return json.dumps({"format": 1, "architecture": platform.machine(), "drift": {}, "engines": {}} | changes)


class Pretender(Builder):
    """Makes stages in no time, and counts them."""

    made: list[str]
    breaks_at = ""

    def _make_root(self, tree: Path) -> None:
        self._note("root", tree)

    def _make_base(self, tree: Path) -> None:
        self._note("base", tree)

    def _make_final(self, tree: Path) -> None:
        (tree / "bundle.json").write_text(manifest())
        self._note("final", tree)

    def _note(self, stage: str, tree: Path) -> None:
        (tree / stage).touch()
        time.sleep(0.02)
        if self.breaks_at == stage:
            raise KeyboardInterrupt
        self.made.append(stage)


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `require` pass: nothing here needs privileges."""
    monkeypatch.setattr(build, "require", lambda *_: None)


def builder(cache: Path, made: list[str], lines: list[str] | None = None) -> Pretender:
    """Return a builder whose stages are noted in `made`."""
    pretender = Pretender(cache, None, (lines if lines is not None else []).append, locked=False)
    pretender.made = made
    return pretender


def test_each_stage_is_made_once(tmp_path: Path) -> None:
    made: list[str] = []
    first = builder(tmp_path, made).bundle()
    second = builder(tmp_path, made).bundle()
    assert made == ["root", "base", "final"]
    assert first == second
    assert first.path.parent == tmp_path


def test_builders_at_the_same_time_make_it_once(tmp_path: Path) -> None:
    made: list[str] = []
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(builder(tmp_path, made).bundle().path)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["root", "base", "final"]
    assert len(found) == 6
    assert len(set(found)) == 1


@pytest.mark.parametrize("stage", ["root", "base", "final"])
def test_interrupted_build_leaves_nothing_half_made(tmp_path: Path, stage: str) -> None:
    made: list[str] = []
    broken = builder(tmp_path, made)
    broken.breaks_at = stage
    with pytest.raises(KeyboardInterrupt):
        broken.bundle()
    assert list(tmp_path.glob(".new-*")) == []
    assert not broken.final.exists()
    assert builder(tmp_path, made).bundle().path == broken.final
    assert made == ["root", "base", "final"]


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".new-killed" / "tree").mkdir(parents=True)
    builder(tmp_path, []).bundle()
    assert list(tmp_path.glob(".new-*")) == []


def test_what_nobody_uses_leaves_the_cache(tmp_path: Path) -> None:
    long_ago = time.time() - (build.KEEP_DAYS + 1) * 86400
    names = ["bundle-old", "bundle-new", "root-1", "root-2", "root-3"]
    for age, name in enumerate(names):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (long_ago + age,) * 2)
    os.utime(tmp_path / "bundle-new")
    builder(tmp_path, []).bundle()
    assert [name for name in names if (tmp_path / name).exists()] == ["bundle-new", "root-2", "root-3"]


def test_keys_follow_what_goes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gems = tmp_path / "gems"
    gems.mkdir()
    plain = Builder(tmp_path, None, print, locked=False)
    with_gems = Builder(tmp_path, gems, print, locked=False)
    assert plain.root == with_gems.root
    assert plain.base != with_gems.base
    own = tmp_path / "own"
    shutil.copytree(sources.HERE, own)
    monkeypatch.setattr(sources, "HERE", own)
    assert Builder(tmp_path, None, print, locked=False).final == plain.final
    (own / "view").mkdir(exist_ok=True)
    (own / "view" / "new.c").write_text("int x;\n")
    changed = Builder(tmp_path, None, print, locked=False)
    assert (changed.root, changed.base) == (plain.root, plain.base)
    assert changed.final != plain.final
    with (own / "sbom.py").open("a") as file:
        file.write("# changed\n")
    described = Builder(tmp_path, None, print, locked=False)
    assert (described.base, described.final == changed.final) == (plain.base, False)
    with (own / "rewrites.py").open("a") as file:
        file.write("# changed\n")
    assert Builder(tmp_path, None, print, locked=False).base != plain.base


def test_locked_refuses_a_bundle_with_drift(tmp_path: Path) -> None:
    wish = Builder(tmp_path, None, print, locked=True)
    wish.final.mkdir(parents=True)
    (wish.final / "bundle.json").write_text(manifest(drift={"bash": {"pinned": "1", "installed": "2"}}))
    with pytest.raises(ScanError, match="no longer has the pinned version of bash"):
        wish.bundle()


def test_finished_bundle_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bundle.json").write_text(manifest())
    monkeypatch.setenv("BARESCAN_BUNDLE", str(tmp_path))
    assert ensure_bundle(progress=print).path == tmp_path


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (None, "holds no bundle"),
        ("{", "holds no bundle"),
        (manifest(format=99), "has format 99"),
        (manifest(architecture="pdp11"), "is for pdp11"),
    ],
)
def test_unusable_bundle_is_named(tmp_path: Path, text: str | None, cause: str) -> None:
    if text is not None:
        (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(CallError, match=cause):
        load(tmp_path)


def test_gems_must_be_a_directory(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="is no directory of gems"):
        ensure_bundle(tmp_path / "nothing", progress=print, cache=tmp_path)


def test_silent_gem_server_is_asked_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def silent(url: str) -> bool:
        asked.append(url)
        return False

    monkeypatch.setattr(build, "answers", silent)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    lines: list[str] = []
    for _ in range(2):
        assert builder(tmp_path, [], lines).fetched_gems() is None
    assert asked == [build.GEM_SERVER]
    assert lines == [f"no gems are given and {build.GEM_SERVER} does not answer: without the InSpec engine"]
    yesterday = time.time() - build.ASK_AGAIN - 1
    os.utime(tmp_path / "gems-server-silent", (yesterday, yesterday))
    builder(tmp_path, [], lines).fetched_gems()
    assert len(asked) == 2


def test_unreachable_server_does_not_answer() -> None:
    assert not build.answers("http://127.0.0.1:9/")


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "mmdebstrap" else f"/usr/bin/{name}")
    with pytest.raises(ScanError) as caught:
        namespaces.require("building", {"mmdebstrap": "mmdebstrap"}, {tmp_path / "keyring": "some-keyring"})
    assert (
        str(caught.value)
        == "building needs mmdebstrap some-keyring → apt-get install mmdebstrap some-keyring"
    )


def test_without_root_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ScanError, match=r"needs root on Linux → run it with sudo, or .* BARESCAN_BUNDLE"):
        namespaces.require("building")
