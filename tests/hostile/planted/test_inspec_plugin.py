"""A plugin that the target's ~/.inspec/plugins.json names: Ruby code that InSpec reads at its start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.planted import auditing, payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.auditor]
PLUGIN = {"name": "inspec-planted", "installation_type": "path", "installation_path": auditing.CODE}
LIST = json.dumps({"plugins_config_version": "1.0.0", "plugins": [PLUGIN]})
START = f"{BIN}/ruby --disable=gems /sys/firmware/lib/barescan/auditor.rb version"


def _plant(root: Path) -> None:
    homes = ("", "/root", auditing.HOME)
    auditing.write(root, *(f"{home}/.inspec/plugins.json" for home in homes), code=LIST)
    payload.write(root, "/etc/machine-id", f"{'0' * 31}1\n")  # so that the launcher writes none to the home


@payload.both
def test_it_is_not_read(works, bundle, container, scan, tmp_path, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = scan(target.uri, f"HOME={auditing.HOME} {START}", outputs=(payload.MARKED,))
    works(payload.SHOUT in naive.outcome.stderr and naive.outputs, "with that home InSpec reads the code")
    auditing.audit(target, bundle, tmp_path, exec_allowed=exec_allowed)
