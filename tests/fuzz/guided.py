"""Fuzzing by coverage with atheris: `python -m tests.fuzz.guided TARGET --seconds 600`.

What is learnt is kept in a directory (`--kept`, by default below /tmp) and used by the next run. A finding
ends the run; its input is written to `--kept` as libFuzzer names it (`crash-…`, `oom-…`, `timeout-…`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from random import Random

_LONGEST = 1 << 16
_MEGABYTES = 2048  # of the whole process; one that holds more is a finding
_LONGEST_RUN = 20  # seconds of one input, likewise


def main() -> None:
    """Fuzz one target; ends with a status other than 0 for a finding."""
    try:
        import atheris  # noqa: PLC0415 no dependency of barescan
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris, or set BARESCAN_FUZZ_SECONDS for pytest")
    with atheris.instrument_imports(include=["toolkit"]):
        from tests.fuzz import harness  # noqa: PLC0415 what is loaded before is not seen

        names = harness.names()
        targets = {name: harness.load(name) for name in names}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=names)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--kept", type=Path)
    said = parser.parse_args()
    target = targets[said.target]
    kept = said.kept or Path(tempfile.gettempdir()) / "barescan-fuzz" / said.target
    kept.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(harness.inputs(said.target)):
        (kept / f"seed-{number}").write_bytes(data)

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.3:
            return bytes(atheris.Mutate(data, longest))
        return target.mutate(data, random)[:longest]

    def one(data: bytes) -> None:
        harness.attempt(target, data)

    options = {
        "max_total_time": said.seconds,
        "max_len": _LONGEST,
        "rss_limit_mb": _MEGABYTES,
        "timeout": _LONGEST_RUN,
        "artifact_prefix": f"{kept}/",
        "print_final_stats": 1,
    }
    atheris.Setup(
        [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(kept)],
        one,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
