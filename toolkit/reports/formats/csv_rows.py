"""CSV (RFC 4180): a row for each result, for spreadsheets.

Every cell is quoted and guarded against being calculated (`text.csv_cell`). The byte order mark at the start
is how Excel learns that a file is in UTF-8.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import IO

from toolkit.reports import hdf
from toolkit.reports.formats.base import Judged, judged, nist_of, said, target_of
from toolkit.reports.hdf import Report
from toolkit.reports.text import csv_cell

COLUMNS = (
    "control id",
    "title",
    "profile",
    "severity",
    "status",
    "result",
    "code_desc",
    "message",
    "nist tags",
    "target",
    "lifted",
)
"""`status` is the control's verdict, `result` what one of its tests ended with; `lifted` names the flags by
which layers of the confinement were lifted."""


def write(report: Report, stream: IO[bytes]) -> None:
    """Write the rows; a control without results has one, with the last columns of a result empty."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="", write_through=True)
    try:
        rows = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        rows.writerow(COLUMNS)
        scanned = [target_of(report), " ".join(hdf.lifted(report))]
        for each in judged(report):
            rows.writerows(map(csv_cell, row) for row in _rows(each, scanned))
    finally:
        text.detach()  # the stream is the caller's to close


def _rows(each: Judged, scanned: list[str]) -> Iterator[list[str]]:
    finding, nist = each.finding, ", ".join(nist_of(each.control))
    for result in each.results or [{}]:
        yield [
            *(finding.id, finding.title, finding.profile, finding.severity.value, finding.status.value),
            *(result.get("status") or "", result.get("code_desc") or ""),
            said(result) or ("" if each.results else next(iter(finding.messages), "")),
            *(nist, *scanned),
        ]
