"""A shared library that the target's openssl.cnf tells OpenSSL to load, as an engine and as a provider."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("openssl")]

CONFIGURATION = """openssl_conf = all
[all]
engines = engines
providers = providers
[engines]
evil = engine
[engine]
engine_id = evil
dynamic_path = /opt/evil.so
init = 1
[providers]
default = default
evil = provider
[default]
activate = 1
[provider]
module = /opt/evil.so
activate = 1
"""
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _plant(root: Path) -> None:
    payload.library(root / "opt/evil.so")
    for file in ("/usr/lib/ssl/openssl.cnf", "/etc/ssl/openssl.cnf"):
        payload.write(root, file, CONFIGURATION)
    payload.write(root, "/etc/issue", "")


@payload.both
def test_it_is_not_loaded(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("openssl"), "dgst", "-sha256", "/etc/issue"])
    works(naive.owned and payload.SHOUT in naive.complaint, "openssl in the chroot loads the library")
    script = f"sha256sum /etc/issue; {BIN}/env -i {BIN}/sha256sum /etc/issue; sort -R /etc/issue; rpm -qa"
    attempt = payload.audit(scan, target, f"{script}; {BIN}/oscap --version", allow_target_exec=exec_allowed)
    assert attempt.lines[:2] == [f"{EMPTY}  /etc/issue"] * 2
    assert any("OpenSCAP" in line for line in attempt.lines)
