"""An audit with the real auditor: its answers have to be right, and nothing planted may have run in it."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.conftest import Container
from tests.hostile.planted import payload
from toolkit.auditor import Entering
from toolkit.bundle.build import Bundle
from toolkit.scan import Request, scan

HOME = "/home/evil"
CODE = "/opt/evil.rb"
_CONTROLS = f"""
require 'csv'
require 'erb'
control 'content' do
  describe file('/etc/issue') do its('content') {{ should eq "true content\\n" }} end
  describe yaml('/etc/a.yml') do its('a') {{ should eq 1 }} end
end
control 'tools' do
  describe command('id -u') do its('stdout') {{ should eq "0\\n" }} end
  describe json(command: "echo '{{\\"a\\": 1}}'") do its('a') {{ should eq 1 }} end
  describe user('root') do its('home') {{ should eq '{HOME}' }} end
  describe gem('planted') do it {{ should_not be_installed }} end
end
control 'nothing ran' do
  describe file('{payload.SCRATCH}/{payload.MARKED}') do it {{ should_not exist }} end
end
"""


def write(root: Path, *files: str, code: str = payload.RUBY) -> None:
    """Put one file at all these places of a tree, and what the audit asks about; `CODE` shows that it ran."""
    for file in files:
        payload.write(root, file, code)
    payload.write(root, CODE, payload.RUBY)
    payload.write(root, "/etc/passwd", f"root:x:0:0:root:{HOME}:/bin/bash\n")
    payload.write(root, "/etc/issue", "true content\n")
    payload.write(root, "/etc/a.yml", "a: 1\n")


def audit(target: Container, bundle: Bundle, folder: Path, *, exec_allowed: bool) -> None:
    """Audit a target that `write` was made use of for."""
    profile = folder / "profile"
    payload.write(profile, "inspec.yml", "name: planted\nversion: 1.0.0\n")
    payload.write(profile, "controls/all.rb", _CONTROLS)
    entering = Entering(allow_target_exec=exec_allowed)
    request = Request(target.uri, str(profile), report_dir=folder / "reports", entering=entering)
    result = scan(request, lambda: bundle)
    found = {each.id: (each.status.value, each.messages) for each in result.summary.findings}
    assert {name: status for name, (status, _) in found.items()} == dict.fromkeys(found, "passed"), found
    assert set(found) == {"content", "tools", "nothing ran"}
    log = result.folder / "engine.log"
    assert not log.exists() or payload.SHOUT not in log.read_text()
    assert target.written() == set()
