"""MITRE's RHEL 9 STIG, unmodified, where there is next to nothing: what goes wrong is of the target."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import cast

import pytest

from toolkit.bundle.build import Bundle
from toolkit.demo import distroless, targets, trees
from toolkit.reports import hdf
from toolkit.scan import Request, scan

pytestmark = [pytest.mark.auditor, pytest.mark.bundle, pytest.mark.root, pytest.mark.slow]

# What Ruby, InSpec and shells say when something of the auditor's own is missing.
OURS = re.compile(
    r"""command not found|No such file or directory - (?!/etc/|/var/|/boot/|/usr/lib/systemd/)
      | bad interpreter|fatal library error|error while loading shared libraries|cannot open shared object
      | LoadError|cannot load such file|uninitialized constant|NameError|SystemStackError|NoMemoryError
      | Encoding::|invalid byte sequence|incompatible character encoding|incompatible encoding|US-ASCII
      | setlocale|cannot change locale|Errno::E(ACCES|PERM|ROFS|NOEXEC)|Permission\ denied
      | Train::|timed\ out""",
    re.VERBOSE,
)

# The errors of version 2.4.0, each with the file that the profile takes for granted and that is not there.
LACKING = {
    "SV-257789": "/etc/grub2.cfg",
    "SV-257820": "/etc/dnf/dnf.conf",
    "SV-257843": "/etc/fstab",
    "SV-257948": "/etc/nsswitch.conf",
    "SV-257981": "/etc/ssh/sshd_config",
    "SV-257989": "/etc/crypto-policies/back-ends/openssh.config",
    "SV-257991": "/etc/crypto-policies/back-ends/opensshserver.config",
    "SV-258003": "/etc/ssh/sshd_config",
    "SV-258042": "/etc/shadow",
    "SV-258084": "/etc/sudoers",
    "SV-258105": "/etc/shadow",
    "SV-258166": "/etc/audit/auditd.conf",
}


@pytest.fixture(params=["base", "nothing"])
def target(request, tmp_path):
    """A process in a distroless root, or in one with only a static program, that says it is RHEL 9."""
    cached = distroless.assemble(cast(distroless.Variant, request.param), print)
    root = tmp_path / "root"
    subprocess.run(["cp", "--archive", cached, root], check=True)
    trees.pass_for(root, "rhel9")
    name = f"stig-{request.param}"
    yield targets.run_inside(root, name, [distroless.PROGRAM])
    targets.down(name)


def listed(findings: list[hdf.Finding]) -> str:
    return "\n".join(f"{each.id}: {' | '.join(each.messages) or 'no result'}" for each in findings)


def test_a_whole_stig_runs_in_a_root_without_a_shell(
    target, published, bundle: Bundle, tmp_path: Path
) -> None:
    profile = published("redhat-enterprise-linux-9-stig-baseline")
    result = scan(Request(target.uri, str(profile), report_dir=tmp_path / "reports"), lambda: bundle)
    findings = list(result.summary.findings)
    assert len(findings) > 400
    errors = [each for each in findings if each.status is hdf.Status.PROFILE_ERROR]
    ours = [each for each in errors if any(OURS.search(message) for message in each.messages)]
    assert not ours, f"of the auditor:\n{listed(ours)}\nall errors:\n{listed(errors)}"
    unexplained = [
        each for each in errors if each.id not in LACKING or (target.root / LACKING[each.id][1:]).exists()
    ]
    assert not unexplained, f"unexplained:\n{listed(unexplained)}\nall errors:\n{listed(errors)}"
    for each in findings:
        if each.status is hdf.Status.NOT_REVIEWED:
            assert each.messages, each.id
            assert not any("program of the target" in message for message in each.messages), each


def test_what_it_lacks_is_named(target, published, bundle: Bundle, tmp_path: Path) -> None:
    """Controls that break on a program's absence say which one."""
    profile = published("redhat-enterprise-linux-9-stig-baseline")
    request = Request(target.uri, str(profile), report_dir=tmp_path / "reports")
    found = {each.id: each for each in scan(request, lambda: bundle).summary.findings}
    for control, program in {"SV-257818": "systemctl", "SV-257949": "NetworkManager"}.items():
        assert found[control].status is hdf.Status.NOT_REVIEWED
        assert f"it asks {program}, which the target does not have" in found[control].messages[0]
