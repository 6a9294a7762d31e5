"""Whose signature is over which image: keys and signatures are openssl's, layouts as cosign describes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.images.saved import Engine, Saved
from tests.images.signing import Pair, SignedLayout, payload
from tests.runtimes.image_builders import digest
from toolkit.cli import program
from toolkit.errors import BarescanError, CallError, ScanError
from toolkit.images import archive, keys, verify
from toolkit.images.verify import Wanted

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to sign with")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path / "ours")


@pytest.fixture
def other(tmp_path: Path) -> Pair:
    return Pair(tmp_path / "theirs")


@pytest.fixture
def layout(tmp_path: Path) -> SignedLayout:
    return SignedLayout(tmp_path / "layout")


def said(caught: pytest.ExceptionInfo[BarescanError]) -> str:
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def engine_image(identity: str, *digests: str) -> Any:
    """What the Docker client knows of an image, as far as it is looked at."""
    return SimpleNamespace(
        id=identity, attrs={"RepoDigests": [f"registry.example/a@{each}" for each in digests]}
    )


# --- keys and files ------------------------------------------------------


@pytest.mark.parametrize("kind", ["p256", "rsa"])
def test_a_file_that_openssl_signed(kind: str, tmp_path: Path) -> None:
    pair = Pair(tmp_path / kind, kind)
    file = write(tmp_path / "file", os.urandom(3 << 20))
    signature = write(tmp_path / "file.sig", pair.sign(file.read_bytes()) + "\n")
    key = keys.read_key(pair.public)
    assert key.fingerprint == f"sha256:{pair.fingerprint()}"
    assert f"sha256:{keys.check_file(file, signature, key)}" == digest(file.read_bytes())
    content = bytearray(file.read_bytes())
    content[1 << 20] ^= 1
    file.write_bytes(content)
    with pytest.raises(ScanError, match="does not sign") as caught:
        keys.check_file(file, signature, key)
    assert key.fingerprint in said(caught)


def test_another_key_is_not_taken(pair: Pair, other: Pair, tmp_path: Path) -> None:
    file = write(tmp_path / "file", "x")
    signature = write(tmp_path / "file.sig", other.sign(b"x"))
    assert keys.check_file(file, signature, keys.read_key(other.public))
    with pytest.raises(ScanError, match=pair.fingerprint()):
        keys.check_file(file, signature, keys.read_key(pair.public))


@pytest.mark.parametrize("kind", ["p384", "rsa1024", "ed25519"])
def test_keys_of_other_kinds_are_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"secp384r1|1024 bits|Ed25519") as caught:
        keys.read_key(Pair(tmp_path / kind, kind).public)
    assert "P-256" in said(caught)


def test_what_is_no_public_key(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="is a private key"):
        keys.read_key(pair.private)
    for content in (b"", b"no key", b"\xff" * 100, pair.public.read_bytes().replace(b"A", b"!")):
        with pytest.raises(CallError, match="no public key in PEM") as caught:
            keys.read_key(write(tmp_path / "key", content))
        assert said(caught)
    with pytest.raises(CallError, match="cannot be read"):
        keys.read_key(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"\n", b"not base64!", b"\xff\xfe", b"0\x82raw DER", b"YWJj=YWJj"])
def test_a_signature_that_is_no_base64(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="no signature in base64") as caught:
        keys.read_signature(write(tmp_path / "sig", content))
    assert "base64 -w0" in said(caught)


def test_a_sigstore_bundle_is_told_from_a_signature(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="Sigstore bundle"):
        keys.read_signature(
            write(tmp_path / "sig", '{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}')
        )


@pytest.mark.parametrize("garbage", [b"x", b"0" * 72, bytes(10_000)])
def test_base64_of_garbage_is_no_signature(garbage: bytes, pair: Pair, tmp_path: Path) -> None:
    signature = write(tmp_path / "sig", base64.b64encode(garbage)[:16000])
    with pytest.raises(ScanError, match="does not sign"):
        keys.check_file(write(tmp_path / "file", "x"), signature, keys.read_key(pair.public))


def test_huge_and_blocking_files_are_not_read(pair: Pair, tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(tmp_path / "pipe")
    for path, complaint in ((tmp_path / "huge", "is larger than"), (tmp_path / "pipe", "not a regular file")):
        for read in (keys.read_key, keys.read_signature):
            with pytest.raises(CallError, match=complaint):
                read(path)
        with pytest.raises(CallError, match=complaint):
            verify.image_signature(
                engine_image(digest(b"")), Wanted(pair.public, write(tmp_path / "s", "YQ=="), path), print
            )


# --- an image in an engine -----------------------------------------------


@pytest.fixture
def signed_files(pair: Pair, tmp_path: Path) -> Wanted:
    """Signature and payload for the image whose manifest is `m`, as `cosign sign --output-…` writes them."""
    content = payload(digest(b"m"), "registry.example/a\x1b[2J")
    signature = write(tmp_path / "image.sig", pair.sign(content))
    return Wanted(pair.public, signature, write(tmp_path / "image.json", content))


def test_an_image_that_was_pulled_by_the_signed_digest(signed_files: Wanted, pair: Pair) -> None:
    image = engine_image(digest(b"config"), digest(b"another"), digest(b"m"))
    lines = verify.image_signature(image, signed_files, print)
    assert pair.fingerprint() in lines[0]
    assert digest(b"m") in lines[1]
    assert r"registry.example/a\\x1b[2J" in lines[2]
    assert "not compared" in lines[2]


def test_a_signature_of_another_image(signed_files: Wanted) -> None:
    with pytest.raises(ScanError, match="of another image") as caught:
        verify.image_signature(engine_image(digest(b"config"), digest(b"n")), signed_files, print)
    assert digest(b"m") in said(caught)
    assert digest(b"n") in said(caught)


def test_a_local_image_has_no_digest_that_could_be_compared(signed_files: Wanted) -> None:
    with pytest.raises(ScanError, match="knows this image by its id only") as caught:
        verify.image_signature(engine_image(digest(b"config")), signed_files, print)
    assert "cosign save" in said(caught)


def test_a_payload_that_was_changed(signed_files: Wanted) -> None:
    assert signed_files.payload
    write(signed_files.payload, payload(digest(b"n")))
    with pytest.raises(ScanError, match="none by the key"):
        verify.image_signature(engine_image(digest(b"config"), digest(b"n")), signed_files, print)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (payload(digest(b"m"), type="atomic container signature"), "of the type 'atomic"),
        (payload("sha256:00"), "the signed digest 'sha256:00' is none"),
        (payload(digest(b"m"), image={}), "no payload of an image signature"),
        (payload(digest(b"m"), image=[digest(b"m")]), "no payload of an image signature"),
        (b"a file", "no payload of an image signature"),
        (b"[" * 500_000, "no payload of an image signature"),
        (b"[]", "no payload of an image signature"),
    ],
)
def test_what_was_signed_must_be_an_image(content: bytes, complaint: str, pair: Pair, tmp_path: Path) -> None:
    """With the right key: a signature over something else must not be taken for one over an image."""
    signature = write(tmp_path / "sig", pair.sign(content))
    wanted = Wanted(pair.public, signature, write(tmp_path / "payload", content))
    with pytest.raises(ScanError, match=complaint) as caught:
        verify.image_signature(engine_image(digest(b"config"), digest(b"m")), wanted, print)
    assert said(caught)


def test_the_id_of_a_loaded_image_is_led_to_the_signed_manifest(pair: Pair, layout: SignedLayout) -> None:
    layout.sign(pair, layout.image(b'{"architecture": "amd64"}'))
    wanted = Wanted(pair.public, layout.path)
    lines = verify.image_signature(engine_image(digest(b'{"architecture": "amd64"}')), wanted, print)
    assert "its id is the configuration" in lines[1]
    with pytest.raises(ScanError, match="of another image"):
        verify.image_signature(engine_image(digest(b"{}")), wanted, print)


def test_an_image_for_several_platforms_is_signed_by_its_index(pair: Pair, layout: SignedLayout) -> None:
    layout.sign(pair, index := layout.index(b'{"architecture": "amd64"}', b'{"architecture": "arm64"}'))
    wanted = Wanted(pair.public, layout.path)
    for architecture in ("amd64", "arm64"):
        image = engine_image(digest(json.dumps({"architecture": architecture}).encode()))
        assert index in verify.image_signature(image, wanted, print)[1]


def test_one_signature_of_several_is_enough(pair: Pair, other: Pair, layout: SignedLayout) -> None:
    image = layout.image()
    layout.sign(other, image)
    layout.sign(pair, digest(b"another image"))
    layout.sign(pair, image)
    assert image in verify.check(layout.path, Wanted(pair.public), print)[1]


# --- a layout by itself --------------------------------------------------


@pytest.mark.parametrize("packed", ["", "w", "w:gz"])
def test_a_layout_is_checked_to_its_last_blob(
    packed: str, pair: Pair, layout: SignedLayout, tmp_path: Path
) -> None:
    layout.sign(pair, image := layout.image(layer=os.urandom(2 << 20)))
    path = layout.path
    if packed:
        path = tmp_path / "layout.tar"
        with tarfile.open(path, packed) as archive_:  # type: ignore[call-overload]
            archive_.add(layout.path, ".")
    lines = verify.check(path, Wanted(pair.public), print)
    assert image in lines[1]
    assert "3 blobs" in lines[1]


@pytest.mark.parametrize("what", ["layer", "config", "manifest", "signature", "payload"])
def test_a_blob_that_was_changed_is_found(what: str, pair: Pair, layout: SignedLayout) -> None:
    image = layout.image(b"{}", b"a layer")
    layout.sign(pair, image)
    signature = str(layout.entries[-1]["digest"])
    blobs = {
        "layer": digest(b"a layer"),
        "config": digest(b"{}"),
        "manifest": image,
        "signature": signature,
        "payload": digest(payload(image)),
    }
    path = layout.path / "blobs" / blobs[what].replace(":", "/")
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ScanError, match="not what its digest says") as caught:
        verify.check(layout.path, Wanted(pair.public), print)
    assert blobs[what] in said(caught)


def test_a_blob_that_is_missing_or_longer_than_said(pair: Pair, layout: SignedLayout) -> None:
    layout.sign(pair, layout.image())
    path = layout.path / "blobs" / digest(b"a layer").replace(":", "/")
    path.write_bytes(b"a layer and more")
    with pytest.raises(ScanError, match="not what its digest says"):
        verify.check(layout.path, Wanted(pair.public), print)
    path.unlink()
    with pytest.raises(ScanError, match="lacks"):
        verify.check(layout.path, Wanted(pair.public), print)


def test_an_image_beside_the_signed_one_is_not_covered(pair: Pair, layout: SignedLayout) -> None:
    layout.sign(pair, layout.image())
    other_image = layout.image(b'{"evil": true}')
    with pytest.raises(ScanError, match="holds the image") as caught:
        verify.check(layout.path, Wanted(pair.public), print)
    assert other_image in said(caught)


def test_a_layout_without_signature_or_with_another_s(pair: Pair, other: Pair, layout: SignedLayout) -> None:
    image = layout.image()
    with pytest.raises(ScanError, match="no signature beside the image"):
        verify.check(layout.path, Wanted(pair.public), print)
    layout.sign(other, image)
    with pytest.raises(ScanError, match="1 signature, none by the key"):
        verify.check(layout.path, Wanted(pair.public), print)


def test_signatures_may_be_elsewhere(pair: Pair, layout: SignedLayout, tmp_path: Path) -> None:
    image = layout.image()
    elsewhere = SignedLayout(tmp_path / "signatures")
    elsewhere.sign(pair, image)
    assert image in verify.check(layout.path, Wanted(pair.public, elsewhere.path), print)[1]
    content = payload(image)
    files = (write(tmp_path / "s", pair.sign(content)), write(tmp_path / "p", content))
    assert image in verify.check(layout.path, Wanted(pair.public, *files), print)[1]


def test_a_layout_made_to_exhaust(pair: Pair, layout: SignedLayout) -> None:
    image = layout.image()
    many = [layout.blob(b"%d" % number, "text/plain") for number in range(1001)]
    layout.listed(layout.manifest(b"{}", many), "image")
    with pytest.raises(ScanError, match="more than 1000"):
        verify.check(layout.path, Wanted(pair.public), print)
    layout.entries.clear()
    for number in range(101):
        layout.sign(pair, image, payload(image, str(number)))
    with pytest.raises(ScanError, match="more than 100 signatures"):
        verify.check(layout.path, Wanted(pair.public), print)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"manifests": [{"digest": "sha256:zz", "size": 1}]}'])
def test_an_index_that_is_none(content: str, pair: Pair, layout: SignedLayout) -> None:
    (layout.path / "index.json").write_text(content)
    with pytest.raises(ScanError) as caught:
        verify.check(layout.path, Wanted(pair.public), print)
    assert said(caught)


# --- an archive of images.save -------------------------------------------


@pytest.fixture
def packed(saved: Saved, tmp_path: Path) -> Path:
    engine: Any = Engine({"small:1": saved.archive()})
    archive.save(engine, ["small:1"], [], tmp_path / "barescan.tar.gz", print)
    return tmp_path / "barescan.tar.gz"


def test_an_archive_that_was_signed_as_a_file(packed: Path, pair: Pair, tmp_path: Path) -> None:
    wanted = Wanted(pair.public, write(tmp_path / "sig", pair.sign(packed.read_bytes())))
    lines = verify.check(packed, wanted, print)
    assert pair.fingerprint() in lines[0]
    assert "image small:1" in lines
    assert digest(packed.read_bytes()) in lines[-1]
    assert "no signature was checked" in verify.check(packed, Wanted(), print)[0]


def test_nothing_is_unpacked_of_an_archive_by_somebody_else(
    packed: Path, pair: Pair, other: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted(pair.public, write(tmp_path / "sig", other.sign(packed.read_bytes())))
    monkeypatch.setattr(archive, "check", lambda *_: pytest.fail("it was looked into"))
    with pytest.raises(ScanError, match="does not sign"):
        verify.check(packed, wanted, print)


# --- the command line ----------------------------------------------------


def barescan(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    status = 0
    try:
        program.run(["barescan", *map(str, arguments)])
    except SystemExit as ended:
        status = int(ended.code or 0)
    out, err = capsys.readouterr()
    return status, out, " ".join(err.split())


def test_images_verify_tells_what_was_checked(
    pair: Pair, layout: SignedLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    layout.sign(pair, image := layout.image())
    status, out, err = barescan(capsys, "images.verify", "--file", layout.path, "--key", pair.public)
    assert status == 0, err
    assert f"sha256:{pair.fingerprint()} (ECDSA P-256)" in out
    assert image in out
    assert "'registry.example/team/auditor'" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["images.verify", "--signature", "s"], "no key was named"),
        (["images.verify", "--key", "k", "--payload", "p"], "a payload was named without its signature"),
        (["images.verify", "--file", "f", "--tag", "t"], "two things to check"),
        (["images.verify", "--file", "/nowhere"], "there is no /nowhere"),
        (["images.load", "--file", "f", "--signature", "s"], "no key was named"),
        (["images.load", "--file", "f", "--key", "/nowhere"], "cannot be read"),
    ],
)
def test_half_a_wish_is_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever names a signature must never get an answer that did not look at it."""
    status, _out, err = barescan(capsys, *arguments)
    assert status == 1
    assert complaint in err


def test_images_load_loads_nothing_that_is_not_signed(
    packed: Path,
    pair: Pair,
    other: Pair,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine({})
    monkeypatch.setattr("toolkit.cli_images._engine", lambda _kind: engine)
    load: list[str | Path] = ["images.load", "--file", packed, "--key", pair.public, "--signature"]
    signature = write(tmp_path / "sig", other.sign(packed.read_bytes()))
    status, _out, err = barescan(capsys, *load, signature)
    assert status == 2
    assert "does not sign" in err
    assert engine.loaded == []
    write(signature, pair.sign(packed.read_bytes()))
    status, _out, err = barescan(capsys, *load, signature, "--sha256", "0" * 64)
    assert status == 2
    assert "not the expected one" in err
    assert engine.loaded == []
    status, out, err = barescan(capsys, *load, signature)
    assert status == 0, err
    assert pair.fingerprint() in out
    assert len(engine.loaded) == 1
