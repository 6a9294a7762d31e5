"""Tasks about the auditor image: `images.build`, `save`, `load`, `verify`, `list`, `push`.

What speaks to an engine is imported by the tasks that use it: the engine's client takes 0.2 s to load.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Collection, Context

from toolkit import auditor
from toolkit.bundle import build as bundles
from toolkit.cli_base import console, say, task
from toolkit.errors import CallError, ScanError
from toolkit.reports.text import visible

if TYPE_CHECKING:
    import docker

    from toolkit.images.verify import Wanted

_ENGINES = ("docker", "podman")
_TAG_HELP = f"name of the image (default: {auditor.IMAGE})"
_ENGINE_HELP = f"one of {', '.join(_ENGINES)}"
_KEY_HELP = "public key in PEM, such as cosign.pub: ECDSA on P-256, or RSA of 2048 bits or more"
_PROFILES = Path(__file__).parent.parent / "profiles"


def _engine(kind: str) -> docker.DockerClient:
    from toolkit.dockers import connect

    if kind not in _ENGINES:
        raise CallError(f"there is no engine {kind!r}", f"write --engine with one of {', '.join(_ENGINES)}")
    return connect(kind)


def _tell(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


@task(
    name="build",
    help={
        "kind": "auditor, or cli for an image of barescan itself (which needs network)",
        "gems": "directory of CINC Auditor's gems (default: BARESCAN_GEMS; without any: CINC's gem server)",
        "tag": f"what to call it (default: {auditor.IMAGE}; for cli: barescan)",
        "with-network": "let the engine run the whole Dockerfile, with a base image and network",
        "base": "base image of those stages, by name or digest",
        "network": "network mode of those stages, such as host",
        "gem-server": "where those stages fetch CINC Auditor; `none` for an image with OpenSCAP only",
        "cinc-version": "which versions of CINC Auditor those stages may fetch, such as '~> 5.22'",
        "fresh": "use nothing of earlier builds",
        "engine": _ENGINE_HELP,
    },
)
def images_build(  # noqa: PLR0913, PLR0917 one parameter a flag is how Invoke works
    _context: Context,
    kind: str = "auditor",
    gems: str = "",
    tag: str = "",
    with_network: bool = False,
    base: str = "",
    network: str = "",
    gem_server: str = "",
    cinc_version: str = "",
    fresh: bool = False,
    engine: str = "docker",
) -> None:
    """Build the auditor image from this machine's bundle, which takes neither a base image nor network."""
    from toolkit.images import build

    if kind not in {"auditor", "cli"}:
        raise CallError(f"there is no image {kind!r}", "write --kind auditor or --kind cli")
    client = _engine(engine)
    given = gems or os.environ.get("BARESCAN_GEMS", "")
    arguments = {"GEM_SERVER": "" if gem_server == "none" else gem_server} if gem_server else {}
    arguments |= {"CINC_VERSION": cinc_version} if cinc_version else {}
    name = tag or (auditor.IMAGE if kind == "auditor" else "barescan:latest")
    options = build.Options(name, fresh, base, network, arguments)
    if kind == "cli":
        image = build.cli(client, options, say)
        _tell(f"{name} {image.id}\n{int(image.attrs['Size']) / 1e6:.1f} MB unpacked, base image included")
        return
    if with_network:
        image = build.with_network(client, Path(given) if given else None, options, say)
    elif base or network or arguments:
        raise CallError(
            "--base, --network, --gem-server and --cinc-version are for --with-network",
            "add it, or leave them out",
        )
    else:
        bundle = bundles.ensure_bundle(Path(given) if given else None, progress=say)
        image = build.from_bundle(client, bundle, options, say)
    _tell(f"{name} {image.id}")
    _tell_sizes(client, name)


def _tell_sizes(client: docker.DockerClient, name: str) -> None:
    from toolkit.images import figures

    image = client.images.get(name)
    for layer in image.attrs["RootFS"]["Layers"]:
        _tell(f"layer {layer}")
    _tell(f"bundle sha256:{image.labels.get(auditor.BUNDLE_LABEL, '')}")
    _tell(figures.against("unpacked, SCAP content included", figures.unpacked(image), figures.GOAL_UNPACKED))
    _tell(
        figures.against(
            "as gzip layers, which registries keep", figures.as_gzip(client, image), figures.GOAL_COMPRESSED
        )
    )
    _tell(f"others: {figures.PEERS}")


@task(
    name="save",
    help={
        "file": "what to write; its name ends in .tar, .tar.gz or .tar.zst",
        "tag": "name of an image to save (may be repeated; default: the auditor)",
        "best": "compress a .tar.zst as far as it goes, which takes a minute",
        "engine": _ENGINE_HELP,
    },
    iterable=["tag"],
)
def images_save(
    _context: Context,
    file: str = "",
    tag: list[str] | None = None,
    best: bool = False,
    engine: str = "docker",
) -> None:
    """Write auditor image, profiles and checksums into one file, for machines without a registry."""
    from toolkit.images import archive, figures

    if not file:
        raise CallError("no file was named", "write --file barescan-auditor.tar.zst")
    profiles = sorted(path.parent for path in _PROFILES.glob("*/inspec.yml"))
    level = archive.BEST if best else archive.QUICK
    digest = archive.save(_engine(engine), tag or [auditor.IMAGE], profiles, Path(file), say, level)
    _tell(f"{file}\nsha256:{digest}")
    _tell(figures.against("archive", Path(file).stat().st_size, figures.GOAL_COMPRESSED))


@task(
    name="load",
    help={
        "file": "an archive made by images.save",
        "sha256": "the archive's SHA-256, as images.save said it where it was made",
        "signature": "signature over the whole file (cosign sign-blob --output-signature); needs --key",
        "key": _KEY_HELP,
        "profiles": "directory to unpack the archive's profiles in (default: they are left in it)",
        "engine": _ENGINE_HELP,
    },
)
def images_load(
    _context: Context,
    file: str = "",
    sha256: str = "",
    signature: str = "",
    key: str = "",
    profiles: str = "",
    engine: str = "docker",
) -> None:
    """Check an archive of images.save, with --key its signature first, then load its images."""
    from toolkit.images import archive, verify

    if not file:
        raise CallError("no file was named", "write --file barescan-auditor.tar.zst")
    wanted = _wanted(key, signature)
    if wanted.key:
        signed, lines = verify.file_signature(Path(file), wanted)
        if sha256 and sha256.lower() != signed:
            raise ScanError(f"{file} has SHA-256 {signed}, not the expected one", "get it anew")
        sha256 = signed
        for line in lines:
            _tell(line)
    loaded = archive.load(_engine(engine), Path(file), say, sha256, Path(profiles) if profiles else None)
    for name in loaded.images:
        _tell(f"image {name}")
    for name in loaded.profiles:
        _tell(f"profile {Path(profiles) / name}" if profiles else f"profile {name} (in the archive)")
    _tell(f"sha256:{loaded.sha256}")


@task(
    name="verify",
    help={
        "tag": _TAG_HELP,
        "file": "check this instead of an engine's image, and start nothing: an archive of images.save, or "
        "an OCI layout (directory or .tar, as `cosign save` makes it)",
        "key": _KEY_HELP,
        "signature": "a file of `cosign sign --output-signature`, which needs --payload; for "
        "an archive of images.save, of `cosign sign-blob`; or an OCI layout with signatures in it",
        "payload": "what was signed, of `cosign sign --output-payload`: it names the digest of the image",
        "engine": _ENGINE_HELP,
    },
)
def images_verify(
    _context: Context,
    tag: str = "",
    file: str = "",
    key: str = "",
    signature: str = "",
    payload: str = "",
    engine: str = "docker",
) -> None:
    r"""Check the image's signature (--key) and bill of materials, then start every program of it.

    No network is asked. Exit status: 0 all that is printed holds; 1 bad call,
    such as a key of an unknown kind; 2 something does not hold.

    barescan images.verify
    barescan images.verify --key cosign.pub --signature layout
    barescan images.verify --key cosign.pub --signature a.sig --payload a.json
    barescan images.verify --key cosign.pub --signature b.sig --file b.tar.zst
    """
    from toolkit.images import verify

    wanted = _wanted(key, signature, payload)
    if file:
        if tag:
            raise CallError("--file and --tag name two things to check", "leave one of them out")
        for line in verify.check(Path(file), wanted, say):
            _tell(line)
        return
    _verify_image(tag or auditor.IMAGE, wanted, engine)


def _wanted(key: str, signature: str, payload: str = "") -> Wanted:
    from toolkit.images.verify import Wanted

    wanted = Wanted(*(Path(each) if each else None for each in (key, signature, payload)))
    wanted.check()
    return wanted


def _verify_image(tag: str, wanted: Wanted, engine: str) -> None:
    """Signature first: nothing of an image is started that is not the one that was signed."""
    from toolkit.images import registry, selftest, verify

    client = _engine(engine)
    image = registry.get(client, tag)
    _tell(f"image {tag} {image.id}")
    if wanted.key:
        for line in verify.image_signature(image, wanted, say):
            _tell(line)
    for line in verify.image_papers(client, image, say):
        _tell(line)
    found = selftest.selftest(client, image, say, engine)
    failed = {name: complaint for name, complaint in found.items() if complaint}
    for name, complaint in sorted(found.items()):
        _tell(f"{name}: {visible(complaint, 300) or 'starts'}")
    if failed:
        raise ScanError(f"{len(failed)} programs of {tag} do not start", "build it anew, or report this")
    _tell(f"every one of the {len(found)} programs and engines of {tag} starts")


@task(name="list", help={"engine": _ENGINE_HELP})
def images_list(_context: Context, engine: str = "docker") -> None:
    """List the auditor images of the engine, and whether this barescan can scan with them."""
    from toolkit.images import registry

    found = registry.auditors(_engine(engine))
    for each in found:
        usable = "usable" if each.usable else "of another version of barescan"
        names = " ".join(each.names) or "(no name)"
        _tell(
            f"{names}  {each.identity}  {each.bytes / 1e6:.1f} MB  bundle {each.bundle_sha256[:12]}  {usable}"
        )
    if not found:
        say("the engine has no auditor image; build one with `invoke images.build`")


@task(
    name="push",
    help={"to": "where, as REGISTRY/NAME:TAG", "tag": _TAG_HELP, "engine": _ENGINE_HELP},
)
def images_push(_context: Context, to: str = "", tag: str = auditor.IMAGE, engine: str = "docker") -> None:
    """Push the auditor image into a registry, with the credentials of `docker login`; prints it by digest."""
    from toolkit.images import registry

    if not to:
        raise CallError("no name to push to was given", "write --to REGISTRY/NAME:TAG")
    _tell(registry.push(_engine(engine), tag, to, say))


images = Collection("images", images_build, images_save, images_load, images_verify, images_list, images_push)
