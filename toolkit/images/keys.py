"""Signatures by a key pair, as `cosign sign` and `cosign sign-blob --key` make them, checked without network.

The specification is sigstore/cosign's specs/SIGNATURE_SPEC.md: ECDSA on P-256 over the SHA-256 of what is
signed, DER, in base64. RSA keys (PKCS #1 v1.5, SHA-256) can be imported into cosign. Certificates and
the transparency log belong to keyless signing, which needs a root of trust that is kept up to date.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from toolkit.errors import CallError, ScanError
from toolkit.reports.files import read_capped
from toolkit.reports.text import visible

_LARGEST_KEY = 64 << 10
_LARGEST_SIGNATURE = 16 << 10
_LEAST_RSA_BITS = 2048
_KINDS = (
    f"an ECDSA key on P-256 (what `cosign generate-key-pair` makes), or RSA of {_LEAST_RSA_BITS} bits or more"
)
_SHA256 = Prehashed(hashes.SHA256())


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked by."""

    kind: str
    fingerprint: str
    """`sha256:` and the SHA-256 of the key in DER (SubjectPublicKeyInfo), as `openssl pkey` writes it."""
    _key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey

    def has_signed(self, sha256: bytes, signature: bytes) -> bool:
        """Tell whether this signature is by this key, over what has this SHA-256 (32 bytes)."""
        try:
            if isinstance(self._key, rsa.RSAPublicKey):
                self._key.verify(signature, sha256, padding.PKCS1v15(), _SHA256)
            else:
                self._key.verify(signature, sha256, ec.ECDSA(_SHA256))
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        """Return how it is told to the user."""
        return f"{self.fingerprint} ({self.kind})"


def read_key(path: Path) -> PublicKey:
    """Read a public key in PEM; raises CallError for anything else, and for a kind that is not supported."""
    content = read_capped(path, _LARGEST_KEY, "public key")
    name = visible(str(path))
    if b"PRIVATE KEY-----" in content:
        raise CallError(f"{name} is a private key", "give the public half of it, such as cosign.pub")
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, TypeError):
        raise CallError(
            f"{name} is no public key in PEM", "name a file that begins with -----BEGIN PUBLIC KEY-----"
        ) from None
    except UnsupportedAlgorithm:
        raise CallError(f"{name} is a key of an unknown kind", f"use {_KINDS}") from None
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    fingerprint = f"sha256:{hashlib.sha256(der).hexdigest()}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        if isinstance(key.curve, ec.SECP256R1):
            return PublicKey("ECDSA P-256", fingerprint, key)
        raise CallError(f"{name} is an ECDSA key on {key.curve.name}", f"use {_KINDS}")
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size >= _LEAST_RSA_BITS:
            return PublicKey(f"RSA {key.key_size}", fingerprint, key)
        raise CallError(f"{name} is an RSA key of {key.key_size} bits", f"use {_KINDS}")
    kind = type(key).__name__.removesuffix("PublicKey").strip("_")
    raise CallError(f"{name} is a key of the kind {kind}", f"use {_KINDS}")


def read_signature(path: Path) -> bytes:
    """Read a signature as cosign writes it, base64 in a file; raises CallError for anything else."""
    content = read_capped(path, _LARGEST_SIGNATURE, "signature")
    name = visible(str(path))
    if content.lstrip().startswith(b"{"):
        raise CallError(
            f"{name} is JSON, as a Sigstore bundle is, not a bare signature",
            "sign with `cosign sign-blob --key K --output-signature F`",
        )
    try:
        return decoded(content.decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        raise CallError(
            f"{name} is no signature in base64",
            "give what cosign wrote; of a DER file make it with: base64 -w0 F.der > F.sig",
        ) from None


def decoded(text: str) -> bytes:
    """Return the bytes of a signature in base64 (line breaks are allowed); raises ValueError."""
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if not content:
        raise ValueError("it is empty")
    return content


def check_file(file: Path, signature: Path, key: PublicKey) -> str:
    """Check a detached signature over a whole file (`cosign sign-blob`); return the file's SHA-256 in hex.

    Raises CallError for files that can't be used, ScanError when the key has not signed this file.
    """
    given = read_signature(signature)
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256")
    except OSError as error:
        raise CallError(f"{file} can't be read: {error.strerror}", "check the path") from None
    if not key.has_signed(found.digest(), given):
        raise ScanError(
            f"{visible(str(signature))} does not sign {visible(str(file))} by the key {key.fingerprint}",
            "do not use the file: it was changed, or another file or key was meant",
        )
    return found.hexdigest()
