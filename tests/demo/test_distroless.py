"""The roots against what Google's own structure tests and build files say of the images."""

from __future__ import annotations

import hashlib
import re
import stat
from pathlib import Path

import pytest

from toolkit.demo import distroless
from toolkit.errors import CallError, ScanError

pytestmark = [pytest.mark.root, pytest.mark.slow]

PACKAGES = {
    ("static", "bookworm"): {"base-files", "netbase", "tzdata", "media-types", "ca-certificates"},
    ("static", "trixie"): {
        "base-files",
        "netbase",
        "tzdata",
        "tzdata-legacy",
        "media-types",
        "ca-certificates",
    },
}
PACKAGES["base", "bookworm"] = PACKAGES["static", "bookworm"] | {"libc6", "libssl3"}
PACKAGES["base", "trixie"] = PACKAGES["static", "trixie"] | {"libc6", "libssl3t64", "libzstd1", "zlib1g"}


@pytest.fixture(scope="module", params=sorted(PACKAGES), ids="-".join)
def image(request: pytest.FixtureRequest) -> tuple[str, str, Path]:
    variant, suite = request.param
    return variant, suite, distroless.assemble(variant, suite=suite)


def test_users_and_groups_are_those_of_the_image(image: tuple[str, str, Path]) -> None:
    root = image[2]
    assert (root / "etc/passwd").read_text() == (
        "root:x:0:0:root:/root:/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
        "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
    )
    assert (
        root / "etc/group"
    ).read_text() == "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n"
    assert not (root / "etc/shadow").exists()


@pytest.mark.parametrize(
    ("path", "owner", "mode"),
    [
        ("", 0, 0o755),
        ("root", 0, 0o700),
        ("home", 0, 0o755),
        ("home/nonroot", 65532, 0o700),
        ("tmp", 0, 0o1777),
        ("etc/passwd", 0, 0o644),
        ("etc/ssl/certs/ca-certificates.crt", 0, 0o555),
        ("usr/lib/os-release", 0, 0o555),
        ("app", 0, 0o755),
    ],
)
def test_owners_and_modes_are_those_of_the_image(
    image: tuple[str, str, Path], path: str, owner: int, mode: int
) -> None:
    status = (image[2] / path).lstat()
    assert (status.st_uid, status.st_gid, oct(stat.S_IMODE(status.st_mode))) == (owner, owner, oct(mode))


def test_release_is_distroless_of_the_suite(image: tuple[str, str, Path]) -> None:
    _, suite, root = image
    version = {"bookworm": "12", "trixie": "13"}[suite]
    assert (root / "etc/os-release").readlink() == Path("../usr/lib/os-release")
    text = (root / "etc/os-release").read_text()
    assert 'PRETTY_NAME="Distroless"\n' in text
    assert f'\nVERSION="Debian GNU/Linux {version} ({suite})"\n' in text


def test_every_package_has_both_records_and_dpkg_has_none(image: tuple[str, str, Path]) -> None:
    variant, suite, root = image
    records = {path.name for path in (root / "var/lib/dpkg/status.d").iterdir()}
    expected = PACKAGES[variant, suite]
    assert records == expected | {f"{name}.md5sums" for name in expected}
    for name in expected:
        text = (root / "var/lib/dpkg/status.d" / name).read_text()
        assert text.startswith(f"Package: {name}\n")
    assert not (root / "var/lib/dpkg/status").exists()


def test_files_are_what_their_packages_installed_but_for_the_two_known_exceptions(
    image: tuple[str, str, Path],
) -> None:
    root = image[2]
    different, absent = set(), set()
    for record in (root / "var/lib/dpkg/status.d").glob("*.md5sums"):
        for line in record.read_text().splitlines():
            digest, name = line.split("  ", 1)
            file = root / name
            if not file.exists():
                absent.add(record.stem)
            elif hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() != digest:
                different.add(name)
    assert different == {"usr/lib/os-release"}
    assert absent == {"ca-certificates"}


def test_certificates_are_one_bundle_of_whole_certificates(image: tuple[str, str, Path]) -> None:
    text = (image[2] / "etc/ssl/certs/ca-certificates.crt").read_text()
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n", text)
    assert "".join(blocks) == text
    assert len(blocks) > 100


def test_there_is_neither_shell_nor_package_manager_nor_setuid_file(image: tuple[str, str, Path]) -> None:
    names = {path.name for path in image[2].rglob("*") if path.is_file()}
    assert names.isdisjoint({"sh", "bash", "dash", "busybox", "dpkg", "apt-get", "perl", "ldconfig"})
    files = (path.lstat().st_mode for path in image[2].rglob("*") if not path.is_symlink())
    assert not [mode for mode in files if stat.S_ISREG(mode) and mode & 0o6000]


def test_trixie_is_merged_and_bookworm_is_not(image: tuple[str, str, Path]) -> None:
    assert (image[2] / "lib").is_symlink() == (image[1] == "trixie")


def test_timezones_and_media_types_are_there(image: tuple[str, str, Path]) -> None:
    assert (image[2] / "usr/share/zoneinfo/Europe/Berlin").read_bytes().startswith(b"TZif")
    assert "application/json" in (image[2] / "etc/mime.types").read_text()


def test_nothing_means_nothing_but_the_program() -> None:
    root = distroless.assemble("nothing")
    assert [path.name for path in root.rglob("*")] == ["app"]


def test_second_assembly_comes_from_the_cache() -> None:
    first = distroless.assemble("static")
    before = first.stat().st_ctime_ns
    said: list[str] = []
    assert distroless.assemble("static", said.append) == first
    assert first.stat().st_ctime_ns == before
    assert said == []


def test_unknown_variant_names_the_known_ones() -> None:
    with pytest.raises(CallError, match=r"static, base, nothing") as caught:
        distroless.assemble("fat")  # type: ignore[arg-type]
    assert caught.value.status == 1


def test_missing_compiler_is_said_with_the_package_that_brings_it(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_more: None)
    with pytest.raises(ScanError, match=r"gcc is not installed → apt-get install gcc libc6-dev"):
        distroless.assemble("nothing")
