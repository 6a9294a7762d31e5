"""The command `scan-distroless-container`, for those who come from shell scripts with positional arguments.

It says the same to the same program as `barescan scan`, and does nothing of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from toolkit import interrupt

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "scan-distroless-container"
_BAD_CALL = 1
_WORDS = (
    ("NAMESPACE", "namespace of the pod"),
    ("POD", "name of the pod"),
    ("CONTAINER", "name of the container in it"),
    ("PROFILE", "InSpec profile (directory, .tar.gz, .zip), FILE.xml#PROFILE-ID, or scap:NAME#PROFILE-ID"),
)
_NEEDED = tuple(word for word, _ in _WORDS)
_ABOUT = """\
Scan a running container of a pod, which may have no shell and no package manager, with an unmodified profile.
The cluster is that of the current context of the kubeconfig.
"""
_SAME = f"""\
exit status:
  0 passed, or the threshold was met; 100 controls failed, or it was not met; 101 not everything was reviewed;
  1 bad call; 2 the container could not be scanned; 130 interrupted

the same, with more options (see: barescan scan --help):
  barescan scan --target k8s-container://NAMESPACE/POD/CONTAINER --profile PROFILE [--threshold THRESHOLD]

example:
  {NAME} shop web-0 app scap:debian12#anssi_bp28_high gate.yml
"""
_MORE = f"""\
help:  {NAME} --help
same:  barescan scan --target k8s-container://NAMESPACE/POD/CONTAINER --profile PROFILE
"""


def main() -> None:
    """Run the scan that the arguments name; Ctrl-C has its meaning before anything that takes time."""
    interrupt.install()
    import sys  # noqa: PLC0415

    arguments = scan_arguments(sys.argv[1:])
    from toolkit.cli import program  # noqa: PLC0415

    program.run(["barescan", *arguments])


def scan_arguments(given: Sequence[str]) -> list[str]:
    """Return the call of `barescan` that these arguments stand for.

    Ends the program with status 0 after help, with 1 after a call that can't be read.
    """
    import argparse  # noqa: PLC0415

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            # Last, for it is what is looked for; the rest of the help is a word away.
            self.exit(_BAD_CALL, f"{self.format_usage()}{_MORE}\nerror: {message}\n")

    parser = Parser(
        prog=NAME,
        usage=f"{NAME} [-h] {' '.join(_NEEDED)} [THRESHOLD]",
        description=_ABOUT,
        epilog=_SAME,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for word, about in _WORDS:
        parser.add_argument(word, nargs="?", help=about)  # counted below: argparse takes the last for missing
    parser.add_argument(
        "THRESHOLD", nargs="?", default="", help="threshold file (SAF's format), which alone then decides"
    )
    words = vars(parser.parse_args(given))
    got = [words[word] for word in _NEEDED if words[word] is not None]
    if len(got) < len(_NEEDED):
        parser.error(_too_few(got))
    for word in ("NAMESPACE", "POD", "CONTAINER"):
        if not words[word] or "/" in words[word]:
            parser.error(f"{words[word]!r} is no {word}")
    target = "k8s-container://{NAMESPACE}/{POD}/{CONTAINER}".format(**words)
    # In one word each, so that none that begins with a dash is taken for a flag.
    call = ["scan", f"--target={target}", f"--profile={words['PROFILE']}"]
    return [*call, f"--threshold={words['THRESHOLD']}"] if words["THRESHOLD"] else call


def _too_few(got: Sequence[str]) -> str:
    """Say how many arguments there are and which; which one was left out can't be known."""
    import shlex  # noqa: PLC0415

    said = f": {shlex.join(got)}" if got else ""
    printable = "".join(char if char.isprintable() else "?" for char in said)
    return f"got {len(got)} of {len(_NEEDED)}{printable}; write {' '.join(_NEEDED)}"
