"""The real auditor in a target with nothing in it: commands, files, progress, what is never run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit.bundle.build import Bundle
from toolkit.engines.base import Options, Progress
from toolkit.errors import BarescanError, CallError, ScanError
from toolkit.scan import Request, Result, Watcher, scan

pytestmark = [pytest.mark.auditor, pytest.mark.bundle, pytest.mark.root, pytest.mark.slow]

SHELL_AND_TOOLS = """
control 'shell' do
  describe command('echo $((40 + 2)) | tr 4 5') do
    its('stdout') { should eq "52\\n" }
    its('stdout.encoding') { should eq Encoding::ASCII_8BIT }
  end
  describe command('/bin/sh -c "exit 7"') do its('exit_status') { should eq 7 } end
  describe command('uname -s') do its('stdout') { should eq "Linux\\n" } end
  describe command('/usr/bin/seq 1 70000') do its('stdout.lines.count') { should eq 70000 } end
  describe command('no-such-program') do its('exit_status') { should eq 1 } end
end
control 'ruby' do
  describe `uname`.chomp do it { should eq 'Linux' } end
  describe `echo $((1 + 1))`.chomp do it { should eq '2' } end
  describe IO.popen(%w[uname -s]).read.chomp do it { should eq 'Linux' } end
  describe system('true') do it { should eq true } end
  describe Process.wait2(Process.spawn('sh', '-c', 'exit 3')).last.exitstatus do it { should eq 3 } end
end
control 'answers are of the target' do
  describe command('bash') do it { should_not exist } end
  describe command('own') do it { should exist } end
  describe file('/bin/sh') do it { should_not exist } end
  describe file('/opt/own') do its('mode') { should cmp '0755' }; its('selinux_label') { should be_nil } end
end
control 'its programs are never run' do
  describe command('own') do its('stdout') { should eq '' } end
end
control 'nor in a shell' do
  describe command('/opt/own; echo done') do its('stdout') { should eq "done\\n" } end
end
control 'nor while a control is read, and answered from a cache' do
  found = command('own').stdout
  describe found do it { should eq '' } end
end
control 'wrong' do
  impact 0.7
  describe file('/missing') do it { should exist } end
end
control 'by input' do
  describe input('token') do it { should eq 'hunter2' } end
  describe input('limit') do it { should eq 3 } end
end
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A root with the directories of a runtime and one program that must never be run."""
    root = tmp_path / "root"
    for name in ("proc", "sys", "dev", "etc", "opt", "usr/bin"):
        (root / name).mkdir(parents=True)
    for place in ("opt/own", "usr/bin/own"):
        (root / place).write_text("#!/bin/sh\necho the target ran\n")
        (root / place).chmod(0o755)
    return root


def write_profile(root: Path, controls: str, metadata: str = "") -> str:
    (root / "profile" / "controls").mkdir(parents=True)
    (root / "profile" / "inspec.yml").write_text(f"name: demo\nversion: 1.0.0\n{metadata}")
    (root / "profile" / "controls" / "all.rb").write_text(controls)
    return str(root / "profile")


class Seen(Watcher):
    """Remembers the controls that finished."""

    def __init__(self) -> None:
        self.controls: dict[str, str] = {}

    def control(self, progress: Progress) -> None:
        self.controls[progress.control] = progress.status


def run(target: Path, profile: str, bundle: Bundle, tmp_path: Path, options: Options | None = None) -> Result:
    request = Request(
        f"rootfs://{target}", profile, options=options or Options(), report_dir=tmp_path / "reports"
    )
    return scan(request, lambda: bundle, SEEN)


SEEN = Seen()


def test_a_profile_runs_where_there_is_nothing(target: Path, bundle: Bundle, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs.yml"
    inputs.write_text("token: hunter2\nlimit: 1\n")
    options = Options(input_files=(inputs,), inputs=(("limit", "3"),))
    result = run(target, write_profile(tmp_path, SHELL_AND_TOOLS), bundle, tmp_path, options)
    found = {each.id: each for each in result.summary.findings}
    assert {name: each.status.value for name, each in found.items()} == {
        "shell": "passed",
        "ruby": "passed",
        "answers are of the target": "passed",
        "its programs are never run": "not_reviewed",
        "nor in a shell": "not_reviewed",
        "nor while a control is read, and answered from a cache": "not_reviewed",
        "wrong": "failed",
        "by input": "passed",
    }
    assert "/usr/bin/own" in found["its programs are never run"].messages[0]
    assert result.status == 100
    assert SEEN.controls == {name: "failed" if name == "wrong" else "passed" for name in found}
    assert "hunter2" not in (result.folder / "scan.json").read_text()


@pytest.mark.parametrize(
    ("controls", "metadata", "kind", "said"),
    [
        ("control 'x' do\n", "", CallError, "syntax error"),
        ("", "", ScanError, "not one control"),
        ("control 'x' do\nend\n", "inspec_version: '>= 99'\n", CallError, ">= 99"),
        ("control 'x' do\nend\n", "supports:\n  - platform: windows\n", ScanError, "unsupported platform"),
    ],
)
def test_what_gave_no_answer_is_an_error(
    controls: str,
    metadata: str,
    kind: type[BarescanError],
    said: str,
    target: Path,
    bundle: Bundle,
    tmp_path: Path,
) -> None:
    with pytest.raises(kind, match=said):
        run(target, write_profile(tmp_path, controls, metadata), bundle, tmp_path)


def test_what_had_no_effect_is_told_and_recorded(target: Path, bundle: Bundle, tmp_path: Path) -> None:
    profile = write_profile(tmp_path, "control 'one' do\n  describe 1 do it { should eq 1 } end\nend\n")
    (tmp_path / "waiver.yml").write_text("onne:\n  run: false\n  justification: none\n")
    options = Options(inputs=(("tokne", "hunter2"),), waiver_files=(tmp_path / "waiver.yml",))
    result = run(target, profile, bundle, tmp_path, options)
    record = (result.folder / "scan.json").read_text()
    assert [text.split("'")[1] for text in json.loads(record)["warnings"]] == ["tokne", "onne"]
    assert "hunter2" not in record
    for word in ("onne", "/x/"):
        with pytest.raises(CallError, match=f"has no control '{word}'"):
            run(target, profile, bundle, tmp_path, Options(controls=(word,)))
    assert run(target, profile, bundle, tmp_path, Options(controls=("/^o/",))).status == 0
