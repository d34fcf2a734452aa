"""The secure stack's own certificate authority, and the broker's certificate from it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BROKER = "fraudstream-broker"
_VALID = timedelta(days=825)
_RENEWED = timedelta(days=30)


def ensure(folder: Path) -> None:
    """Have ca.pem (what clients trust) and broker.pem (key and certificate, for its owner only) in `folder`.

    They are made where they are missing or end within 30 days. The authority's own key is kept nowhere: nobody can
    make a second certificate, and new ones need a new authority."""
    authority, broker = folder / "ca.pem", folder / "broker.pem"
    if authority.exists() and broker.exists():
        known = x509.load_pem_x509_certificate(authority.read_bytes())
        if known.not_valid_after_utc - datetime.now(UTC) > _RENEWED:
            return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    issuer = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("fraudstream-ca", issuer, None, issuer)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _certificate(BROKER, key, root, issuer)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(broker, private + _pem(leaf) + _pem(root))
    _write(authority, _pem(root))


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, root: x509.Certificate | None, issuer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """A certificate for `key`, signed by `issuer`: of the authority itself where there is no `root` yet."""
    now, subject = datetime.now(UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    building = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(root.subject if root else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=root is None, path_length=None), critical=True)
    )
    if root is not None:
        names = [x509.DNSName("localhost"), *(x509.IPAddress(ip_address(text)) for text in ("127.0.0.1", "::1"))]
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        building = building.add_extension(x509.SubjectAlternativeName(names), critical=False)
        building = building.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    return building.sign(issuer, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)
