"""A certification authority for one run, and the server's certificate from it."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(folder: Path) -> tuple[Path, Path, Path]:
    """Return the certificate of a new authority, and the certificate and key of 127.0.0.1 from it."""
    authority, authority_key = folder / "ca.crt", folder / "ca.key"
    server, key, request = folder / "server.crt", folder / "server.key", folder / "server.csr"
    new: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    _openssl(
        *("req", "-x509", *new, "-keyout", authority_key, "-out", authority, "-days", "2"),
        *("-subj", "/CN=double-ca", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    _openssl("req", *new, "-keyout", key, "-out", request, "-subj", "/CN=kube-apiserver")
    extensions = folder / "server.ext"
    extensions.write_text(
        "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes\n"
        "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    _openssl(
        *("x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority_key, "-CAcreateserial"),
        *("-out", server, "-days", "2", "-extfile", extensions),
    )
    return authority, server, key


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
