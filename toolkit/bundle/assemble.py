"""Makes the bundle, inside a Debian root: `python3 -m toolkit.bundle.assemble install|fetch|base|finish`.

A Dockerfile stage and `toolkit.bundle.build` on a plain host run the same three steps. `install` brings the
pinned packages in; `base` copies programs, libraries, Ruby, Python and SCAP content into a tree and cuts its
ties to Debian's paths; `finish` adds what is ours (the view library, the Ruby launcher), so that a change
there takes seconds. Standard library only: it is the root's Python that runs this.
"""

from __future__ import annotations

import argparse
import compileall
import gzip
import hashlib
import json
import os
import platform
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.parsers import expat

from toolkit.bundle import contents, elf, filters, gems, packages, parts, scap
from toolkit.bundle.rewrites import BUNDLE, RewriteError, rewrite
from toolkit.bundle.tree import Tree, digest, files, normalise, sha256

RECORD = Path("/var/lib/barescan-packages.json")
"""Where `install` notes what was pinned and what came instead, for `base` to put into the manifest."""

INVENTORY = "inventory.json"

LOADER = "loader"
"""The loader's name on every architecture, so that one image definition can start the agent on all."""


def say(line: str) -> None:
    """Tell whoever watches how far it is."""
    print(f"barescan: {line}", flush=True)  # noqa: T201 - standard output is this program's progress stream


# --- install ------------------------------------------------------------


def install(lock: Path, *, locked: bool) -> None:
    """Install the pinned versions; where the archive dropped one, its successor of the same suite.

    Raises LockError with `locked` when a version is gone, and always when a pinned version changed its
    content.
    """
    architecture = packages.architecture()
    pinned = packages.read_lock(lock.read_text(), architecture)
    names = pinned or dict.fromkeys((*contents.PACKAGES, *contents.TOOLS))
    if not any(Path("/var/lib/apt/lists").glob("*Packages*")):
        _apt("update")
    if pinned:
        wanted, gone = packages.choose(pinned, packages.offered(pinned))
    else:
        wanted, gone = sorted(names), []
        say(f"no package is pinned for {architecture}")
    if gone and locked:
        raise packages.LockError(
            f"no longer in the archive: {', '.join(f'{n} {pinned[n].version}' for n in gone)}"
        )
    say(f"installing {len(wanted)} packages")
    _apt("install", "--no-install-recommends", "--allow-downgrades", "--allow-change-held-packages", *wanted)
    now = packages.installed()
    offered = packages.offered(now)
    drift = {
        n: {"pinned": p.version, "installed": now[n]}
        for n, p in sorted(pinned.items())
        if now[n] != p.version
    }
    for name, versions in drift.items():
        say(f"drift: {name} {versions['pinned']} is gone from the archive, took {versions['installed']}")
    hashes = {name: offered.get(name, {}).get(version, "") for name, version in now.items()}
    RECORD.write_text(json.dumps({"drift": drift, "pinned": bool(pinned), "sha256": hashes}))


def _apt(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(
        ["apt-get", "-qq", "-y", *arguments], check=True, env=environment, stdout=subprocess.DEVNULL
    )


# --- base ------------------------------------------------------------


class Assembly:
    """One bundle being put together: the tree, and which of its files are ELF."""

    def __init__(self, output: Path) -> None:
        """Start an empty tree in `output`."""
        self.tree = Tree(output)
        self.triplet: str = sysconfig.get_config_var("MULTIARCH")
        self.multiarch = Path("/usr/lib") / self.triplet
        self.objects: list[Path] = []
        self.counts: dict[str, dict[str, int]] = {}
        loader = elf.interpreter(Path("/usr/bin/bash"))
        if loader is None:
            raise FileNotFoundError("bash names no loader")
        self.loader = loader.resolve()
        self.loader_name = loader.name

    def add_object(self, source: Path, place: str) -> Path:
        """Copy an ELF file that is to be settled later."""
        target = self.tree.copy(source, place)
        self.objects.append(target)
        return target


def base(output: Path, given_gems: Path | None, gems_lock: Path | None = None) -> None:
    """Make the tree without our own parts."""
    assembly = Assembly(output)
    say("copying programs")
    _programs(assembly)
    _python(assembly)
    engines: dict[str, dict[str, str]] = {"openscap": {"version": _version("libopenscap33")}}
    gem_list: list[dict[str, Any]] = []
    drift = json.loads(RECORD.read_text())["drift"] if RECORD.exists() else {}
    if given_gems and gems_lock:
        drift |= gems.drift(given_gems, packages.read_lock(gems_lock.read_text(), "gem"))
    if given_gems:
        say("copying Ruby and the gems")
        gem_list = _auditor(assembly, given_gems, engines)
    _configuration(assembly)
    say("copying SCAP content")
    content, described = _scap(assembly)
    say("copying libraries")
    _libraries(assembly)
    say("rewriting paths")
    _settle(assembly)
    for name in contents.MOUNT_POINTS:
        (output / name).mkdir()
    _licences(assembly)
    manifest = {
        "format": 1,
        "architecture": platform.machine(),
        "loader": f"lib/{assembly.loader_name}",
        "python": "bin/python3",
        "engines": engines,
        "content": content,
        "described": described,
        "rewrites": assembly.counts,
        "drift": drift,
    }
    assembly.tree.write("bundle.json", json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    assembly.tree.write(
        INVENTORY, json.dumps(_inventory(assembly, gem_list), indent=1, sort_keys=True) + "\n"
    )
    normalise(output)


def _version(package: str) -> str:
    """Return the package's upstream version."""
    return re.sub(r"^\d+:|[+-][^-]*$|\+dfsg.*$", "", packages.installed()[package])


def _programs(assembly: Assembly) -> None:
    for names in contents.PROGRAMS.values():
        for name in names:
            assembly.add_object(_find(name), f"bin/{name}")
    for name, to in contents.LINKS.items():
        assembly.tree.link(f"bin/{name}", to)
    for name, text in contents.SCRIPTS.items():
        assembly.tree.write(f"bin/{name}", text, mode=0o755)


def _find(name: str) -> Path:
    for directory in ("/usr/bin", "/usr/sbin"):
        if (path := Path(directory, name)).exists():
            return path
    raise FileNotFoundError(f"no package of the list has the program {name}")


def _python(assembly: Assembly) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    place = f"lib/{library.name}"
    for path in files(library):
        inside = path.relative_to(library)
        if path.suffix == ".py" and _python_wants(inside):
            assembly.tree.copy(path, f"{place}/{inside}")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for name in contents.PYTHON_EXTENSIONS:
        assembly.add_object(
            library / "lib-dynload" / f"{name}{suffix}", f"{place}/lib-dynload/{name}{suffix}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compileall.compile_dir(
            assembly.tree.root / place,
            ddir=f"{BUNDLE}/{place}",
            quiet=1,
            legacy=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    for path in files(assembly.tree.root / place):  # the compiled module alone is loaded as well
        if path.suffix == ".py":
            source = str(path.relative_to(assembly.tree.root))
            assembly.tree.origin[f"{source}c"] = assembly.tree.origin.pop(source)
            path.unlink()


def _python_wants(path: Path) -> bool:
    parts = path.with_suffix("").parts
    names = {".".join(parts[: length + 1]) for length in range(len(parts))}
    if names & contents.PYTHON_NOT or parts[0].startswith("_sysconfigdata"):
        return False
    if len(parts) == 1:
        return True
    return parts[0] in contents.PYTHON_PACKAGES and (
        parts[0] != "encodings" or parts[-1] in contents.PYTHON_ENCODINGS
    )


def _auditor(assembly: Assembly, given: Path, engines: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        home = gems.gem_home(given, Path(scratch) / "gems")
        found = gems.describe(home)
        auditor = gems.product(found)
        abi = _ruby_config("ruby_version")
        gems.check_abi(found, home, abi)
        assembly.objects += gems.copy(home, found, abi, assembly.tree)
    _ruby(assembly, abi)
    engines["cinc"] = {"version": auditor["version"], "product": auditor["name"]}
    return found


def _ruby_config(name: str) -> str:
    done = subprocess.run(
        ["ruby", "-e", f"print RbConfig::CONFIG['{name}']"], check=True, capture_output=True, text=True
    )
    return done.stdout


def _ruby(assembly: Assembly, abi: str) -> None:
    tree, place = assembly.tree, f"lib/ruby/{abi}"
    assembly.add_object(_find(contents.RUBY_PROGRAM), "bin/ruby")
    library, native = Path("/usr/lib/ruby"), assembly.multiarch / "ruby" / abi
    for source in (library / "vendor_ruby", library / abi):
        for path in files(source):
            inside = str(path.relative_to(source))
            if _ruby_wants(inside) and not (tree.root / place / inside).exists():
                tree.copy(path, f"{place}/{inside}")
    for path in files(native):
        inside = str(path.relative_to(native))
        if not _ruby_wants(inside):
            continue
        if path.suffix == ".so":
            assembly.add_object(path, f"{place}/{assembly.triplet}/{inside}")
        elif path.suffix == ".rb":
            tree.copy(path, f"{place}/{assembly.triplet}/{inside}")
    for path in files(library / "gems" / abi / "specifications" / "default"):
        tree.copy(path, f"lib/ruby/gems/{abi}/specifications/default/{path.name}")
    config = tree.root / place / assembly.triplet / "rbconfig.rb"
    config.write_text(_relocated_rbconfig(config.read_text(), assembly.triplet))


def _ruby_wants(path: str) -> bool:
    top = path.partition("/")[0].removesuffix(".rb").removesuffix(".so")
    if path.startswith("enc/"):
        return path.removeprefix("enc/") in contents.RUBY_ENCODINGS
    return top not in contents.RUBY_NOT and not path.startswith(contents.RUBYGEMS_NOT)


def _relocated_rbconfig(text: str, triplet: str) -> str:
    """Return rbconfig.rb with its prefix in the bundle and libraries where the bundle has them."""
    changes = {
        "prefix": BUNDLE,
        "rubyarchprefix": "$(rubylibprefix)",
        "rubyarchdir": f"$(rubylibdir)/{triplet}",
        "libdir": "$(exec_prefix)/lib",
        "sysconfdir": f"{BUNDLE}/etc",
        "ruby_install_name": "ruby",
    }
    text = re.sub(r"TOPDIR = .*", f'TOPDIR = "{BUNDLE}"', text)
    for name, value in changes.items():
        text, count = re.subn(rf'CONFIG\["{name}"\] = .*', f'CONFIG["{name}"] = "{value}"', text)
        if not count:
            raise RewriteError(f"rbconfig.rb does not set {name}")
    return text


def _configuration(assembly: Assembly) -> None:
    tree = assembly.tree
    tree.write("pre", f"{BUNDLE}/lib/libbarescan-view.so\n")
    tree.write("nsnf", contents.NSSWITCH)
    tree.write("etc/openssl.cnf", contents.OPENSSL_CONFIG)
    tree.copy_tree(Path("/usr/lib/locale/C.utf8"), "l/C.utf8")
    for name in contents.GCONV:
        assembly.add_object(assembly.multiarch / "gconv" / f"{name}.so", f"lib/gconv/{name}.so")
    tree.write("lib/gconv/gconv-modules", contents.GCONV_MODULES)
    rpm = Path("/usr/lib/rpm")
    for name in ("rpmrc", "macros", "rpmpopt-" + _version("rpm")):
        tree.copy(rpm / name, f"lib/rpm/{name}")
    with (tree.root / "lib/rpm/macros").open("a") as macros:
        macros.write(contents.RPM_MACROS)
    machine = f"{platform.machine()}-linux"
    tree.copy(rpm / "platform" / machine / "macros", f"lib/rpm/platform/{machine}/macros")


_ANNOTATION = re.compile(rb"<(xsd:|xs:|)annotation\b[^>]*>.*?</\1annotation>\s*", re.DOTALL)
_COMMENT = re.compile(rb"<!--.*?-->\s*", re.DOTALL)


def without_documentation(schema: bytes) -> bytes:
    """Return an XML schema without annotations and comments, which are five sixths of OVAL's and never read.

    Raises xml.parsers.expat.ExpatError when what is left is not well-formed.
    """
    bare = re.sub(rb">\s+<", b">\n<", _COMMENT.sub(b"", _ANNOTATION.sub(b"", schema)))
    parser = expat.ParserCreate()
    parser.Parse(bare, True)
    return bare


def _scap(assembly: Assembly) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Return where each content is, and its hash, platforms and profiles, so that it need not be unpacked."""
    tree, share = assembly.tree, Path("/usr/share/openscap")
    for path in files(share / "schemas"):
        if path.suffix == ".xsd":
            target = tree.copy(path, f"share/openscap/schemas/{path.relative_to(share / 'schemas')}")
            target.write_bytes(gzip.compress(without_documentation(target.read_bytes()), mtime=0))
        elif "schematron" not in path.name:
            tree.copy(path, f"share/openscap/schemas/{path.relative_to(share / 'schemas')}")
    tree.copy_tree(share / "xsl", "share/openscap/xsl")
    if (share / "cpe").exists():
        tree.copy_tree(share / "cpe", "share/openscap/cpe")
    content, described = {}, {}
    for name, file in contents.CONTENT.items():
        source = Path("/usr/share/xml/scap/ssg/content", file)
        place = f"share/scap/{file}.gz"
        data = source.read_bytes()
        tree.copy(source, place).write_bytes(gzip.compress(data, mtime=0))
        content[name] = place
        described[name] = {"sha256": hashlib.sha256(data).hexdigest(), **scap.describe(data)}
    return content, described


def _libraries(assembly: Assembly) -> None:
    places = (assembly.multiarch, Path("/usr/lib"))
    roots = [*assembly.objects, *(assembly.multiarch / name for name in contents.DLOPENED)]
    found = elf.closure(roots, places, contents.STUBBED)
    found |= {name: (assembly.multiarch / name).resolve() for name in contents.DLOPENED}
    found[assembly.loader_name] = assembly.loader
    for name, path in sorted(found.items()):
        assembly.add_object(path, f"lib/{name}")
    assembly.tree.link(f"lib/{LOADER}", assembly.loader_name)
    with tempfile.TemporaryDirectory() as scratch:
        for name in contents.STUBBED:
            users = [path for path in assembly.objects if name in elf.needed(path)]
            if users:
                output = assembly.tree.root / "lib" / name
                parts.build_shell(assembly.multiarch / name, users, output, Path(scratch))
        _defaults(assembly, Path(scratch))


def _defaults(assembly: Assembly, scratch: Path) -> None:
    """Compile, for each library of the list, the one that sets its environment defaults."""
    sources = {name: parts.defaults_source(variables) for name, variables in contents.DEFAULTS.items()}
    sources["python3.13"] = parts.PYTHON_SOURCE
    for name, source in sources.items():
        code = scratch / "defaults.c"
        code.write_text(source)
        parts.compile_library(assembly.tree.root / "lib" / _helper(name), [code])


def _helper(name: str) -> str:
    return f"libbarescan-{name.partition('.')[0].removeprefix('lib')}.so"


def _settle(assembly: Assembly) -> None:
    """Cut every ELF file's ties: stripped, relocatable, its compiled-in paths inside the bundle."""
    root, lib = assembly.tree.root, assembly.tree.root / "lib"
    helped = {*contents.DEFAULTS, "python3.13"}
    for path in assembly.objects:
        name = path.name
        if name not in {"libc.so.6", assembly.loader_name}:
            elf.strip(path)
            inside = os.path.relpath(lib, path.parent)
            origin = "$ORIGIN" if inside == "." else f"$ORIGIN/{inside}"
            add = [_helper(name)] if name in helped else []
            elf.settle(path, origin, f"{BUNDLE}/lib/{assembly.loader_name}", add)
        data, counts = rewrite(name, path.read_bytes(), assembly.triplet)
        if counts:
            path.write_bytes(data)
            assembly.counts[str(path.relative_to(root))] = counts


def _licences(assembly: Assembly) -> None:
    """Ship every package's copyright file, and the licences that they refer to."""
    owner = packages.owners(map(Path, assembly.tree.origin.values()))
    for name in sorted(set(owner.values())):
        _licence(assembly, Path(f"/usr/share/doc/{name}/copyright"), name)
    for path in files(Path("/usr/share/common-licenses")):
        _licence(assembly, path, f"common-licenses/{path.name}")


def _licence(assembly: Assembly, source: Path, name: str) -> None:
    target = assembly.tree.copy(source, f"share/licences/{name}.gz")
    target.write_bytes(gzip.compress(target.read_bytes(), mtime=0))


def _inventory(assembly: Assembly, gem_list: list[dict[str, Any]]) -> dict[str, Any]:
    """Return packages, gems and files that are ours, each file with its SHA-256."""
    tree = assembly.tree
    owner = packages.owners(map(Path, tree.origin.values()))
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"sha256": {}}
    versions = packages.installed()
    debian: dict[str, dict[str, Any]] = {}
    own: dict[str, str] = {}
    gem_files: dict[str, dict[str, str]] = {}
    for path in files(tree.root):
        place = str(path.relative_to(tree.root))
        if path.is_symlink():
            continue
        name = owner.get(tree.origin.get(place, ""))
        if place.startswith("gems/"):
            gem_files.setdefault(_gem_of(place, gem_list), {})[place] = sha256(path)
        elif name is None:
            own[place] = sha256(path)
        else:
            entry = debian.setdefault(
                name, _package_entry(name, versions[name], record["sha256"].get(name, ""))
            )
            entry["files"][place] = sha256(path)
    listed = [{**gem, "files": gem_files.get(gem["full_name"], {})} for gem in gem_list]
    return {
        "packages": sorted(debian.values(), key=lambda entry: str(entry["name"])),
        "gems": listed,
        "own": own,
    }


def _gem_of(place: str, gem_list: list[dict[str, Any]]) -> str:
    for gem in gem_list:
        if re.search(rf"(^|/){re.escape(gem['full_name'])}(/|\.gemspec$)", place):
            return str(gem["full_name"])
    return ""


def _package_entry(name: str, version: str, digest: str) -> dict[str, Any]:
    notice = Path(f"/usr/share/doc/{name}/copyright")
    text = notice.read_text(errors="replace") if notice.exists() else ""
    return {
        "name": name,
        "version": version,
        "architecture": packages.architecture(),
        "sha256": digest,
        "licences": packages.licences(text),
        "files": {},
    }


# --- finish ------------------------------------------------------------


def finish(output: Path, own: Path) -> None:
    """Add to a base tree the view library and the Ruby launcher, from `own`/view/*.c and `own`/ruby/*.rb, and
    the filters of system calls for this machine.
    """
    view = sorted((own / "view").glob("*.c"))
    if view:
        parts.compile_library(output / "lib" / "libbarescan-view.so", view, "-ldl")
    ruby = sorted((own / "ruby").rglob("*.rb"))
    for path in ruby:
        target = output / "lib" / "barescan" / path.relative_to(own / "ruby")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    inventory = json.loads((output / INVENTORY).read_text())
    added = [output / "lib" / "libbarescan-view.so"] if view else []
    added += [output / "lib" / "barescan" / path.relative_to(own / "ruby") for path in ruby]
    added += filters.write(output, platform.machine())
    inventory["own"] |= {str(path.relative_to(output)): sha256(path) for path in added}
    manifest = json.loads((output / "bundle.json").read_text())
    for name in (INVENTORY, "bundle.json"):  # what tells about the tree is no part of its hash
        (output / name).unlink()
    normalise(output)
    manifest["sha256"] = digest(output)
    (output / "bundle.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    (output / INVENTORY).write_text(json.dumps(inventory, indent=1, sort_keys=True) + "\n")
    normalise(output)


def main(arguments: Iterable[str]) -> int:
    """Run one step; what goes wrong is one line on standard error and status 1 (3: the gems)."""
    parser = argparse.ArgumentParser(prog="assemble", description=__doc__.partition("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("install")
    step.add_argument("--lock", type=Path, default=Path(__file__).with_name("packages.lock"))
    step.add_argument("--locked", action="store_true")
    step = steps.add_parser("base")
    step.add_argument("output", type=Path)
    step.add_argument("--gems", type=Path)
    step.add_argument("--fetched", action="store_true", help="the gems are those of `fetch`, to be pinned")
    step.add_argument("--lock", type=Path, default=Path(__file__).with_name("packages.lock"))
    step = steps.add_parser("fetch")
    step.add_argument("output", type=Path)
    step.add_argument("--server", required=True)
    step.add_argument("--others", required=True)
    step.add_argument("--auditor", default=contents.AUDITOR, help="versions of CINC Auditor that will do")
    step = steps.add_parser("finish")
    step.add_argument("output", type=Path)
    step.add_argument("--own", type=Path, default=Path(__file__).parent)
    call = parser.parse_args(list(arguments))
    try:
        if call.step == "install":
            install(call.lock, locked=call.locked)
        elif call.step == "base":
            base(call.output, call.gems, call.lock if call.fetched else None)
        elif call.step == "fetch":
            say(f"installing CINC Auditor's gems from {call.server}")
            gems.fetch(call.output, call.server, call.others, call.auditor)
        else:
            finish(call.output, call.own)
    except gems.GemsError as error:
        return _fail(error, status=3)
    except (packages.LockError, RewriteError, FileNotFoundError) as error:
        return _fail(error)
    except subprocess.CalledProcessError as error:
        return _fail(f"{' '.join(error.cmd)}: {error.stderr or error}")
    return 0


def _fail(cause: object, status: int = 1) -> int:
    text = " ".join(str(cause).split())
    print(f"barescan-error: {text}", file=sys.stderr)  # noqa: T201
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
