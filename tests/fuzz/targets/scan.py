"""A whole scan: from an auditor's greeting and all it says to the exit status and the records."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz import frames
from tests.fuzz.frames import frame
from tests.fuzz.harness import Outcome, Target, check_message
from tests.fuzz.oracle import check_pass
from tests.fuzz.targets.inspec_report import report
from tests.fuzz.targets.inspec_report import seeds as report_seeds
from toolkit import runs, scan
from toolkit.agent.stream import Kind, StreamError
from toolkit.bundle import manifest
from toolkit.bundle.build import Bundle
from toolkit.errors import BarescanError, ScanError
from toolkit.runtimes import base
from toolkit.runtimes.base import Bundles, Connection, Runtime
from toolkit.runtimes.session import greet

_MANIFEST = {
    "format": 1,
    "architecture": "x86_64",
    "sha256": "0" * 64,
    "engines": {"cinc": {"version": "5.22.97"}, "openscap": {"version": "1.4.2"}},
    "content": {"debian12": "content/debian12.xml.gz"},
    "described": {"debian12": {"sha256": "0" * 64, "profiles": {"p": {"title": "P", "rules": 3}}}},
}
_HELLO = frame(Kind.HELLO, {"version": 1, "agent": frames.OUR_AGENT.decode(), "bundle": _MANIFEST})
"""The greeting of an auditor in a pod, which brings its bundle's manifest."""


class FuzzRuntime(Runtime):
    """A double: there is no target, and the agent's words are bytes that were made up."""

    scheme = "fuzz"
    says = b""

    def job(self) -> dict[str, Any]:
        return {"pid": 1}

    def bundle(self, local: Bundles) -> Bundle:
        """Greet, as the runtime for pods does."""
        del local
        self._open = contextlib.ExitStack()
        self._connection = Connection(self._open.enter_context(frames.peer(self.says)))
        try:
            return Bundle(Path("/"), manifest.checked(greet(self._connection).get("bundle")))
        except StreamError as error:
            raise ScanError(str(error), "none") from None

    @contextlib.contextmanager
    def attach(self, bundle: Path, timeout: float) -> Iterator[Connection]:
        yield self._connection

    def close(self) -> None:
        self._open.close()


base._RUNTIMES[FuzzRuntime.scheme] = f"{__name__}:{FuzzRuntime.__name__}"


def conversation(*said: bytes, status: int = 0) -> bytes:
    """Return what an agent says of a run that left these outputs."""
    names = ("report.json", "refused.json", "absent.json")
    outputs = b"".join(
        frame(Kind.FILE, {"name": name, "size": len(content)}) + frame(Kind.DATA, content)
        for name, content in zip(names, said, strict=False)
    )
    return b"".join(
        (
            _HELLO,
            frame(Kind.ACK, {}),
            frame(Kind.FACTS, {"os_release": {"ID": "debian", "VERSION_ID": "12"}, "target": {"pid": 1}}),
            frame(Kind.STDOUT, b'barescan-progress {"control": "one", "status": "passed"}\nplain\n'),
            outputs,
            frame(Kind.RESULT, {"exit_status": status, "seconds": 0.5}),
            frame(Kind.RESULT, {"complete": True}),
        )
    )


def seeds() -> list[bytes]:
    said = [seed.split(b"\n=====\n") for seed in report_seeds()]
    nothing_applies = report({"id": "one", "impact": 0.0, "results": []})
    return [
        *(conversation(*each, status=status) for each, status in zip(said, (0, 100, 100, 0), strict=True)),
        conversation(json.dumps(nothing_applies).encode(), b"{}", b"{}"),
    ]


def run(data: bytes) -> Outcome:
    """Scan; whatever happens leaves a record that can be read, and says "complete" of complete ones only."""
    FuzzRuntime.says = frames.sealed(frames.filled(data))
    with tempfile.TemporaryDirectory(prefix="barescan-fuzz-") as folder:
        profile = Path(folder, "profile")
        (profile / "controls").mkdir(parents=True)
        (profile / "inspec.yml").write_text("name: demo\n")
        (profile / "controls/one.rb").write_text("control 'one' do\nend\n")
        request = scan.Request("fuzz://x", str(profile), report_dir=Path(folder, "reports"), timeout=30)
        try:
            result = scan.scan(request, lambda: Bundle(Path("/"), _MANIFEST))
        except BarescanError as error:
            check_message(error.kept or "-")
            for failed in Path(folder, "reports").glob("*/*"):
                assert runs.read_scan(failed)["complete"] is False
            raise
        assert sorted(each.name for each in Path(folder).iterdir()) == ["profile", "reports"]
        record = runs.read_scan(result.folder)
        assert record["complete"] is True
        assert record["status"] == result.status
        assert list(runs.complete_scans(result.folder.parent)) == [request.target]
        written = json.loads((result.folder / "report.hdf.json").read_bytes())
    if result.status:
        return Outcome.TAKEN
    check_pass(written)
    said, _ = frames.split(FuzzRuntime.says)
    assert b'"complete": true' in b"".join(text for kind, text in said if kind == Kind.RESULT)
    return Outcome.PASSED


TARGET = Target(run, seeds, frames.mutate)
