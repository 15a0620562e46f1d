"""Every rule of the profile has a message that breaks it and nothing else: keys, MAC and signature are right."""

import hashlib
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.asn1 import der
from smpki.errors import GatewayError
from smpki.gateway import cms
from smpki.gateway.cms_inspect import inspect
from smpki.gateway.content_suite import CBC_CMAC, GCM, Suite

CURVE = ec.BrainpoolP256R1()
CONTENT = b'{"value": 123456}'
KEY, IV, NONCE = bytes(range(32)), bytes(range(16)), bytes(range(12))

DATA, SIGNED, ENVELOPED = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.23"
COMPRESSED, ZLIB = "1.2.840.113549.1.9.16.1.9", "1.2.840.113549.1.9.16.3.8"
ECKA_EG, SINGLE_PASS = "0.4.0.127.0.7.1.1.5.1.1.3", "1.3.132.1.11.1"
WRAP, GCM_128, CBC_CMAC_128 = "2.16.840.1.101.3.4.1.5", "2.16.840.1.101.3.4.1.6", "0.4.0.127.0.7.1.3.1.1.2"
PARAM, PARAM_SIBLING = "0.4.0.127.0.7.3.1.1.1", "0.4.0.127.0.7.1.3.1.1.1"
CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME = (f"1.2.840.113549.1.9.{number}" for number in (3, 4, 5))
SHA256, SHA384, SHA1 = "2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.2", "1.3.14.3.2.26"
ECDSA_SHA256, ECDSA_SHA384 = "1.2.840.10045.4.3.2", "1.2.840.10045.4.3.3"
ECDSA_PLAIN = "0.4.0.127.0.7.1.1.4.1.3"
EC_KEY = "1.2.840.10045.2.1"
P256R1, BP256, BP384 = "1.2.840.10045.3.1.7", "1.3.36.3.3.2.8.1.1.7", "1.3.36.3.3.2.8.1.1.11"
NULL = b"\x05\x00"
ISSUER_AND_SERIAL = der.encode(der.SEQUENCE, der.encode(der.SEQUENCE), der.encode_integer(1))


def sequence(*parts: bytes) -> bytes:
    return der.encode(der.SEQUENCE, *parts)


def oid(dotted: str) -> bytes:
    return der.encode_object_identifier(dotted)


def octets(value: bytes) -> bytes:
    return der.encode(der.OCTET_STRING, value)


def tagged(number: int, *parts: bytes) -> bytes:
    return der.encode(der.context(number), *parts)


def attribute(kind: str, *values: bytes) -> bytes:
    return sequence(oid(kind), der.encode(der.SET, *values))


def compressed(content: bytes = CONTENT, version: int = 0, algorithm: bytes = b"", kind: str = DATA) -> bytes:
    """CompressedData around octets that are compressed already."""
    inside = sequence(oid(kind), tagged(0, octets(content)))
    return sequence(der.encode_integer(version), algorithm or sequence(oid(ZLIB)), inside)


@dataclass(frozen=True)
class Draft:
    """A message before it is encoded; what is not given is as it should be."""

    sig_key: ec.EllipticCurvePrivateKey
    sig: x509.Certificate
    enc: x509.Certificate

    version: int = 0
    originator_info: bytes = b""
    recipients: Sequence[bytes] | None = None
    kari_version: int = 3
    originator: bytes | None = None
    key_type: str = EC_KEY
    curve: bytes = b""
    point: bytes | None = None
    ukm: bytes = b""
    agreement: str = ECKA_EG
    wrap: bytes = sequence(oid(WRAP))
    rid: bytes | None = None
    encrypted_key: bytes | None = None
    encrypted_keys: int = 1
    suite: Suite = GCM
    algorithm: str = ""
    parameters: bytes | None = None
    key: bytes = b""
    iv: bytes = bytes(16)
    kind: str = DATA
    plain: bytes = CONTENT
    padding: bytes | None = None
    ciphertext: bytes | None = None
    attributes: Sequence[bytes] = ()
    mac: Callable[[bytes], bytes] = lambda mac: mac
    unauthenticated: bytes = b""
    envelope: Callable[[bytes], bytes] = lambda encoded: encoded

    signed_version: int = 3
    digests: Sequence[bytes] = (sequence(oid(SHA256)),)
    signed_kind: str = ENVELOPED
    enclosed: bool = True
    certificates: Sequence[bytes] | None = None
    crls: bytes = b""
    signers: int = 1
    signer_version: int = 3
    sid: bytes | None = None
    digest_algorithm: bytes = sequence(oid(SHA256))
    signed_attributes: Callable[[list[bytes]], list[bytes]] = lambda attributes: attributes
    signature_algorithm: bytes = sequence(oid(ECDSA_SHA256))
    signature: Callable[[bytes], bytes] = lambda signature: signature
    unsigned: bytes = b""
    outer_kind: str = SIGNED

    def but(self, **changes: Any) -> "Draft":
        return replace(self, **changes)

    def encode(self) -> bytes:
        """The message."""
        content = self.envelope(self.auth_enveloped())
        info = sequence(oid(self.signed_kind), tagged(0, octets(content)) if self.enclosed else b"")
        certificates = [self.sig.public_bytes(Encoding.DER)] if self.certificates is None else self.certificates
        signed = sequence(
            der.encode_integer(self.signed_version),
            der.encode(der.SET, *self.digests),
            info,
            tagged(0, *certificates) if certificates else b"",
            self.crls,
            der.encode(der.SET, *[self._signer(content)] * self.signers),
        )
        return sequence(oid(self.outer_kind), tagged(0, signed))

    def auth_enveloped(self) -> bytes:
        ephemeral = ec.derive_private_key(0xABCDEF, CURVE)
        point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        public = self.enc.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        shared_info = bytes.fromhex("3015300b0609608648016503040105a206040400000080")
        kek = X963KDF(hashes.SHA256(), 16, shared_info).derive(ephemeral.exchange(ec.ECDH(), public))
        key = self.key or KEY[: self.suite.key_octets]
        encrypted_key = aes_key_wrap(kek, key) if self.encrypted_key is None else self.encrypted_key
        originator_key = tagged(
            1, sequence(oid(self.key_type), self.curve), der.encode(der.BIT_STRING, self.point or b"\x00" + point)
        )
        rid = tagged(0, octets(key_id(self.enc))) if self.rid is None else self.rid
        kari = tagged(
            1,
            der.encode_integer(self.kari_version),
            tagged(0, originator_key) if self.originator is None else self.originator,
            self.ukm,
            sequence(oid(self.agreement), self.wrap),
            sequence(*[sequence(rid, octets(encrypted_key))] * self.encrypted_keys),
        )
        recipients = [kari] if self.recipients is None else [each or kari for each in self.recipients]
        authenticated = der.encode(der.SET, *sorted(self.attributes)) if self.attributes else b""
        ciphertext, mac, algorithm = self._encrypt(key, authenticated)
        encrypted = der.encode(der.context(0, constructed=False), ciphertext)
        return sequence(
            der.encode_integer(self.version),
            self.originator_info,
            der.encode(der.SET, *recipients),
            sequence(oid(self.kind), algorithm, encrypted if self.ciphertext is None else self.ciphertext),
            der.implicit(1, authenticated) if authenticated else b"",
            octets(self.mac(mac)),
            self.unauthenticated,
        )

    def _encrypt(self, key: bytes, authenticated: bytes) -> tuple[bytes, bytes, bytes]:
        if self.suite is GCM:
            sealed = AESGCM(key).encrypt(NONCE, self.plain, authenticated)
            parameters = sequence(octets(NONCE), der.encode_integer(16)) if self.parameters is None else self.parameters
            return sealed[:-16], sealed[-16:], sequence(oid(self.algorithm or GCM_128), parameters)
        count = 16 - len(self.plain) % 16
        padding = bytes((count,)) * count if self.padding is None else self.padding
        encryptor = Cipher(AES(key[:16]), CBC(self.iv)).encryptor()
        ciphertext = encryptor.update(self.plain + padding) + encryptor.finalize()
        cmac = CMAC(AES(key[16:]))
        cmac.update(ciphertext + authenticated)
        return ciphertext, cmac.finalize(), sequence(oid(self.algorithm or CBC_CMAC_128), self.parameters or b"")

    def _signer(self, content: bytes) -> bytes:
        attributes = self.signed_attributes(
            [
                attribute(CONTENT_TYPE, oid(ENVELOPED)),
                attribute(MESSAGE_DIGEST, octets(hashlib.sha256(content).digest())),
            ]
        )
        signed = der.encode(der.SET, *sorted(attributes))
        signature = self.sig_key.sign(signed, ec.ECDSA(hashes.SHA256()))
        sid = der.encode(der.context(0, constructed=False), key_id(self.sig)) if self.sid is None else self.sid
        return sequence(
            der.encode_integer(self.signer_version),
            sid,
            self.digest_algorithm,
            der.implicit(0, signed) if attributes else b"",
            self.signature_algorithm,
            octets(self.signature(signature)),
            self.unsigned,
        )


def key_id(certificate: x509.Certificate) -> bytes:
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest


ENC_KEY, SIG_KEY = ec.derive_private_key(0x1234567, CURVE), ec.derive_private_key(0x7654321, CURVE)


@pytest.fixture(scope="module")
def draft(make_certificate: Callable[..., x509.Certificate]) -> Draft:
    sig, enc = make_certificate(SIG_KEY.public_key()), make_certificate(ENC_KEY.public_key(), ("key_agreement",))
    return Draft(SIG_KEY, sig, enc)


def open_(draft: Draft, message: bytes, **options: Any) -> bytes:
    who = {"recipient_certificate": draft.enc, "recipient_key": ENC_KEY, "sender_certificate": draft.sig}
    return cms.open(message, **{**who, **options}).content


def code(draft: Draft, message: bytes, **options: Any) -> str:
    with pytest.raises(GatewayError) as refused:
        open_(draft, message, **options)
    assert refused.value.message
    assert refused.value.hint
    assert "123456" not in repr(refused.value)
    return refused.value.code


KIND = attribute(CONTENT_TYPE, oid(COMPRESSED))
IV_PARAMETERS = sequence(octets(IV))
WITH_IV = {"suite": CBC_CMAC, "iv": IV, "parameters": IV_PARAMETERS}
ZIPPED = {"kind": COMPRESSED, "attributes": [KIND], "plain": compressed(zlib.compress(CONTENT))}

GOOD: dict[str, dict[str, Any]] = {
    "as it should be": {},
    "with CBC and CMAC": {"suite": CBC_CMAC},
    "with an IV": {**WITH_IV, "attributes": [attribute(PARAM, IV_PARAMETERS)]},
    "with an IV by the other identifier": {**WITH_IV, "attributes": [attribute(PARAM_SIBLING, IV_PARAMETERS)]},
    "the MAC's length is said": {
        **{**WITH_IV, "parameters": sequence(octets(IV), der.encode_integer(16))},
        "attributes": [attribute(PARAM, sequence(octets(IV), der.encode_integer(16)))],
    },
    "compressed": ZIPPED,
    "compressed, in its own ContentInfo": {**ZIPPED, "plain": sequence(oid(COMPRESSED), tagged(0, ZIPPED["plain"]))},
    "sealed, in its own ContentInfo": {"envelope": lambda encoded: sequence(oid(ENVELOPED), tagged(0, encoded))},
    "the recipient's curve is named": {"curve": oid(BP256)},
    "plain data with its type authenticated": {"attributes": [attribute(CONTENT_TYPE, oid(DATA))]},
    "another attribute": {"attributes": [attribute("1.2.3", NULL)]},
    "no certificate": {"certificates": []},
    "NULL as parameter of the hash": {"digests": [sequence(oid(SHA256), NULL)]},
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD.keys())
def test_what_the_profile_allows(draft: Draft, changes: dict[str, Any]) -> None:
    assert open_(draft, draft.but(**changes).encode()) == CONTENT


def test_a_hint_for_the_recipient_is_allowed(draft: Draft) -> None:
    rid = tagged(0, octets(key_id(draft.enc)), sequence(oid("1.2.3")))
    assert open_(draft, draft.but(rid=rid).encode()) == CONTENT


OTHER = ec.derive_private_key(5, ec.BrainpoolP384R1()).public_key()
LONGER_POINT = b"\x00" + OTHER.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
SHORT_POINT = ENC_KEY.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
TIME = der.encode(0x18, b"20261122120000Z")


def repeated(attributes: list[bytes]) -> list[bytes]:
    return [*attributes, attributes[0]]


BAD: list[tuple[str, dict[str, Any]]] = [
    # AuthEnvelopedData (table 5.5)
    ("cms.envelope.version", {"version": 1}),
    ("cms.envelope.version", {"kari_version": 2}),
    ("cms.envelope.version", {"version": 2**400}),
    ("cms.envelope.originator_info", {"originator_info": tagged(0, tagged(0))}),
    ("cms.envelope.recipients", {"recipients": []}),
    ("cms.envelope.recipients", {"recipients": [b"", b""]}),
    ("cms.envelope.recipients", {"encrypted_keys": 2}),
    ("cms.envelope.recipients", {"encrypted_keys": 0}),
    ("cms.envelope.recipient_kind", {"recipients": [sequence(der.encode_integer(0))]}),
    ("cms.envelope.recipient_kind", {"recipients": [tagged(2, der.encode_integer(4))]}),
    ("cms.envelope.originator", {"originator": tagged(0, ISSUER_AND_SERIAL)}),
    ("cms.envelope.originator", {"originator": tagged(0, der.encode(der.context(0, constructed=False), b"key"))}),
    ("cms.envelope.originator", {"key_type": "1.2.840.113549.1.1.1"}),
    ("cms.envelope.originator", {"point": b"\x01\x04" + bytes(64)}),
    ("cms.envelope.originator", {"point": b"\x00" + SHORT_POINT}),
    ("cms.envelope.originator", {"point": b"\x00\x06" + bytes(64)}),
    ("cms.envelope.ukm", {"ukm": tagged(1, octets(b"more"))}),
    ("cms.envelope.algorithm", {"agreement": SINGLE_PASS}),
    ("cms.envelope.algorithm", {"wrap": sequence(oid("2.16.840.1.101.3.4.1.8"))}),
    ("cms.envelope.algorithm", {"algorithm": "2.16.840.1.101.3.4.1.2"}),
    ("cms.envelope.parameters", {"wrap": sequence(oid(WRAP), NULL)}),
    ("cms.envelope.parameters", {"parameters": sequence(octets(NONCE))}),
    ("cms.envelope.parameters", {"parameters": sequence(octets(NONCE), der.encode_integer(12))}),
    ("cms.envelope.parameters", {"parameters": sequence(octets(NONCE[1:]), der.encode_integer(16))}),
    ("cms.envelope.parameters", {"parameters": sequence(octets(NONCE + b"\x00"), der.encode_integer(16))}),
    ("cms.encoding.truncated", {"parameters": b""}),
    ("cms.encoding.tag", {"parameters": NULL}),
    ("cms.envelope.recipient_identifier", {"rid": ISSUER_AND_SERIAL}),
    ("cms.envelope.recipient_identifier", {"rid": tagged(0, octets(b"key"), TIME)}),
    ("cms.envelope.encrypted_key", {"encrypted_key": bytes(40)}),
    ("cms.envelope.encrypted_key", {"encrypted_key": bytes(24), "suite": CBC_CMAC}),
    ("cms.envelope.encrypted_key", {"encrypted_key": b""}),
    ("cms.envelope.content_type", {"kind": SIGNED, "attributes": [attribute(CONTENT_TYPE, oid(SIGNED))]}),
    ("cms.envelope.ciphertext", {"ciphertext": b""}),
    ("cms.envelope.attributes.missing", {**ZIPPED, "attributes": []}),
    ("cms.envelope.attributes.missing", {**ZIPPED, "attributes": [attribute("1.2.3", NULL)]}),
    ("cms.envelope.attributes.content_type", {**ZIPPED, "attributes": [attribute(CONTENT_TYPE, oid(DATA))]}),
    ("cms.envelope.attributes.content_type", {"attributes": [KIND]}),
    ("cms.envelope.attributes.content_type", {**ZIPPED, "attributes": [attribute(CONTENT_TYPE)]}),
    ("cms.envelope.attributes.repeated", {**ZIPPED, "attributes": [KIND, KIND]}),
    ("cms.envelope.attributes.unauthenticated", {"unauthenticated": tagged(2, attribute("1.2.3", NULL))}),
    ("cms.encoding.tag", {"unauthenticated": NULL}),
    ("cms.envelope.mac", {"mac": lambda mac: mac[:12]}),
    ("cms.envelope.mac", {"mac": lambda mac: mac + b"\x00"}),
    # CBC-CMAC-Param (5.4)
    ("cms.envelope.parameters", WITH_IV),
    ("cms.envelope.parameters", {**WITH_IV, "attributes": [attribute(PARAM, sequence(octets(bytes(16))))]}),
    ("cms.envelope.parameters", {**WITH_IV, "attributes": [attribute(PARAM, IV_PARAMETERS, IV_PARAMETERS)]}),
    ("cms.envelope.parameters", {**WITH_IV, "parameters": sequence(octets(IV[1:]))}),
    ("cms.envelope.parameters", {**WITH_IV, "parameters": sequence(octets(IV), der.encode_integer(12))}),
    ("cms.encoding.tag", {**WITH_IV, "parameters": NULL}),
    # whose it is
    ("cms.recipient", {"rid": tagged(0, octets(bytes(20)))}),
    ("cms.recipient", {"curve": oid(BP384)}),
    ("cms.recipient", {"curve": oid(P256R1)}),
    ("cms.recipient", {"curve": NULL}),
    ("cms.recipient", {"point": LONGER_POINT}),
    # SignedData (table 5.6)
    ("cms.signature.version", {"signed_version": 1}),
    ("cms.signature.version", {"signer_version": 1}),
    ("cms.signature.digests", {"digests": []}),
    ("cms.signature.digests", {"digests": [sequence(oid(SHA256)), sequence(oid(SHA384))]}),
    ("cms.signature.algorithm", {"digests": [sequence(oid(SHA1))]}),
    ("cms.signature.algorithm", {"digest_algorithm": sequence(oid(SHA1))}),
    ("cms.signature.algorithm", {"signature_algorithm": sequence(oid(ECDSA_PLAIN))}),
    ("cms.signature.algorithm", {"signature_algorithm": sequence(oid(ECDSA_SHA256), NULL)}),
    ("cms.signature.algorithm_differs", {"signature_algorithm": sequence(oid(ECDSA_SHA384))}),
    ("cms.signature.algorithm_differs", {"digests": [sequence(oid(SHA384))]}),
    ("cms.signature.content", {"enclosed": False}),
    ("cms.signature.content_type", {"outer_kind": ENVELOPED}),
    ("cms.signature.content_type", {"signed_kind": DATA}),
    ("cms.envelope.content_type", {"envelope": lambda encoded: sequence(oid(SIGNED), tagged(0, encoded))}),
    ("cms.signature.certificates", {"certificates": [tagged(3, b"")]}),
    ("cms.signature.certificates", {"certificates": [sequence(), sequence(NULL)]}),
    ("cms.sender", {"certificates": [sequence()]}),
    ("cms.sender", {"sid": der.encode(der.context(0, constructed=False), bytes(20))}),
    ("cms.signature.crls", {"crls": tagged(1)}),
    ("cms.signature.signers", {"signers": 0}),
    ("cms.signature.signers", {"signers": 2}),
    ("cms.signature.signer_identifier", {"sid": ISSUER_AND_SERIAL}),
    ("cms.signature.attributes.missing", {"signed_attributes": lambda attributes: []}),
    ("cms.signature.attributes.missing", {"signed_attributes": lambda attributes: attributes[1:]}),
    ("cms.signature.attributes.missing", {"signed_attributes": lambda attributes: attributes[:1]}),
    ("cms.signature.attributes.repeated", {"signed_attributes": repeated}),
    (
        "cms.signature.attributes.unknown",
        {"signed_attributes": lambda attributes: [*attributes, attribute(SIGNING_TIME, TIME)]},
    ),
    ("cms.signature.attributes.unsigned", {"unsigned": tagged(1, attribute("1.2.3", NULL))}),
    (
        "cms.signature.content_type",
        {"signed_attributes": lambda attributes: [attribute(CONTENT_TYPE, oid(DATA)), attributes[1]]},
    ),
    (
        "cms.signature.digest",
        {"signed_attributes": lambda attributes: [attributes[0], attribute(MESSAGE_DIGEST, octets(bytes(32)))]},
    ),
    ("cms.signature.invalid", {"signature": lambda signature: SIG_KEY.sign(b"x", ec.ECDSA(hashes.SHA256()))}),
    ("cms.signature.invalid", {"signature": lambda signature: b""}),
    ("cms.signature.invalid", {"signature": lambda signature: b"", "rid": tagged(0, octets(bytes(20)))}),
]


@pytest.mark.parametrize(("rule", "changes"), BAD, ids=[f"{rule}-{at}" for at, (rule, _) in enumerate(BAD)])
@pytest.mark.requirement(
    *("REQ.CMS.AuthEnvelopedData.20", "REQ.CMS.AuthEnvelopedData.70", "REQ.CMS.AuthEnvelopedData.80"),
    *("REQ.CMS.SignedData.40", "REQ.CMS.AesCbcCmac.80", "REQ.CMS.AesCbcCmac.90", "REQ.CMS.AesCbcCmac.110"),
)
def test_what_the_profile_does_not_allow(draft: Draft, rule: str, changes: dict[str, Any]) -> None:
    assert code(draft, draft.but(**changes).encode()) == rule


UNOPENED: dict[str, dict[str, Any]] = {
    "a point off the curve": {"point": b"\x00\x04" + bytes(64)},
    "a key for another": {"encrypted_key": bytes(24)},
    "a key for another, CBC": {"encrypted_key": bytes(40), "suite": CBC_CMAC},
    "a zero key for what can't be unwrapped": {"encrypted_key": bytes(24), "key": bytes(16)},
    "a zero key, compressed": {**ZIPPED, "encrypted_key": bytes(24), "key": bytes(16)},
    "the MAC of something else": {"mac": lambda mac: bytes(16)},
    "the MAC of something else, CBC": {"mac": lambda mac: bytes(16), "suite": CBC_CMAC},
    "no padding": {"suite": CBC_CMAC, "plain": bytes(16), "padding": b""},
    "padding too long": {"suite": CBC_CMAC, "plain": b"", "padding": b"\x11" * 16},
    "padding of several values": {"suite": CBC_CMAC, "plain": bytes(13), "padding": b"\x03\x02\x03"},
    "no block": {"suite": CBC_CMAC, "plain": b"", "padding": b""},
    "half a block": {"suite": CBC_CMAC, "ciphertext": der.encode(der.context(0, constructed=False), bytes(8))},
    "not compressed": {**ZIPPED, "plain": CONTENT},
    "no zlib": {**ZIPPED, "plain": compressed(CONTENT)},
    "deflate without zlib's header": {**ZIPPED, "plain": compressed(zlib.compress(CONTENT)[2:-4])},
    "compressed and cut": {**ZIPPED, "plain": compressed(zlib.compress(CONTENT)[:-1])},
    "a wrong check sum": {**ZIPPED, "plain": compressed(zlib.compress(CONTENT)[:-4] + bytes(4))},
    "more behind what was compressed": {**ZIPPED, "plain": compressed(zlib.compress(CONTENT) + b"\x00")},
    "more behind CompressedData": {**ZIPPED, "plain": ZIPPED["plain"] + b"\x00"},
    "another version of CompressedData": {**ZIPPED, "plain": compressed(zlib.compress(CONTENT), version=1)},
    "compressed by something else": {
        **ZIPPED,
        "plain": compressed(zlib.compress(CONTENT), algorithm=sequence(oid("1.2.3"))),
    },
    "compressed, of another type": {**ZIPPED, "plain": compressed(zlib.compress(CONTENT), kind=SIGNED)},
    "compressed and encrypted again": {**ZIPPED, "plain": sequence(oid(DATA), tagged(0, ZIPPED["plain"]))},
    "a zip bomb": {**ZIPPED, "plain": compressed(zlib.compress(bytes(2**21)))},
}


@pytest.mark.parametrize("changes", UNOPENED.values(), ids=UNOPENED.keys())
def test_behind_the_key_agreement_there_is_one_refusal(draft: Draft, changes: dict[str, Any]) -> None:
    target = io.BytesIO()
    with pytest.raises(GatewayError) as refused:
        cms.open_stream(
            io.BytesIO(draft.but(**changes).encode()),
            target,
            recipient_certificate=draft.enc,
            recipient_key=ENC_KEY,
            sender_certificate=draft.sig,
            limit=2**20,
        )
    assert refused.value.as_dict() == {
        "code": "cms.unopened",
        "message": "the content can't be opened",
        "where": "content",
        "hint": "it is not for this key, was changed, or unpacks to more than is allowed; ask the sender",
    }
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    if "kind" in changes and "encrypted_key" in changes:
        assert target.getvalue() == b""  # nothing is unpacked before the MAC was right


class Counting(io.BytesIO):
    """Counts the octets that are read."""

    octets = 0

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.octets += len(piece)
        return piece


def open_from(draft: Draft, source: io.BytesIO) -> None:
    cms.open_stream(
        source,
        io.BytesIO(),
        recipient_certificate=draft.enc,
        recipient_key=ENC_KEY,
        sender_certificate=draft.sig,
    )


def test_the_work_is_the_same_whatever_fails(draft: Draft) -> None:
    """Neither a key that can't be unwrapped nor a wrong MAC ends the reading early, so the time doesn't tell."""

    def read(**changes: Any) -> int:
        source = Counting(draft.but(plain=bytes(100_000), **changes).encode())
        with pytest.raises(GatewayError):
            open_from(draft, source)
        return source.octets

    wrong_mac = read(mac=lambda mac: bytes(16))
    wrong_key = read(encrypted_key=bytes(24))
    assert wrong_mac > 200_000  # once for the signature, once for the content
    assert abs(wrong_mac - wrong_key) < 10


def test_unpacking_ends_with_what_was_compressed(draft: Draft) -> None:
    """Octets behind it are not gathered: that takes time with the square of their number."""
    message = draft.but(**ZIPPED | {"plain": compressed(zlib.compress(CONTENT) + bytes(2**21))}).encode()
    source = Counting(message)
    with pytest.raises(GatewayError, match="can't be opened"):
        open_from(draft, source)
    assert source.octets < 2.5 * len(message)  # for the signature, for the MAC, and hardly more


def test_an_enclosed_certificate_that_cant_be_read(draft: Draft) -> None:
    for enclosed in (sequence(), sequence(sequence(), sequence(), b"\x03\x01\x00")):
        seen = inspect(draft.but(certificates=[enclosed]).encode())
        assert (seen.certificate, seen.signature_holds) == (None, False)
    stranger = inspect(draft.but(certificates=[draft.enc.public_bytes(Encoding.DER)]).encode())
    assert (stranger.certificate, stranger.signature_holds) == (draft.enc, False)


def test_a_limit_is_for_what_is_unpacked(draft: Draft) -> None:
    message = draft.but(**ZIPPED | {"plain": compressed(zlib.compress(bytes(2**20)))}).encode()
    assert open_(draft, message, limit=2**20) == bytes(2**20)
    assert code(draft, message, limit=2**20 - 1) == "cms.unopened"
    larger = draft.but(plain=bytes(2**20)).encode()
    assert open_(draft, larger, limit=1) == bytes(2**20)


def test_a_zip_bomb_takes_no_more_than_the_limit(draft: Draft) -> None:
    class Counting(io.BytesIO):
        written = 0

        def write(self, piece: Any, /) -> int:
            self.written += len(piece)
            return len(piece)

    target = Counting()
    bomb = draft.but(**ZIPPED | {"plain": compressed(zlib.compress(bytes(10**8)))}).encode()
    assert len(bomb) < 10**6
    with pytest.raises(GatewayError) as refused:
        cms.open_stream(
            io.BytesIO(bomb),
            target,
            recipient_certificate=draft.enc,
            recipient_key=ENC_KEY,
            sender_certificate=draft.sig,
            limit=2**20,
        )
    assert refused.value.code == "cms.unopened"
    assert target.written <= 2**20


@pytest.mark.parametrize(
    "changes",
    [{}, {"suite": CBC_CMAC, **ZIPPED}, {"certificates": []}],
    ids=["gcm", "cbc-cmac, zlib", "no certificate"],
)
@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_a_changed_octet_is_noticed_at_every_offset(draft: Draft, changes: dict[str, Any], mask: int) -> None:
    message = draft.but(**changes).encode()
    assert open_(draft, message) == CONTENT
    for at in range(len(message)):
        changed = bytearray(message)
        changed[at] ^= mask
        assert code(draft, bytes(changed)).startswith("cms."), at


def test_a_changed_octet_is_noticed_in_a_detached_signature(draft: Draft) -> None:
    signature = cms.sign_detached(CONTENT, certificate=draft.sig, key=SIG_KEY)
    for at in range(len(signature)):
        changed = bytearray(signature)
        changed[at] ^= 0x01
        with pytest.raises(GatewayError):
            cms.verify_detached(CONTENT, bytes(changed), draft.sig)


def test_a_cut_message_is_refused_wherever_it_is_cut(draft: Draft) -> None:
    message = draft.encode()
    for length in range(len(message)):
        assert code(draft, message[:length]) == "cms.encoding.truncated"
    assert code(draft, message + b"\x00") == "cms.encoding.trailing"


def test_a_length_is_not_believed(draft: Draft) -> None:
    """Wherever an element claims to be huge, it is refused at once, and nothing of that size is asked for."""
    message = draft.encode()
    for at in range(1, len(message) - 8):
        for huge in (b"\x84\x7f\xff\xff\xff", b"\x88\x7f\xff\xff\xff\xff\xff\xff\xff", b"\xfe" + b"\xff" * 126):
            assert code(draft, message[:at] + huge + message[at + 1 :]).startswith("cms.")


@pytest.mark.parametrize("levels", [20, 100_000])
def test_deep_nesting(draft: Draft, levels: int) -> None:
    assert code(draft, b"\x30\x80" * levels).startswith("cms.encoding.")
    inside = draft.but(envelope=lambda _: b"\x30\x80" * levels).encode()
    assert code(draft, inside).startswith("cms.encoding.")


def test_another_content_while_it_is_read(draft: Draft) -> None:
    """A file may be changed between its readings: what is decrypted is what was signed, or nothing."""
    first = second = draft.encode()
    while second == first or len(second) != len(first):  # signatures differ in length
        second = draft.but(plain=b'{"value": 654321}').encode()

    class Changing(io.BytesIO):
        readings = 0

        def seek(self, offset: int, whence: int = 0, /) -> int:
            if (offset, whence) == (0, 0):
                self.readings += 1
                if self.readings == 2:
                    super().seek(0)
                    self.write(second)
            return super().seek(offset, whence)

    source, target = Changing(first), io.BytesIO()
    who = {"recipient_certificate": draft.enc, "recipient_key": ENC_KEY, "sender_certificate": draft.sig}
    with pytest.raises(GatewayError) as refused:
        cms.open_stream(source, target, **who)  # type: ignore[arg-type]
    assert (source.readings, refused.value.code) == (2, "cms.unopened")


def indefinite(tag: int, *parts: bytes) -> bytes:
    return bytes((tag, 0x80)) + b"".join(parts) + b"\x00\x00"


def chunks(value: bytes, size: int) -> list[bytes]:
    return [octets(value[at : at + size]) for at in range(0, len(value), size)]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_ber_as_streaming_senders_write_it(draft: Draft, size: int) -> None:
    """Indefinite lengths outside and inside, contents in chunks; what is signed are the content's joined octets."""
    envelope = der.elements(der.single(draft.but(**ZIPPED).auth_enveloped(), 0x30, "").content, "")
    encrypted = der.elements(envelope[2].content, "")
    ciphertext = indefinite(0xA0, *chunks(encrypted[2].content, size))
    inner = indefinite(0x30, encrypted[0].encoded, encrypted[1].encoded, ciphertext)
    streamed = indefinite(0x30, envelope[0].encoded, indefinite(0x31, envelope[1].content), inner)
    streamed = streamed[:-2] + b"".join(each.encoded for each in envelope[3:]) + b"\x00\x00"
    message = draft.but(envelope=lambda _: streamed).encode()

    info = der.elements(der.single(message, 0x30, "").content, "")
    signed = der.elements(der.single(info[1].content, 0x30, "").content, "")
    kind = der.elements(signed[2].content, "")[0].encoded
    content = indefinite(0xA0, indefinite(0x24, *chunks(streamed, size)))
    rest = [each.encoded for each in signed[3:]]
    body = indefinite(0x30, signed[0].encoded, signed[1].encoded, indefinite(0x30, kind, content), *rest)
    whole = indefinite(0x30, info[0].encoded, indefinite(0xA0, body))
    assert open_(draft, whole) == CONTENT
    for at in range(0, len(whole), 1 if size > 1 else 7):
        changed = bytearray(whole)
        changed[at] ^= 0x01
        assert code(draft, bytes(changed)).startswith("cms."), at


@given(
    st.lists(
        st.tuples(st.integers(0, 1500), st.integers(0, 20), st.binary(max_size=12)), min_size=1, max_size=4, unique=True
    )
)
@settings(deadline=None, max_examples=150)
def test_whatever_comes_is_opened_or_refused(draft: Draft, edits: list[tuple[int, int, bytes]]) -> None:
    message = draft.but(**ZIPPED).encode()
    for at, length, put in edits:
        message = message[:at] + put + message[at + length :]
    try:
        content = open_(draft, message)
    except GatewayError as refused:
        assert refused.code.startswith("cms.")
    else:
        assert content == CONTENT


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=150)
def test_octets_that_are_no_message(draft: Draft, message: bytes) -> None:
    assert code(draft, message).startswith("cms.")
