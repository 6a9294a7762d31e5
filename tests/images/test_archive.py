"""The archive for machines without a registry: there and back, damaged, tampered with."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.images.saved import Engine, Member, Saved, member
from toolkit.errors import CallError, ScanError
from toolkit.images import archive

NEEDS_ZSTD = pytest.mark.skipif(not shutil.which("zstd"), reason="needs zstd")
NAMES = ["a.tar", "a.tar.gz", pytest.param("a.tar.zst", marks=NEEDS_ZSTD)]


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    place = tmp_path / "profiles" / "one"
    (place / "controls").mkdir(parents=True)
    (place / "inspec.yml").write_text("name: one\n")
    (place / "controls" / "a.rb").write_text("control 'a' do; end\n")
    return place


@pytest.fixture
def engine(saved: Saved) -> Engine:
    return Engine({"small:1": saved.archive()})


def save(engine: Engine, profile: Path, file: Path) -> str:
    return archive.save(engine, ["small:1"], [profile], file, print, level=1)  # type: ignore[arg-type]


def load(engine: Engine, file: Path, **options) -> archive.Loaded:
    return archive.load(engine, file, print, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back(name, engine, profile, tmp_path):
    digest = save(engine, profile, tmp_path / name)
    loaded = load(engine, tmp_path / name, expected=digest.upper(), profiles=tmp_path / "there")
    assert loaded.images == ("small:1",)
    assert loaded.sha256 == digest == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert engine.loaded == [engine.saved["small:1"]]
    assert (tmp_path / "there/one/controls/a.rb").read_text() == "control 'a' do; end\n"


def test_the_same_content_gives_the_same_archive(engine, profile, tmp_path):
    assert save(engine, profile, tmp_path / "a.tar.gz") == save(engine, profile, tmp_path / "b.tar.gz")


def test_the_checksums_can_be_checked_without_barescan(engine, profile, tmp_path):
    save(engine, profile, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as packed:
        packed.extractall(tmp_path / "x", filter="data")
    for line in (tmp_path / "x/SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "x" / name).read_bytes()).hexdigest() == digest


def members(file: Path) -> list[Member]:
    with tarfile.open(file) as packed:
        return [(each, _content(packed, each)) for each in packed]


def _content(packed: tarfile.TarFile, about: tarfile.TarInfo) -> bytes:
    file = packed.extractfile(about) if about.isreg() else None
    return file.read() if file else b""


def pack(file: Path, content: list[Member]) -> None:
    with tarfile.open(file, "w") as packed:
        for about, data in content:
            packed.addfile(about, io.BytesIO(data))


def changed_profile(content: list[Member]) -> list[Member]:
    return [member(a.name, b"evil") if a.name.endswith("a.rb") else (a, d) for a, d in content]


def changed_image(content: list[Member]) -> list[Member]:
    return [
        (a, d[:-100] + b"x" + d[-99:]) if a.name.startswith("images/") and d else (a, d) for a, d in content
    ]


def missing_image(content: list[Member]) -> list[Member]:
    return [(a, d) for a, d in content if not a.name.endswith(".tar")]


def more_than_listed(content: list[Member]) -> list[Member]:
    return [*content, member("profiles/one/evil.rb", b"evil")]


def twice(content: list[Member]) -> list[Member]:
    return [*content, content[-1]]


def outside(content: list[Member]) -> list[Member]:
    return relist(content, "../evil", b"evil")


def at_the_root(content: list[Member]) -> list[Member]:
    return relist(content, "/tmp/evil", b"evil")


def as_a_link(content: list[Member]) -> list[Member]:
    link = tarfile.TarInfo("profiles/one/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return relist(content, link.name, b"", (link, b""))


def relist(content: list[Member], name: str, data: bytes, extra: Member | None = None) -> list[Member]:
    """Add a file and list it in the manifest, as somebody would who can change both."""
    manifest = json.loads(content[0][1])
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return [
        member(archive.MANIFEST, json.dumps(manifest).encode()),
        *content[1:],
        extra or member(name, data),
    ]


def bomb(content: list[Member]) -> list[Member]:
    return rewritten(content, lambda m: m["files"].update(x={"sha256": "", "size": 1 << 50}))


def other_labels(content: list[Member]) -> list[Member]:
    return rewritten(content, lambda m: m["images"][0]["labels"].clear())


def other_id(content: list[Member]) -> list[Member]:
    return rewritten(content, lambda m: m["images"][0].update(id="sha256:0"))


def no_manifest(content: list[Member]) -> list[Member]:
    return content[1:]


def broken_manifest(content: list[Member]) -> list[Member]:
    return [member(archive.MANIFEST, b"{"), *content[1:]]


def manifest_of_another_shape(content: list[Member]) -> list[Member]:
    return [member(archive.MANIFEST, b'{"format": 1, "files": []}'), *content[1:]]


def newer_format(content: list[Member]) -> list[Member]:
    return rewritten(content, lambda m: m.update(format=99))


def rewritten(content: list[Member], change) -> list[Member]:
    manifest = json.loads(content[0][1])
    change(manifest)
    return [member(archive.MANIFEST, json.dumps(manifest).encode()), *content[1:]]


@pytest.mark.parametrize(
    "change",
    [
        changed_profile,
        changed_image,
        missing_image,
        more_than_listed,
        twice,
        outside,
        at_the_root,
        as_a_link,
        bomb,
        other_labels,
        other_id,
        no_manifest,
        broken_manifest,
        manifest_of_another_shape,
        newer_format,
    ],
)
def test_a_changed_archive_is_refused_and_nothing_is_loaded(change, engine, profile, tmp_path):
    save(engine, profile, tmp_path / "a.tar")
    pack(tmp_path / "b.tar", change(members(tmp_path / "a.tar")))
    with pytest.raises((ScanError, CallError)):
        load(engine, tmp_path / "b.tar", profiles=tmp_path / "there")
    assert engine.loaded == []
    assert not (tmp_path / "there").exists()
    assert not Path("/tmp/evil").exists()


@pytest.mark.parametrize("name", NAMES)
def test_half_an_archive_is_refused(name, engine, profile, tmp_path):
    save(engine, profile, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ScanError):
        load(engine, tmp_path / name)
    assert engine.loaded == []


def test_an_image_whose_labels_lie_is_refused_even_with_fitting_checksums(saved, profile, tmp_path):
    good = Engine({"small:1": saved.archive()})
    save(good, profile, tmp_path / "a.tar")
    saved.replace("barescan/bin/sh", b"#?")
    evil = saved.archive()

    def swap(content: list[Member]) -> list[Member]:
        place = next(a.name for a, _ in content if a.name.startswith("images/") and a.isreg())
        manifest = json.loads(content[0][1])
        manifest["files"][place] = {"sha256": hashlib.sha256(evil).hexdigest(), "size": len(evil)}
        manifest["images"][0]["id"] = "sha256:" + hashlib.sha256(_config(evil)).hexdigest()
        rest = [member(place, evil) if a.name == place else (a, d) for a, d in content[1:]]
        return [member(archive.MANIFEST, json.dumps(manifest).encode()), *rest]

    pack(tmp_path / "b.tar", swap(members(tmp_path / "a.tar")))
    with pytest.raises(ScanError, match="bin/sh has SHA-256"):
        load(good, tmp_path / "b.tar")
    assert good.loaded == []


def _config(image: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(image)) as packed:
        return _content(packed, packed.getmember("c.json"))


def test_the_archive_must_be_the_one_that_was_sent(engine, profile, tmp_path):
    save(engine, profile, tmp_path / "a.tar")
    with pytest.raises(ScanError, match="not the expected one"):
        load(engine, tmp_path / "a.tar", expected="0" * 64)
    assert engine.loaded == []


def test_an_image_for_another_architecture_is_refused(engine, profile, tmp_path):
    save(engine, profile, tmp_path / "a.tar")
    other = Engine({}, architecture="arm64")
    with pytest.raises(ScanError, match="for amd64, this engine runs arm64"):
        load(other, tmp_path / "a.tar")
    assert other.loaded == []


def test_an_engine_that_takes_something_else_from_the_archive_does_not_keep_it(engine, profile, tmp_path):
    save(engine, profile, tmp_path / "a.tar")
    engine.found = [SimpleNamespace(id="sha256:evil", attrs={"RootFS": {"Layers": ["sha256:x"]}}, labels={})]
    with pytest.raises(ScanError, match="another image than was checked"):
        load(engine, tmp_path / "a.tar")
    assert engine.removed == ["sha256:evil"]


def test_profiles_that_are_there_are_not_overwritten(engine, profile, tmp_path):
    save(engine, profile, tmp_path / "a.tar")
    with pytest.raises(CallError, match="already there"):
        load(engine, tmp_path / "a.tar", profiles=profile.parent)
    assert engine.loaded == []


def test_a_save_that_fails_leaves_what_was_there(engine, profile, tmp_path):
    (tmp_path / "a.tar").write_text("precious")
    with pytest.raises(ScanError, match="has no image"):
        archive.save(engine, ["none:1"], [], tmp_path / "a.tar", print)
    with pytest.raises(CallError, match="how to compress"):
        save(engine, profile, tmp_path / "a.zip")
    with pytest.raises(ScanError, match="could not be written"):
        save(engine, profile, tmp_path / "nowhere" / "a.tar")
    assert (tmp_path / "a.tar").read_text() == "precious"
    assert not list(tmp_path.glob(".*.part"))


def test_an_image_of_another_kind_is_carried_too(tmp_path, saved):
    saved.labels = {}
    engine = Engine({"other:1": saved.archive("other:1")})
    archive.save(engine, ["other:1"], [], tmp_path / "a.tar", print)  # type: ignore[arg-type]
    assert load(engine, tmp_path / "a.tar").images == ("other:1",)


def test_a_file_that_is_exchanged_after_its_hash_was_taken_is_not_loaded(
    engine, profile, tmp_path, monkeypatch
):
    """Somebody who may write where the file is waits for the check to be over."""
    digest = save(engine, profile, tmp_path / "a.tar")
    original = engine.saved["small:1"]
    save(Engine({"small:1": Saved(tmp_path / "other").archive("evil:1")}), profile, tmp_path / "evil.tar")
    really_unpack = archive._unpack

    def exchange_and_unpack(copy, file, tree):
        shutil.copyfile(tmp_path / "evil.tar", file)
        return really_unpack(copy, file, tree)

    monkeypatch.setattr(archive, "_unpack", exchange_and_unpack)
    assert load(engine, tmp_path / "a.tar", expected=digest).images == ("small:1",)
    assert engine.loaded == [original]
    with pytest.raises(ScanError, match="not the expected one"):
        load(engine, tmp_path / "a.tar", expected=digest)


def test_a_file_larger_than_any_archive_is_not_copied(engine, tmp_path):
    with (tmp_path / "a.tar").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ScanError, match="larger than any"):
        load(engine, tmp_path / "a.tar")
