"""A desk with its accounts, and an authenticator in software."""

import base64
import hashlib
import importlib.util
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_spec = importlib.util.spec_from_file_location("desk_fixtures", Path(__file__).parents[1] / "desk" / "conftest.py")
assert _spec is not None and _spec.loader is not None
desk = sys.modules.setdefault("desk_fixtures", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(desk)

_workshop_template, workshops, workshop = desk._workshop_template, desk.workshops, desk.workshop
postgres_workshop, packages, office_of, office = desk.postgres_workshop, desk.packages, desk.office_of, desk.office

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


@dataclass
class Authenticator:
    """Makes one passkey and signs with it (WebAuthn level 2, 6.1 and 6.5)."""

    origin: str = "https://portal.example"
    rp_id: str = "portal.example"
    flags: int = PRESENT | VERIFIED
    count: int = 0
    credential: bytes = b"credential-of-one"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(self, options: str) -> str:
        """What ``navigator.credentials.create`` gives."""
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.credential).to_bytes(2, "big") + self.credential + cbor2.dumps(cose)
        data = self._data(self.flags | ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options)
        return self._answer({"attestationObject": text(attestation), "clientDataJSON": text(client)})

    def get(self, options: str) -> str:
        """What ``navigator.credentials.get`` gives."""
        self.count += 1
        data, client = self._data(self.flags), self._client("webauthn.get", options)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        values = {
            "authenticatorData": data,
            "clientDataJSON": client,
            "signature": signature,
        }
        return self._answer({name: text(value) for name, value in values.items()})

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind: str, options: str) -> bytes:
        challenge = json.loads(options)["challenge"]
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _answer(self, response: dict[str, Any]) -> str:
        name = text(self.credential)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator()
