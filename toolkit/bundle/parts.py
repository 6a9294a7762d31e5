"""Small shared libraries of our own, compiled beside the bundle: empty shells, defaults, the view."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from toolkit.bundle import elf
from toolkit.bundle.rewrites import BUNDLE

_FLAGS = (
    "-O2",
    "-fPIC",
    "-shared",
    "-Wall",
    "-Wextra",
    "-Wl,--build-id=none",
    "-g0",
    "-s",
    "-ffile-prefix-map=/=.",
)


def compile_library(output: Path, sources: Iterable[Path], *options: str) -> None:
    """Compile C sources into `output`; raises CalledProcessError with the compiler's words in `stderr`."""
    names = sorted(map(str, sources))
    command = ["gcc", *_FLAGS, f"-Wl,-soname,{output.name}", "-o", str(output), *names, *options]
    subprocess.run(command, check=True, capture_output=True, text=True)


def wanted(library: Path, users: Iterable[Path]) -> dict[tuple[str, str], elf.Symbol]:
    """Return which of the library's symbols the users import, by name and version."""
    offered = {(symbol.name, symbol.version): symbol for symbol in elf.symbols(library) if symbol.defined}
    asked = {
        (symbol.name, symbol.version) for user in users for symbol in elf.symbols(user) if not symbol.defined
    }
    return {key: offered[key] for key in sorted(asked & offered.keys())}


def shell_source(symbols: Mapping[tuple[str, str], elf.Symbol]) -> tuple[str, str]:
    """Return C source and linker version script of a library in which every function returns 0."""
    lines, versions = [], dict[str, list[str]]()
    for (name, version), symbol in symbols.items():
        is_data = symbol.kind == "OBJECT"
        lines.append(
            f"char {name}[{max(symbol.size, 1)}];" if is_data else f"long {name}(void) {{ return 0; }}"
        )
        versions.setdefault(version, []).append(name)
    script = ""
    for number, (version, names) in enumerate(sorted(versions.items())):
        hide = " local: *;" if number == 0 else ""
        script += f"{version} {{ global: {'; '.join(names)};{hide} }};\n"
    return "\n".join(lines) + "\n", script


def build_shell(library: Path, users: Iterable[Path], output: Path, scratch: Path) -> None:
    """Write to `output` an empty shell of `library` that satisfies the loader for these users."""
    source, script = shell_source(wanted(library, users))
    code, map_file = scratch / f"{output.name}.c", scratch / f"{output.name}.map"
    code.write_text(source)
    map_file.write_text(script)
    compile_library(output, [code], f"-Wl,--version-script={map_file}", "-nostdlib", "-fno-builtin")


def defaults_source(variables: Mapping[str, str]) -> str:
    """Return C source whose constructor sets those environment variables that are not set yet."""
    calls = "".join(f'    setenv("{name}", "{value}", 0);\n' for name, value in sorted(variables.items()))
    return f"#include <stdlib.h>\n__attribute__((constructor)) static void defaults(void)\n{{\n{calls}}}\n"


PYTHON_SOURCE = f"""\
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
/*
 * Python finds its library by argv[0], through PATH where that has no slash: both can name the target's.
 * So can the home directory, in which it would look for more (site.py).
 */
__attribute__((constructor)) static void settle(int argc, char **argv)
{{
    char *started = (char *)getauxval(AT_EXECFN);
    if (argc > 0 && started && strncmp(started, "{BUNDLE}/bin/", sizeof "{BUNDLE}/bin/" - 1) == 0)
        argv[0] = started;
    setenv("PYTHONNOUSERSITE", "1", 1);
}}
"""
