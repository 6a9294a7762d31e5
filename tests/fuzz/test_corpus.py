"""The corpus: what was found once is not found again, and it stays small."""

from __future__ import annotations

import pytest

from tests.fuzz import harness

_FILES = [(name, path.name) for name in harness.names() for path in harness.corpus(name)]


@pytest.mark.parametrize(("name", "file"), _FILES)
def test_what_was_found_once(name, file):
    harness.attempt(harness.load(name), (harness.CORPUS / name / file).read_bytes())


def test_the_corpus_is_small_and_all_of_it_is_replayed():
    kept = [path for path in harness.CORPUS.rglob("*") if path.is_file()]
    assert len(kept) == len(_FILES) < 60
    assert max(path.stat().st_size for path in kept) < 4096
