"""Fuzzing of everything that comes back from a target or is handed to barescan by somebody else.

A target (`tests/fuzz/targets`, one module each) is a function from bytes to an `Outcome`. It calls the real
entry points with the bytes as a hostile agent, engine, server or sender would give them, and asserts what can
be told independently of the code under test: above all, that nothing in which something failed or is missing
is a pass. `harness.attempt` adds what holds everywhere: bytes are refused with an error of ours, whose
message is one short line that a terminal can show, or they are taken. Any other exception is a finding.

`pytest tests/fuzz` replays the corpus, tries some mutations of every seed and of every file of the corpus,
and runs what would take memory under a limit on it. To fuzz longer:

    BARESCAN_FUZZ_SECONDS=60 pytest tests/fuzz/test_mutations.py   # Hypothesis, so long for each target
    pip install atheris                                            # no dependency of barescan
    python -m tests.fuzz.guided TARGET --seconds 600               # by coverage; writes to /tmp unless told

The corpus grows by hand. A finding is mended together with its smallest input, kept as
`tests/fuzz/corpus/TARGET/what-it-shows` (below 4 KiB; a file that is larger belongs to `heavy.py`, which
makes it). Inputs that only raise coverage stay out of the repository.
"""
