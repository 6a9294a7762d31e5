"""What a report can be made into for other programs and people: a module a format, all from HDF.

A writer takes a report as `hdf.load` returns it and a binary stream, and writes as it goes, so that the
result is never in memory as a whole. It may rely on what `hdf.parse` checks and on nothing else. How texts
are escaped is said in `toolkit.reports.text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from toolkit.errors import CallError
from toolkit.reports import files
from toolkit.reports.formats import csv_rows, html_page, junit
from toolkit.reports.formats.base import Writer
from toolkit.reports.hdf import Report


class Format(NamedTuple):
    """A format: what its file is called beside the report, and what writes it."""

    file: str
    write: Writer


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "csv": Format("report.csv", csv_rows.write),
        "html": Format("report.html", html_page.write),
        "junit": Format("report.junit.xml", junit.write),
    }
)
"""The formats by the word of `--format` and `--to`."""


def require(names: Iterable[str]) -> None:
    """Raise CallError for a name that is none of a format."""
    for name in names:
        if name not in FORMATS:
            raise CallError(f"there is no report format {name[:80]!r}", f"name one of {', '.join(FORMATS)}")


def write(report: Report, name: str, path: Path) -> None:
    """Write a report in a format to a new file, mode 0600; raises as `require` and `files.write_new` do."""
    require([name])
    files.make_new(lambda stream: FORMATS[name].write(report, stream), path)


def write_all(report: Report, names: Iterable[str], folder: Path) -> None:
    """Write a report in several formats, each once, under their usual names; raises as `write` does."""
    for name in dict.fromkeys(names):
        write(report, name, folder / FORMATS[name].file)
