"""Tasks about reports there are: `report.convert`."""

from __future__ import annotations

from pathlib import Path

from invoke import Collection, Context

from toolkit.cli_base import console, task
from toolkit.errors import CallError
from toolkit.reports import formats, hdf
from toolkit.reports.text import legible

_FORMATS = ", ".join(formats.FORMATS)


@task(
    name="convert",
    help={
        "report": "a report of a scan, such as reports/2026…/web/report.hdf.json",
        "to": f"one of {_FORMATS}",
        "file": "what to write; nothing is overwritten",
    },
)
def report_convert(_context: Context, report: str = "", to: str = "", file: str = "") -> None:
    """Make a report in Heimdall Data Format into another format, for spreadsheets, CI or people.

    Exit status: 0 it is written; 1 the report can't be used, or the file is there.

    barescan report.convert --report R.hdf.json --to html --file R.html
    """
    for given, flag, example in (
        (report, "--report", "report.hdf.json"),
        (to, "--to", f"one of {_FORMATS}"),
        (file, "--file", f"the name of a new file, such as report.{to or 'html'}"),
    ):
        if not given:
            raise CallError(f"{flag} is missing", f"write {flag} with {example}")
    formats.require([to])
    formats.write(hdf.load(Path(report)), to, Path(file))
    console.print(legible(file), markup=False, highlight=False, emoji=False, soft_wrap=True)


report = Collection("report", report_convert)
