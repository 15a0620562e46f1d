"""ECDH and ECDSA on the vectors of github C2SP/wycheproof (Apache-2.0), by the functions that the gateway calls."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from asn1crypto.core import OctetString
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from smpki.asn1.signer_info import SignedDataError, verify_signature
from smpki.errors import GatewayError
from smpki.gateway.agreement import agree
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Slot
from smpki.hsm.key import KeyUse
from smpki.hsm.lookup import EC_PARAMS
from smpki.hsm.software_vault import SoftwareVault
from smpki.hsm.token import Token

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "wycheproof"
HASHES = {"SHA-256": hashes.SHA256(), "SHA-384": hashes.SHA384(), "SHA-512": hashes.SHA512()}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the vectors are not at {FOLDER}")


@cache
def groups(name: str) -> Any:
    return json.loads((FOLDER / f"{name}_test.json").read_text())["testGroups"]


def ecdh() -> Iterator[tuple[dict[str, Any], ec.EllipticCurvePrivateKey]]:
    for group in groups("ecdh_brainpoolP256r1"):
        for vector in group["tests"]:
            yield vector, ec.derive_private_key(int(vector["private"], 16), ec.BrainpoolP256R1())


def outcome(call: Callable[[], bytes]) -> tuple[bytes | None, str]:
    try:
        return call(), ""
    except GatewayError as error:
        return None, error.code


def by_software(private: ec.EllipticCurvePrivateKey, info: bytes) -> tuple[bytes | None, str]:
    vault = SoftwareVault()
    vault.add("smgw wan-enc 1", private, KeyUse.SIGN | KeyUse.DERIVE)
    with SecurityModule(vault) as module:
        return outcome(lambda: module.agree(Slot.WAN_ENC_NEXT, info))


WHY = {
    "CompressedPoint": "agreement.point_format",
    "UnnamedCurve": "agreement.parameters",
    "WrongCurve": "agreement.curve",
    "ModifiedGroup": "agreement.curve",
    "InvalidCurveAttack": "agreement.off_curve",
    "ModifiedPublicPoint": "agreement.off_curve",
}
"""By a vector's flag, the first that fits."""


def test_key_agreement_by_the_module() -> None:
    """What is only acceptable is refused as well: compressed points, curves without a name, other encodings."""
    refused: Counter[str] = Counter()
    for vector, private in ecdh():
        secret, code = by_software(private, bytes.fromhex(vector["public"]))
        if vector["result"] == "valid":
            assert secret == bytes.fromhex(vector["shared"]), vector
        else:
            assert secret is None, vector
            expected = next((why for flag, why in WHY.items() if flag in vector["flags"]), code)
            assert code == expected, vector
            refused[code] += 1
    assert refused.keys() >= set(WHY.values())


def in_session(token: Token, private: ec.EllipticCurvePrivateKey, number: int) -> ec.EllipticCurvePrivateKey:
    """A handle of a vector's key, imported for as long as the token's session lasts."""
    label, key_id = f"vector {number}", number.to_bytes(4)
    public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    common = {
        pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.EC,
        pkcs11.Attribute.TOKEN: False,
        pkcs11.Attribute.LABEL: label,
        pkcs11.Attribute.ID: key_id,
        pkcs11.Attribute.EC_PARAMS: EC_PARAMS[private.curve.name],
    }
    scalar = private.private_numbers().private_value.to_bytes(32)
    with token.channel("import a vector") as channel:
        channel.session.create_object(
            {
                **common,
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY,
                pkcs11.Attribute.DERIVE: True,
                pkcs11.Attribute.VALUE: scalar,
            }
        )
        channel.session.create_object(
            {
                **common,
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY,
                pkcs11.Attribute.EC_POINT: OctetString(public).dump(),
            }
        )
    return token.key(label=label, key_id=key_id)


def test_key_agreement_in_a_token(token: Token) -> None:
    keys: dict[int, ec.EllipticCurvePrivateKey] = {}
    for vector, private in ecdh():
        scalar = private.private_numbers().private_value
        if scalar not in keys:
            keys[scalar] = in_session(token, private, len(keys))
        key, info = keys[scalar], bytes.fromhex(vector["public"])
        secret, _ = outcome(lambda: agree(key, info))  # noqa: B023
        assert secret == (bytes.fromhex(vector["shared"]) if vector["result"] == "valid" else None), vector


@pytest.mark.parametrize("name", ["brainpoolP256r1_sha256", "brainpoolP384r1_sha384", "brainpoolP512r1_sha512"])
def test_signatures(name: str) -> None:
    counted: Counter[str] = Counter()
    for group in groups(f"ecdsa_{name}"):
        key, hash = load_der_public_key(bytes.fromhex(group["publicKeyDer"])), HASHES[group["sha"]]
        for vector in group["tests"]:
            message, signature = bytes.fromhex(vector["msg"]), bytes.fromhex(vector["sig"])
            try:
                verify_signature(key, signature, message, hash)
                result = "valid"
            except SignedDataError as error:
                assert error.rule == "invalid"
                result = "invalid"
            assert result == vector["result"], vector
            counted[result] += 1
    assert min(counted["valid"], counted["invalid"]) > 100
