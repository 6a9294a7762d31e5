"""What every target shares: its form, the rule for errors, and how bytes are spoilt."""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import pkgutil
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import targets
from toolkit.agent.failure import AgentError
from toolkit.agent.stream import StreamError
from toolkit.errors import BarescanError

CORPUS = Path(__file__).parent / "corpus"
LONGEST_MESSAGE = 2000
_REFUSALS = (BarescanError, AgentError, StreamError)
_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}


class Outcome(Enum):
    """What became of an input."""

    REFUSED = "refused"
    TAKEN = "taken"
    PASSED = "passed"
    """Taken, and the exit status of a scan would be 0."""


Mutate = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Target:
    """One way for bytes to get in."""

    run: Callable[[bytes], Outcome]
    """Raises an error of ours to refuse, AssertionError for a finding; anything else is one too."""
    seeds: Callable[[], list[bytes]]
    """Honest inputs, small."""
    mutate: Mutate
    """Spoils an input so that some of it is still understood."""


def names() -> list[str]:
    """Return the names of all targets."""
    return sorted(module.name for module in pkgutil.iter_modules(targets.__path__))


def load(name: str) -> Target:
    """Return a target by its name."""
    target = importlib.import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(target, Target)
    return target


def corpus(name: str) -> list[Path]:
    """Return the files that are kept for a target."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())


def inputs(name: str) -> list[bytes]:
    """Return all that mutations begin with."""
    return [*load(name).seeds(), *(path.read_bytes() for path in corpus(name))]


def attempt(target: Target, data: bytes) -> Outcome:
    """Run a target; the rule for errors is checked here."""
    try:
        return target.run(data)
    except _REFUSALS as error:
        check_message(str(error))
        return Outcome.REFUSED


def check_message(text: str) -> None:
    """Raise AssertionError unless a message is one short line that a terminal draws."""
    assert text.strip(), "an error without a message"
    assert len(text) < LONGEST_MESSAGE, f"a message of {len(text)} characters: {text[:200]!r}"
    unseen = sorted({char for char in text if unicodedata.category(char) in _UNSEEN})
    assert not unseen, f"a message with {unseen!r}: {text[:200]!r}"


# How bytes are spoilt. All randomness comes from a `Random`, so that Hypothesis can replay and shrink it.

_WORDS = (
    *(
        b"",
        b"\0",
        b"\n",
        b"\x1b[2J",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"..",
        b"/",
        b"../../etc",
        b"-1",
    ),
    *(b"null", b"NaN", b"1e999", b"9" * 400, b"9" * 5000, b'"', b"{", b"[" * 300, b"true", b"[]", b"{}"),
    *(b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80" + bytes(10) + b"\x01", b"&a [*a]", b"\xe2\x80\xae"),
)


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Flip, insert, cut, repeat and overwrite, a few times."""
    spoilt = bytearray(data)
    for _ in range(random.randint(1, 4)):
        start = random.randint(0, len(spoilt))
        end = min(len(spoilt), start + random.choice((1, 1, 2, 4, 16, 64, 512)))
        match random.randrange(6):
            case 0 if spoilt:
                spoilt[start % len(spoilt)] ^= 1 << random.randrange(8)
            case 1:
                spoilt[start:start] = random.choice(_WORDS)
            case 2:
                del spoilt[start:end]
            case 3:
                spoilt[start:start] = spoilt[start:end]
            case 4:
                word = random.choice(_WORDS)
                spoilt[start : start + len(word)] = word
            case 5:
                del spoilt[start:]
    return bytes(spoilt)


_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        1.5,
        1e999,
        -1e999,
        10**30,
        10**400,
        "",
        "x",
        [],
        {},
        [[]],
        {"": {}},
        [None],
    ),
    *(
        "\ud800",
        "\x1b[31m",
        "a\nb",
        "\u202e",
        "../x",
        "/x",
        "a\0b",
        "x" * 5000,
        ["x"],
        [1],
        {"x": 1},
        "1",
        "-1",
    ),
)


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def mutate_value(value: Any, random: Random) -> Any:
    """Return a JSON value with one place of it replaced, dropped, doubled or nested; `value` is changed."""
    places = list(_places(value))
    if not places:
        return copy.deepcopy(random.choice(_VALUES))
    holder, key = random.choice(places)
    match random.randrange(5):
        case 0 | 1:
            holder[key] = copy.deepcopy(random.choice(_VALUES))
        case 2:
            del holder[key]
        case 3:
            other, place = random.choice(places)
            with contextlib.suppress(KeyError, IndexError):
                holder[key] = json.loads(json.dumps(other[place]))
        case 4:
            holder[key] = _nested(random.choice((1, 70, 400)))
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each list or object with each of its places, to a bounded depth."""
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        keys = holder if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            yield holder, key
            waiting.append(holder[key])


def mutate_json(data: bytes, random: Random) -> bytes:
    """Spoil a JSON document by its structure, or where it is none (any more) by its bytes."""
    try:
        value = json.loads(data)
        for _ in range(random.randint(1, 3)):
            value = mutate_value(value, random)
        spoilt = json.dumps(value).encode()
    except (ValueError, RecursionError):
        return mutate_bytes(data, random)
    return spoilt if random.random() < 0.8 else mutate_bytes(spoilt, random)
