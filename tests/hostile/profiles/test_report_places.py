"""A profile puts something else in its report's place: a link to a secret, a pipe, a file without end."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import TRIED, answered, malicious, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

PUTS = {
    "link": 'os.symlink("%s", "report")',
    "relative link": 'os.symlink("../../../etc/answer", "report")',
    "link to memory": 'os.symlink("/proc/self/environ", "report")',
    "pipe": 'os.mkfifo("report")',
    "link to a directory": 'os.symlink("/etc", "report")',
    "too large": 'open("report", "wb").truncate(300 << 20)',
    "device": 'os.symlink("/dev/zero", "report")',
}


@pytest.mark.parametrize("put", PUTS)
def test_it_is_no_report(works, container, scan, tmp_path, put):
    secret = tmp_path / "shadow"
    secret.write_text("root:secret")
    (tmp_path / "report").symlink_to(secret)
    works(
        (tmp_path / "report").read_text() == "root:secret",
        "who copies the report by its name gets the host's file",
    )
    target = container(prepare=plant)
    attack = PUTS[put] % secret if "%s" in PUTS[put] else PUTS[put]
    attempt = scan(target.uri, malicious(f"import os\n{attack}"), outputs=["report", "other"])
    assert answered(attempt) == []
    assert attempt.outputs == {}


def test_a_directory_is_none_either(container, scan):
    attempt = scan(
        container(prepare=plant).uri, malicious('import os; os.mkdir("report")'), outputs=["report"]
    )
    assert attempt.outputs == {}
    assert attempt.error or attempt.outcome.complete


def test_a_hard_link_gives_only_what_is_the_profiles(container, scan):
    """The scratch directory is a file system of its own, so nothing else can be linked into it."""
    attack = f'{TRIED}import os\ntried("link", os.link, "/etc/answer", "report")'
    attempt = scan(container(prepare=plant).uri, malicious(attack), outputs=["report"])
    assert answered(attempt) in (["link EXDEV"], ["link EPERM"])
    assert attempt.outputs == {}


def test_all_reports_together_have_a_bound(container, scan):
    attack = 'for name in "abc":\n    open(name, "wb").truncate(9 << 20)'
    attempt = scan(container(prepare=plant).uri, malicious(attack), outputs=list("abc"), max_report=20 << 20)
    assert answered(attempt) == []
    assert {name: len(content) for name, content in attempt.outputs.items()} == dict.fromkeys("ab", 9 << 20)
