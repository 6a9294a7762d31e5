"""An InSpec profile attacks in Ruby, in the real auditor: files, network, mounts, programs, locks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.hostile.naive import from_outside, tool, visit
from tests.hostile.profiles.engine import ANSWER
from tests.hostile.profiles.listener import DOCKER_SOCKET, TCP, listening, visits
from toolkit.scan import Request, scan

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.auditor]

ATTACKS = f"""
require 'socket'
all = []
worked = []
tried = lambda do |name, &act|
  all << name
  worked << name if act.call
rescue SystemCallError, IOError, SocketError, NoMemoryError
  nil
end
tried.call('lock') {{ File.open('/etc/answer') {{ |file| file.flock(File::LOCK_EX) }} }}
tried.call('write') {{ File.write('/etc/planted', 'x') }}
tried.call('tmp') {{ File.write('/tmp/planted', 'x') }}
tried.call('chmod') {{ File.chmod(0o4755, '/etc/answer') }}
tried.call('remove') {{ File.unlink('/etc/answer') }}
tried.call('tcp') {{ TCPSocket.new('127.0.0.1', {TCP}) }}
tried.call('udp') {{ UDPSocket.new.send('x', 0, '127.0.0.1', 53) }}
tried.call('unix') {{ UNIXSocket.new('{DOCKER_SOCKET}') }}
tried.call('abstract') {{ UNIXSocket.new("\\0control") }}
tried.call('mount') {{ system('mount', '-t', 'tmpfs', 'tmpfs', '/mnt', err: '/dev/null') }}
tried.call('program') {{ system('/opt/program', err: '/dev/null', out: '/dev/null') }}
tried.call('root') {{ Dir.chroot('/') == 0 }}
tried.call('user') {{ Process::UID.change_privilege(1000) }}
"""
NAIVELY = {"write", "tmp", "chmod", "remove", "lock", "mount", "program", "root", "user"}
COUNT = ATTACKS.count("tried.call(")
CONTROLS = f"""
{ATTACKS}
control 'attacks' do
  describe worked do it {{ should eq [] }} end
  describe all.size do it {{ should eq {COUNT} }} end
end
control 'answer' do
  describe file('/etc/answer') do
    its('content') {{ should eq "{ANSWER}\\n" }}
    its('mode') {{ should cmp '0644' }}
  end
  describe file('/etc/planted') do it {{ should_not exist }} end
end
"""


def _profile(folder: Path) -> str:
    (folder / "profile/controls").mkdir(parents=True)
    (folder / "profile/inspec.yml").write_text("name: evil\nversion: 1.0.0\n")
    (folder / "profile/controls/all.rb").write_text(CONTROLS)
    return str(folder / "profile")


def test_none_of_it_works_and_the_answers_are_right(works, container, compiled, bundle, tmp_path):
    target = listening(container)
    program = from_outside(target.pid, "/opt/program")
    program.parent.mkdir()
    shutil.copy2(compiled("int main(void) { return 0; }"), program)
    tree = tmp_path / "naive"
    shutil.copytree(target.tree, tree)
    shutil.copytree(program.parent, tree / "opt")
    if not shutil.which("ruby"):
        pytest.skip("the naive way needs Ruby (apt-get install ruby)")
    naive = visit(tree, [tool("ruby"), "-e", f"{ATTACKS}\nputs worked"])
    works(set(naive.output.split()) >= NAIVELY, "Ruby as root in a chroot gets all of it")
    result = scan(Request(target.uri, _profile(tmp_path), report_dir=tmp_path / "reports"), lambda: bundle)
    found = {each.id: (each.status.value, each.messages) for each in result.summary.findings}
    assert {name: status for name, (status, _) in found.items()} == {
        "attacks": "passed",
        "answer": "passed",
    }, found
    assert result.status == 0
    assert visits(target) == []
    assert target.written() == {"tmp/log", "run/docker.sock", "opt/program"}
