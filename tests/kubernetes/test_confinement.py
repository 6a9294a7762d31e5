"""An auditor in a pod is held by the same layers, but for those that the node or its runtime has not."""

from __future__ import annotations

import json

import pytest

from tests.kubernetes.clusters import Cluster
from tests.kubernetes.scanning import Scanner
from toolkit.agent import layers
from toolkit.auditor import Entering
from toolkit.errors import ScanError

pytestmark = [pytest.mark.bundle]


def test_the_record_names_the_layers_and_full_is_refused_where_one_is_missing(
    cluster: Cluster, namespace: str, scanner: Scanner, distroless: str
) -> None:
    pod = cluster.pod(namespace, distroless)
    record = json.loads((scanner(f"{namespace}/{pod}/app").folder / "scan.json").read_text())
    states = record["confinement"]
    of_the_node = {layers.LANDLOCK, layers.SCOPES, layers.CGROUP}
    assert {name: state for name, state in states.items() if name not in of_the_node} == dict.fromkeys(
        set(layers.NAMES) - of_the_node, layers.ON
    )
    for name in (layers.LANDLOCK, layers.SCOPES):
        assert states[name] == layers.ON or "Landlock" in states[name]
    assert states[layers.CGROUP] == layers.ON or states[layers.CGROUP].startswith(layers.DOES_NOT_APPLY)
    full = Entering(require_confinement=layers.FULL)
    if layers.lacking(states):
        with pytest.raises(ScanError, match="full confinement is required, and not to be had here: landlock"):
            scanner(f"{namespace}/{pod}/app", entering=full)
    else:
        assert scanner(f"{namespace}/{pod}/app", entering=full).summary.total > 20


def test_what_is_lifted_in_a_pod_marks_its_report(
    cluster: Cluster, namespace: str, scanner: Scanner, distroless: str
) -> None:
    pod = cluster.pod(namespace, distroless)
    lifted = Entering(allow_network=True, allow_target_exec=True)
    result = scanner(f"{namespace}/{pod}/app", entering=lifted)
    ours = result.report["passthrough"]["barescan"]
    assert ours["lifted"] == ["--allow-network", "--allow-target-exec"]
    assert ours["confinement"][layers.NOEXEC] == "lifted by --allow-target-exec"
