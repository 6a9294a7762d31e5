"""A full tree gives the same answers through barescan as the auditor run natively inside it.

Natively means: the same gems on the tree's own Ruby, with its own shell and its own tools, without our
launcher, shim and view library.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from toolkit.bundle.build import Bundle
from toolkit.demo import native, targets, trees
from toolkit.engines.base import JOB, MOUNT
from toolkit.reports import hdf
from toolkit.scan import Request, scan

pytestmark = [pytest.mark.auditor, pytest.mark.bundle, pytest.mark.root, pytest.mark.slow]

SERVER = "require 'socket'; TCPServer.new('127.0.0.1', 8080); sleep"
# Which errors name, natively and in a scan.
PLACES = (native.PROFILE, f"{JOB}/profile", native.GEMS, f"{MOUNT}/gems")
RAN = {0, 100, 101}

EVERYTHING = r"""
control 'file' do
  describe file('/etc/shadow') do
    it { should exist }
    its('mode') { should cmp '0640' }
    its('owner') { should eq 'root' }
    its('group') { should eq 'shadow' }
    it { should_not be_readable.by('others') }
    its('content') { should match(/^root:/) }
    its('selinux_label') { should be_nil }
  end
  describe file('/bin/sh') do
    it { should be_executable }
    it { should be_symlink }
    its('link_path') { should eq '/usr/bin/dash' }
  end
  describe file('/proc') do it { should be_mounted } end
  describe file('/opt') do it { should be_mounted } end
  describe file('/etc/passwd') do it { should be_immutable } end
  describe directory('/tmp') do its('mode') { should cmp '01777' } end
  describe file('/opt/acl') do
    it { should be_readable }
    it { should be_writable }
    it { should be_executable }
  end
end
control 'user' do
  describe user('root') do
    it { should exist }
    its('uid') { should eq 0 }
    its('groups') { should eq ['root'] }
    its('shell') { should eq '/bin/bash' }
    its('maxdays') { should eq 99999 }
    its('mindays') { should eq 7 }
  end
  describe user('ann') do
    its('mindays') { should eq 3 }
    its('maxdays') { should eq 60 }
    its('warndays') { should eq 9 }
    its('groups') { should include 'shadow' }
  end
  describe user('nobody-here') do it { should exist } end
  describe users.where { uid >= 1000 } do its('usernames') { should include 'ann' } end
  describe passwd.uids('0') do its('users') { should cmp 'root' } end
  describe shadow.where(user: 'ann') do its('max_days') { should cmp 60 } end
end
control 'group' do
  describe group('shadow') do
    it { should exist }
    its('gid') { should eq 42 }
    its('members') { should include 'ann' }
  end
  describe groups.where { gid == 0 } do its('names') { should eq ['root'] } end
end
control 'package' do
  describe package('bash') do
    it { should be_installed }
    its('version') { should match(/^5\./) }
  end
  describe package('openssh-server') do it { should_not be_installed } end
  describe packages(/^libc6$/) do its('statuses') { should cmp 'installed' } end
end
control 'mount' do
  describe mount('/') do
    it { should be_mounted }
    its('type') { should eq 'overlay' }
    its('options') { should include 'rw' }
    its('options') { should include 'noexec' }
  end
  describe mount('/dev/shm') do its('options') { should include 'noexec' } end
  describe mount('/sys') do its('options') { should include 'ro' } end
  describe mount('/sys/firmware') do it { should be_mounted } end
  describe mount('/nowhere') do it { should be_mounted } end
  describe filesystem('/') do its('type') { should cmp 'overlay' } end
end
control 'command' do
  describe command('echo $((6 * 7)); exit 3') do
    its('stdout') { should eq "42\n" }
    its('exit_status') { should eq 3 }
  end
  describe command('nonsense') do
    it { should exist }
    its('exit_status') { should eq 127 }
  end
  describe command('nonsense | cat') do its('stderr') { should match(/not found/) } end
  describe command('grep -c . /etc/passwd') do its('stdout.to_i') { should be > 5 } end
  describe command('test -x /bin/sh && echo yes') do its('stdout') { should eq "yes\n" } end
  describe command('test -w /usr && echo yes') do its('stdout') { should eq "yes\n" } end
  describe command('find / -xdev -perm -4000 -type f | sort') do its('stdout') { should eq "" } end
  describe command('stat -c %a /etc/shadow') do its('stdout') { should eq "640\n" } end
  describe bash('set -o pipefail; false | true') do its('exit_status') { should eq 1 } end
  %w[ruby dash dpkg oscap rpm python3 gawk].each do |name|
    describe command(name) do it { should exist } end
  end
end
control 'processes' do
  describe processes('ruby3.3') do it { should exist } end
  describe processes(/TCPServer/) do
    its('users') { should include 'root' }
    its('pids') { should include 1 }
  end
  describe processes('sshd') do it { should exist } end
  describe processes(/firmware/) do it { should exist } end
end
control 'port' do
  describe port(8080) do
    it { should be_listening }
    its('addresses') { should eq ['127.0.0.1'] }
    its('protocols') { should eq ['tcp'] }
    its('pids') { should eq [1] }
  end
  describe port(22) do it { should be_listening } end
end
control 'kernel_parameter' do
  describe kernel_parameter('kernel.randomize_va_space') do its('value') { should eq 2 } end
  describe kernel_parameter('net.ipv4.ip_forward') do its('value') { should eq 1 } end
  describe kernel_parameter('no.such') do its('value') { should eq 0 } end
  describe kernel_module('usb_storage') do it { should be_disabled } end
end
control 'os' do
  describe os.family do it { should eq 'debian' } end
  describe os.name do it { should eq 'debian' } end
  describe os.release do it { should match(/^13/) } end
  describe os_env('PATH') do its('content') { should match(%r{/usr/sbin}) } end
  describe sys_info do its('hostname') { should eq 'native-auditor' } end
  describe virtualization do its('system') { should eq 'docker' } end
end
control 'service' do
  describe service('cron') do
    it { should be_installed }
    it { should be_enabled }
    it { should be_running }
  end
end
control 'network' do
  describe interface('lo') do it { should be_up } end
  describe host('localhost') do it { should be_resolvable } end
end
control 'configuration' do
  describe login_defs do its('PASS_MAX_DAYS') { should eq '99999' } end
  describe etc_hosts.where { ip_address == '127.0.0.1' } do its('primary_name') { should cmp 'localhost' } end
  describe parse_config_file('/etc/adduser.conf') do its('X') { should be_nil } end
  describe ini('/etc/debian_version') do its('X') { should be_nil } end
  describe apt('http://example.org') do it { should exist } end
end
"""

COMMANDS = r"""
mount
cat /proc/mounts
findmnt -rn
df -PT / /dev /dev/shm /etc/hosts | awk '{ print $1, $2, $7 }'
stat -fc %T / /proc /dev
getent passwd
getent shadow
getent group
id root
id ann
groups ann
chage -l ann
who
getfacl -p /etc/shadow
lsattr -d /etc /etc/passwd
getcap -r /usr
namei -l /bin/sh
ip -o addr
ip route
ss -ltn
ss -ltnp
ps -p 1 -o pid,user,args
pgrep -P 0 -f TCPServer
pidof nothing
sysctl -a 2>/dev/null | sed 's/=.*//' | sort
sysctl -n kernel.hostname
lsmod
modprobe --showconfig
blkid
lsblk -n
hostname
uname -a
uptime | grep -c load
free | wc -l
locale -a
dpkg-query -W
dpkg -V
dpkg -s bash
dpkg -S /bin/bash
find / -xdev ! -path '/dev*' -printf '%p %y %m %u %g %s %l\n' | sort
find /etc -type f -readable -writable | sort
find / -xdev -executable -type f | sort
find / -xdev -nouser -o -xdev -nogroup
ls -laR /etc
stat -c '%n %A %h %U %G' /[a-eg-o]* /[q-z]*
stat -Lc '%n %A %U %G %t:%T' /dev/[a-rt-z]*
ls -A /sys/firmware
umask
test -r /etc/shadow
test -w /etc/shadow
test -x /etc/shadow
type ls
which -a ls gawk
command -v rpm ss
cat /proc/1/cmdline
grep CapEff /proc/1/status
readlink /etc/mtab
date +%Z
sha256sum /etc/shadow
"""
# What each says goes into the description, and so is compared.
WHOLE = """
LINES.each do |line|
  control line do
    done = command(line)
    said = done.stdout.dup.force_encoding('UTF-8').scrub
    describe "#{done.exit_status} #{said}" do it { should be_nil } end
  end
end
"""

RHEL = "redhat-enterprise-linux-9-stig-baseline"


class Answer(NamedTuple):
    """One result, without what differs between any two runs."""

    control: str
    description: str
    status: str


@pytest.fixture(params=["everything", "distroless-baseline", "linux-baseline", RHEL])
def profile(request: pytest.FixtureRequest, tmp_path: Path, published: Callable[[str], Path]) -> Path:
    """The profiles that are run both ways."""
    name: str = request.param
    if name != "everything":
        return published(name)
    folder = tmp_path / "everything"
    (folder / "controls").mkdir(parents=True)
    (folder / "inspec.yml").write_text("name: everything\nversion: 1.0.0\n")
    lines = json.dumps(COMMANDS.split("\n")[1:-1])  # which is Ruby too
    (folder / "controls" / "all.rb").write_text(EVERYTHING + WHOLE.replace("LINES", lines))
    return folder


@pytest.fixture
def target(profile, tmp_path):
    """A running full tree with the gems and the profile in it, one process, one more user."""
    root = trees.tree("stable", native.AUDITOR_PACKAGES, dest=tmp_path / "root", progress=print)
    if profile.name == RHEL:
        trees.pass_for(root, "rhel9")
    native.furnish(root, Path(os.environ["BARESCAN_GEMS"]), profile)
    for name, line in {
        "passwd": "ann:x:1000:1000::/home/ann:/bin/bash",
        "shadow": "ann:!:20000:3:60:9:::",
        "group": "ann:x:1000:",
    }.items():
        with (root / "etc" / name).open("a") as file:
            file.write(f"{line}\n")
    groups = root / "etc/group"
    groups.write_text(groups.read_text().replace("shadow:x:42:\n", "shadow:x:42:ann\n"))
    running = targets.run_inside(root, "native-auditor", ["/usr/bin/ruby3.3", "-e", SERVER])
    until = time.monotonic() + 10
    while b":8080" not in running.run(["ss", "-ltn"]).stdout and time.monotonic() < until:
        time.sleep(0.05)  # whose sockets are whose is recorded when a scan begins
    yield running
    targets.down("native-auditor")


def natively(target: targets.RunningTarget) -> hdf.Report:
    done = target.run(native.auditor_command(), native.AUDITOR_ENVIRONMENT)
    assert done.returncode in RAN, done.stderr.decode()[-2000:]
    report: hdf.Report = json.loads((target.root / native.REPORT.lstrip("/")).read_text())
    return report


def controls(report: hdf.Report) -> dict[str, dict[str, Any]]:
    return {control["id"]: control for control in report["profiles"][0]["controls"]}


def answers(control: dict[str, Any]) -> list[Answer]:
    found = []
    for each in control.get("results") or []:
        description = each["code_desc"]
        for place in PLACES:
            description = description.replace(place, "…")
        found.append(Answer(control["id"], description, each["status"]))
    return sorted(found)


def withdrawn(control: dict[str, Any]) -> str:
    """Return why a control is not reviewed, where that is what barescan made of it."""
    reason = control.get("tags", {}).get("barescan", {}).get("reason", "")
    return str(reason) if hdf.control_status(control) is hdf.Status.NOT_REVIEWED else ""


def test_every_result_is_the_one_given_natively(profile, target, bundle: Bundle, tmp_path):
    request = Request(target.uri, str(profile), report_dir=tmp_path / "reports")
    ours = controls(scan(request, lambda: bundle).report)
    native = controls(natively(target))
    assert ours.keys() == native.keys()
    different, reasons = [], {}
    for name, control in native.items():
        reason = withdrawn(ours[name])
        if reason:
            reasons[name] = reason
        elif answers(control) != answers(ours[name]):
            theirs, mine = Counter(answers(control)), Counter(answers(ours[name]))
            different.append((sorted((theirs - mine).elements()), sorted((mine - theirs).elements())))
    lines = (f"natively {theirs}\n  here   {mine}" for theirs, mine in different)
    assert not different, "\n".join(lines)
    assert len(reasons) < len(native) / 10, "too much is withdrawn for the comparison to mean anything"
    decided = Counter(each.status for control in native.values() for each in answers(control))
    assert min(decided["passed"], decided["failed"]) > 5
