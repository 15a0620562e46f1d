"""Contents are protected as the profile has it: what is made is taken apart by other means, and opened again."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from asn1crypto import cms as asn1
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.asn1.curves import CURVE_OIDS, CURVES
from smpki.errors import GatewayError
from smpki.gateway import cms
from smpki.gateway.cms_inspect import inspect
from smpki.gateway.cms_seal import SOFTWARE, Randomness
from smpki.gateway.content_suite import AGREEMENT_OIDS, CBC_CMAC, CONTENT_OIDS, GCM, WRAP_OIDS, KdfInfo, Mode, Suite
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Slot

CONTENT = b'{"value": 123456}' * 20
SUITES = [GCM, CBC_CMAC]
BITS = [128, 192, 256]
AUTH_ENVELOPED = "1.2.840.113549.1.9.16.1.23"
COMPRESSED = "1.2.840.113549.1.9.16.1.9"
PARAM = "0.4.0.127.0.7.3.1.1.1"


@dataclass(frozen=True)
class Party:
    """Somebody with a SIG and an ENC key."""

    sig_key: ec.EllipticCurvePrivateKey
    sig: x509.Certificate
    enc_key: ec.EllipticCurvePrivateKey
    enc: x509.Certificate


@pytest.fixture(scope="module")
def parties(make_certificate: Callable[..., x509.Certificate]) -> dict[str, Party]:
    """Sender and recipient in one, by the name of their curve."""
    made = {}
    for name, curve in CURVES.items():
        sig, enc = ec.generate_private_key(curve), ec.generate_private_key(curve)
        certificates = make_certificate(sig.public_key()), make_certificate(enc.public_key(), ("key_agreement",))
        made[name] = Party(sig, certificates[0], enc, certificates[1])
    return made


@pytest.fixture(scope="module")
def party(parties: dict[str, Party]) -> Party:
    return parties["brainpoolP256r1"]


def protect(party: Party, content: bytes = CONTENT, **options: Any) -> bytes:
    given = {key: options.pop(key) for key in ("randomness",) if key in options}
    return cms.protect(
        content,
        sender_certificate=party.sig,
        sender_key=party.sig_key,
        recipient_certificate=party.enc,
        protection=cms.Protection(**options),
        **given,
    )


def open_(party: Party, message: bytes, **options: Any) -> cms.Opened:
    who = {"recipient_certificate": party.enc, "recipient_key": party.enc_key, "sender_certificate": party.sig}
    return cms.open(message, **{**who, **options})


class AuthEnvelopedData(core.Sequence):
    """RFC 5083 section 2.1, on asn1crypto's definitions of the rest."""

    _fields = [  # noqa: RUF012
        ("version", asn1.CMSVersion),
        ("originator_info", asn1.OriginatorInfo, {"implicit": 0, "optional": True}),
        ("recipient_infos", asn1.RecipientInfos),
        ("auth_encrypted_content_info", asn1.EncryptedContentInfo),
        ("auth_attrs", asn1.CMSAttributes, {"implicit": 1, "optional": True}),
        ("mac", core.OctetString),
        ("unauth_attrs", asn1.CMSAttributes, {"implicit": 2, "optional": True}),
    ]


class ByHand:
    """A message taken apart by asn1crypto, and decrypted by hand."""

    def __init__(self, message: bytes, party: Party) -> None:
        self.info = asn1.ContentInfo.load(message, strict=True)
        assert self.info["content_type"].native == "signed_data"
        self.signed = self.info["content"]
        (self.signer,) = self.signed["signer_infos"]
        self.octets: bytes = self.signed["encap_content_info"]["content"].contents
        self.envelope = AuthEnvelopedData.load(self.octets, strict=True)
        (recipient,) = self.envelope["recipient_infos"]
        assert recipient.name == "kari"
        self.kari = recipient.chosen
        (self.encrypted_key,) = self.kari["recipient_encrypted_keys"]
        self.encrypted = self.envelope["auth_encrypted_content_info"]
        self.attributes: bytes = self.envelope["auth_attrs"].untag().dump() if self.envelope["auth_attrs"] else b""
        self._party = party

    def key(self, info: KdfInfo = KdfInfo.RFC5753, hash: str = "sha256", wrap_bits: int = 128) -> bytes:
        """The content's key: one round of X9.63 key derivation, then the key wrap (RFC 5753 7.2, RFC 3394)."""
        point = self.kari["originator"].chosen["public_key"].native
        public = ec.EllipticCurvePublicKey.from_encoded_point(self._party.enc_key.curve, point)
        secret = self._party.enc_key.exchange(ec.ECDH(), public)
        wrap = bytes.fromhex("300b0609608648016503040" + {128: "105", 192: "119", 256: "12d"}[wrap_bits])
        shared = core.OctetString(wrap_bits.to_bytes(4, "big")).dump()
        shared_info = b"\x30\x15" + wrap + b"\xa2\x06" + shared if info is KdfInfo.RFC5753 else b""
        kek = hashlib.new(hash, secret + bytes((0, 0, 0, 1)) + shared_info).digest()[: wrap_bits // 8]
        return aes_key_unwrap(kek, self.encrypted_key["encrypted_key"].native)

    def decrypted(self, **derivation: Any) -> bytes:
        key, mac = self.key(**derivation), self.envelope["mac"].native
        ciphertext = self.encrypted["encrypted_content"].native
        parameters = self.encrypted["content_encryption_algorithm"]["parameters"].native
        if "gcm" in self.encrypted["content_encryption_algorithm"]["algorithm"].native:
            return AESGCM(key).decrypt(parameters["0"], ciphertext + mac, self.attributes)
        cmac = CMAC(AES(key[len(key) // 2 :]))
        cmac.update(ciphertext + self.attributes)
        assert cmac.finalize() == mac
        decryptor = Cipher(AES(key[: len(key) // 2]), CBC(parameters["0"] if parameters else bytes(16))).decryptor()
        plain = decryptor.update(ciphertext) + decryptor.finalize()
        assert plain[-plain[-1] :] == plain[-1:] * plain[-1]
        return plain[: -plain[-1]]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("info", KdfInfo)
@pytest.mark.requirement("REQ.CMS.MessageCipherSuite.10", "REQ.CMS.MessageCipherSuite.20")
def test_both_suites(party: Party, suite: Suite, info: KdfInfo, compress: bool) -> None:
    message = protect(party, suite=suite, kdf_info=info, compress=compress)
    opened = open_(party, message)
    assert opened.content == CONTENT
    assert opened.protection == cms.Protection(suite, compress, info)
    by_hand = ByHand(message, party)
    decrypted = by_hand.decrypted(info=info)
    if compress:
        inside = asn1.CompressedData.load(decrypted, strict=True)
        assert inside["encap_content_info"]["content_type"].native == "data"
        assert inside.decompressed == CONTENT
    else:
        assert decrypted == CONTENT


@pytest.mark.requirement(
    "REQ.CMS.ContentInfo.10", "REQ.CMS.ContentInfo.20", "REQ.CMS.SignedData.20", "REQ.CMS.SignedData.30"
)
def test_contents_travel_in_content_info_of_signed_data(party: Party) -> None:
    by_hand = ByHand(protect(party), party)
    assert by_hand.info["content_type"].dotted == "1.2.840.113549.1.7.2"
    assert isinstance(by_hand.info["content"], asn1.SignedData)
    assert by_hand.signed["encap_content_info"]["content_type"].dotted == AUTH_ENVELOPED
    detached = cms.sign_detached(CONTENT, certificate=party.sig, key=party.sig_key)
    assert asn1.ContentInfo.load(detached, strict=True)["content_type"].native == "signed_data"


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.requirement("REQ.CMS.AuthEnvelopedData.10", "REQ.CMS.AuthEnvelopedData.20")
def test_the_envelope_is_that_of_table_5_5(party: Party, suite: Suite, compress: bool) -> None:
    by_hand = ByHand(protect(party, suite=suite, compress=compress), party)
    envelope, kari = by_hand.envelope.native, by_hand.kari.native
    assert (envelope["version"], envelope["originator_info"], envelope["unauth_attrs"]) == ("v0", None, None)
    assert (kari["version"], kari["ukm"]) == ("v3", None)
    assert by_hand.kari["originator"].name == "originator_key"
    assert kari["originator"]["algorithm"] == {"algorithm": "ec", "parameters": None}
    assert kari["originator"]["public_key"][:1] == b"\x04"
    assert kari["key_encryption_algorithm"]["algorithm"] == AGREEMENT_OIDS["sha256"]
    wrap = by_hand.kari["key_encryption_algorithm"]["parameters"]
    assert wrap.dump() == bytes.fromhex("300b0609608648016503040105")  # id-aes128-wrap alone
    assert by_hand.encrypted_key["rid"].name == "r_key_id"
    key_id = x509.SubjectKeyIdentifier.from_public_key(party.enc.public_key()).digest
    assert by_hand.encrypted_key["rid"].native == {"subject_key_identifier": key_id, "date": None, "other": None}
    assert len(by_hand.encrypted_key["encrypted_key"].native) == (24 if suite is GCM else 40)
    assert by_hand.encrypted["content_type"].dotted == (COMPRESSED if compress else "1.2.840.113549.1.7.1")
    authenticated = [{"type": "content_type", "values": ["compressed_data"]}] if compress else None
    assert envelope["auth_attrs"] == authenticated
    assert len(envelope["mac"]) == 16


@pytest.mark.parametrize("enclose", [False, True])
@pytest.mark.requirement("REQ.CMS.SignedData.10", "REQ.CMS.SignedData.40")
def test_the_signature_is_that_of_table_5_6(party: Party, enclose: bool) -> None:
    by_hand = ByHand(protect(party, enclose=enclose), party)
    signed, signer = by_hand.signed.native, by_hand.signer.native
    assert (signed["version"], signed["crls"]) == ("v3", None)
    assert signed["digest_algorithms"] == [{"algorithm": "sha256", "parameters": None}]
    enclosed = [each.dump() for each in by_hand.signed["certificates"]] if enclose else []
    assert enclosed == ([party.sig.public_bytes(Encoding.DER)] if enclose else [])
    assert signer["version"] == "v3"
    assert by_hand.signer["sid"].name == "subject_key_identifier"
    assert signer["sid"] == x509.SubjectKeyIdentifier.from_public_key(party.sig.public_key()).digest
    assert signer["digest_algorithm"] == {"algorithm": "sha256", "parameters": None}
    assert signer["signed_attrs"] == [
        {"type": "content_type", "values": ["authenticated_enveloped_data"]},
        {"type": "message_digest", "values": [hashlib.sha256(by_hand.octets).digest()]},
    ]
    assert signer["signature_algorithm"] == {"algorithm": "sha256_ecdsa", "parameters": None}
    assert signer["unsigned_attrs"] is None


@pytest.mark.parametrize("hash", ["sha256", "sha384", "sha512"])
@pytest.mark.requirement("REQ.CMS.SignedData.50", "REQ.CMS.SignedData.60")
def test_hashes_of_the_signature(party: Party, hash: str) -> None:
    message = protect(party, signature_hash=hash)
    signer = ByHand(message, party).signer.native
    assert signer["digest_algorithm"] == {"algorithm": hash, "parameters": None}
    assert signer["signature_algorithm"] == {"algorithm": f"{hash}_ecdsa", "parameters": None}
    assert open_(party, message).protection.signature_hash == hash


@pytest.mark.requirement("REQ.CMS.SignedData.70")
def test_signatures_are_in_x9_62_format(party: Party) -> None:
    message = protect(party)
    signature = ByHand(message, party).signer["signature"].native
    r, s = decode_dss_signature(signature)
    plain = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    with refused("cms.signature.invalid"):  # the same numbers in the plain format of TR-03111 5.2.1
        open_(party, with_signature(message, plain))
    assert open_(party, with_signature(message, signature)).content == CONTENT


def with_signature(message: bytes, signature: bytes) -> bytes:
    info = asn1.ContentInfo.load(message)
    info["content"]["signer_infos"][0]["signature"] = signature
    return bytes(info.dump(force=True))


@pytest.mark.parametrize("hash", AGREEMENT_OIDS)
@pytest.mark.parametrize("wrap_bits", BITS)
@pytest.mark.requirement("REQ.CMS.AuthEnvelopedData.25", "REQ.CMS.AuthEnvelopedData.30")
def test_key_agreement_and_key_wrap(party: Party, hash: Any, wrap_bits: int) -> None:
    message = protect(party, suite=Suite(Mode.GCM, kdf_hash=hash, wrap_bits=wrap_bits))
    assert open_(party, message).content == CONTENT
    by_hand = ByHand(message, party)
    algorithm = by_hand.kari["key_encryption_algorithm"]
    assert algorithm["algorithm"].dotted == AGREEMENT_OIDS[hash]
    wrap = core.Sequence.load(algorithm["parameters"].dump())
    assert (len(wrap), core.ObjectIdentifier.load(wrap[0].dump()).dotted) == (1, WRAP_OIDS[wrap_bits])
    assert by_hand.decrypted(hash=hash, wrap_bits=wrap_bits) == CONTENT


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.requirement("REQ.CMS.AuthEnvelopedData.60", "REQ.CMS.AuthEnvelopedData.70", "REQ.CMS.AuthEnvelopedData.80")
def test_gcm(party: Party, bits: int) -> None:
    message = protect(party, suite=Suite(Mode.GCM, bits))
    by_hand = ByHand(message, party)
    algorithm = by_hand.encrypted["content_encryption_algorithm"]
    assert algorithm["algorithm"].dotted == CONTENT_OIDS[Mode.GCM, bits]
    assert len(algorithm["parameters"].native["0"]) == 12
    assert algorithm["parameters"].native["1"] == 16
    assert len(by_hand.key()) == bits // 8
    assert by_hand.decrypted() == open_(party, message).content == CONTENT


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 300_000])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.requirement(
    *("REQ.CMS.AuthEnvelopedData.40", "REQ.CMS.AuthEnvelopedData.50"),
    *("REQ.CMS.AesCbcCmac.10", "REQ.CMS.AesCbcCmac.20", "REQ.CMS.AesCbcCmac.30"),
    *("REQ.CMS.AesCbcCmac.40", "REQ.CMS.AesCbcCmac.50"),
)
def test_cbc_cmac(party: Party, bits: int, length: int) -> None:
    """No parameters, so IV 0 and a MAC of 16 octets; two keys; padded to whole blocks; the MAC over C || AAD."""
    content = os.urandom(length)
    for compress in (False, True):
        message = protect(party, content, suite=Suite(Mode.CBC_CMAC, bits), compress=compress)
        by_hand = ByHand(message, party)
        algorithm = by_hand.encrypted["content_encryption_algorithm"]
        assert algorithm.native == {"algorithm": CONTENT_OIDS[Mode.CBC_CMAC, bits], "parameters": None}
        assert len(by_hand.key()) == 2 * bits // 8
        assert len(by_hand.envelope["mac"].native) == 16
        assert bool(by_hand.attributes) is compress
        decrypted = by_hand.decrypted()
        assert (asn1.CompressedData.load(decrypted).decompressed if compress else decrypted) == content
        assert open_(party, message).content == content
    assert len(by_hand.encrypted["encrypted_content"].native) % 16 == 0


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.requirement(
    *("REQ.CMS.AesCbcCmac.70", "REQ.CMS.AesCbcCmac.80", "REQ.CMS.AesCbcCmac.90"),
    *("REQ.CMS.AesCbcCmac.110", "REQ.CMS.AesCbcCmac.120"),
)
def test_cbc_cmac_with_parameters(party: Party, compress: bool) -> None:
    """Where there are parameters (not in messages of the profile, 5.3.2.2.3), they are authenticated."""
    message = protect(party, suite=replace(CBC_CMAC, with_iv=True), compress=compress)
    by_hand = ByHand(message, party)
    parameters = by_hand.encrypted["content_encryption_algorithm"]["parameters"]
    assert list(parameters.native) == ["0"]  # aes-MacLen is 16, its default, and so absent in DER
    assert len(parameters.native["0"]) == 16
    attributes = {each["type"].dotted: each["values"] for each in by_hand.envelope["auth_attrs"]}
    assert [value.dump() for value in attributes[PARAM]] == [parameters.dump()]
    assert len(by_hand.envelope["mac"].native) == 16
    decrypted = by_hand.decrypted()
    assert (asn1.CompressedData.load(decrypted).decompressed if compress else decrypted) == CONTENT
    opened = open_(party, message)
    assert (opened.content, opened.protection.suite.with_iv) == (CONTENT, True)


@pytest.mark.parametrize("suite", [*SUITES, replace(CBC_CMAC, with_iv=True)])
@pytest.mark.requirement("REQ.CMS.AuthEnvelopedData.90", "REQ.CMS.AesCbcCmac.60", "REQ.CMS.AesCbcCmac.100")
def test_keys_and_nonces_are_random_and_of_one_message(party: Party, suite: Suite) -> None:
    """All of them are asked for when a message is made; none comes twice."""
    given: list[bytes] = []

    def random(octets: int) -> bytes:
        given.append(os.urandom(octets))
        return given[-1]

    messages = [
        ByHand(protect(party, suite=suite, randomness=Randomness(random, SOFTWARE.agree_once)), party) for _ in range(4)
    ]
    assert [message.key() for message in messages] == [each for each in given if len(each) == suite.key_octets]
    if suite.mode is Mode.GCM or suite.with_iv:
        algorithms = [message.encrypted["content_encryption_algorithm"] for message in messages]
        assert [each["parameters"].native["0"] for each in algorithms] == given[1::2]
    points = [message.kari["originator"].chosen["public_key"].native for message in messages]
    keys = [message.key() for message in messages]
    assert len({*given}) == len(given)
    assert len({*points}) == len({*keys}) == len(messages)
    assert all(key[: len(key) // 2] != key[len(key) // 2 :] for key in keys)


@pytest.mark.requirement("REQ.CMS.CompressedData.10")
def test_compression(party: Party) -> None:
    content = b"0123456789" * 100_000
    message = protect(party, content, compress=True)
    assert len(message) < 10_000
    inside = asn1.CompressedData.load(ByHand(message, party).decrypted(), strict=True)
    assert inside["compression_algorithm"].native == {"algorithm": "zlib", "parameters": None}
    assert inside["encap_content_info"]["content"].contents[0] & 0x0F == 8  # deflate in a zlib header (RFC 1950 2.2)
    assert inside.decompressed == content
    assert open_(party, message).content == content
    assert len(protect(party, content)) > len(content)


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("suite", SUITES)
def test_every_curve(parties: dict[str, Party], name: str, suite: Suite) -> None:
    party = parties[name]
    assert open_(party, protect(party, suite=suite)).content == CONTENT
    assert CURVE_OIDS.keys() == parties.keys()


@pytest.mark.requirement("REQ.CMS.Zertifikate.10")
def test_the_signer_has_to_be_the_one_who_is_configured(
    party: Party, make_certificate: Callable[..., x509.Certificate]
) -> None:
    """Equality with the certificate given decides: not the name, not the key alone, not what is enclosed."""
    stranger_key = ec.generate_private_key(ec.BrainpoolP256R1())
    stranger = replace(party, sig_key=stranger_key, sig=make_certificate(stranger_key.public_key()))
    renewed = make_certificate(party.sig_key.public_key())
    for enclose in (False, True):
        with refused("cms.sender"):
            open_(party, protect(stranger, enclose=enclose))
    with refused("cms.sender"):
        open_(party, protect(party), sender_certificate=renewed)
    without = protect(party, enclose=False)
    assert open_(party, without, sender_certificate=renewed).content == CONTENT  # nothing in it says which of the two

    detached = cms.sign_detached(CONTENT, certificate=stranger.sig, key=stranger_key)
    cms.verify_detached(CONTENT, detached, stranger.sig)
    with refused("cms.sender"):
        cms.verify_detached(CONTENT, detached, party.sig)


def test_a_forged_key_identifier_does_not_help(party: Party, make_certificate: Callable[..., x509.Certificate]) -> None:
    """Somebody signs, and says that it was another one's key."""
    stranger = ec.generate_private_key(ec.BrainpoolP256R1())
    forged = asn1.ContentInfo.load(
        protect(replace(party, sig_key=stranger, sig=make_certificate(stranger.public_key())), enclose=False)
    )
    key_id = x509.SubjectKeyIdentifier.from_public_key(party.sig.public_key()).digest
    signer = forged["content"]["signer_infos"][0]
    signer["sid"] = asn1.SignerIdentifier({"subject_key_identifier": key_id})
    with refused("cms.signature.invalid"):
        open_(party, forged.dump(force=True))


@pytest.mark.requirement("REQ.CMS.Zertifikate.10")
def test_certificates_have_to_be_for_the_purpose(
    party: Party, make_certificate: Callable[..., x509.Certificate]
) -> None:
    tls = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ExtendedKeyUsageOID.SERVER_AUTH])
    for unfit in (
        make_certificate(party.sig.public_key(), ("key_agreement",)),
        make_certificate(party.sig.public_key(), extended=tls),
    ):
        with refused("cms.certificate.use"):
            protect(replace(party, sig=unfit))
        with refused("cms.certificate.use"):
            open_(party, protect(party), sender_certificate=unfit)
        unsigned = cms.sign_detached(CONTENT, certificate=party.sig, key=party.sig_key)
        with refused("cms.certificate.use"):
            cms.verify_detached(CONTENT, unsigned, unfit)
    no_enc = make_certificate(party.enc.public_key())
    with refused("cms.certificate.use"):
        protect(replace(party, enc=no_enc))
    with refused("cms.certificate.use"):
        open_(party, protect(party), recipient_certificate=no_enc)
    other_curve = make_certificate(ec.generate_private_key(ec.SECP256K1()).public_key(), ("key_agreement",))
    with refused("cms.certificate.curve"):
        protect(replace(party, enc=other_curve))
    unrestricted = make_certificate(party.enc.public_key(), ())  # RFC 5280 4.2.1.3: may be for anything
    assert open_(party, protect(replace(party, enc=unrestricted))).content == CONTENT


def test_keys_have_to_be_those_of_the_certificates(party: Party) -> None:
    other = ec.generate_private_key(ec.BrainpoolP256R1())
    with refused("cms.key"):
        protect(replace(party, sig_key=other))
    with refused("cms.key"):
        open_(party, protect(party), recipient_key=other)
    with refused("cms.key"):
        cms.sign_detached(CONTENT, certificate=party.sig, key=other)


@pytest.mark.requirement("REQ.CMS.Zertifikate.20")
def test_an_enclosed_certificate_is_read(party: Party) -> None:
    seen = inspect(protect(party))
    assert seen.certificate == party.sig
    assert seen.signature_holds
    assert seen.certificate.subject.rfc4514_string() == "CN=Verwalter.GWA"
    without = inspect(protect(party, enclose=False, compress=True, suite=CBC_CMAC))
    assert (without.certificate, without.signature_holds) == (None, None)
    assert (without.suite, without.compressed, without.signature_hash) == (CBC_CMAC, True, "sha256")
    assert without.recipient_key_id == x509.SubjectKeyIdentifier.from_public_key(party.enc.public_key()).digest
    assert without.signer_key_id == x509.SubjectKeyIdentifier.from_public_key(party.sig.public_key()).digest


@pytest.mark.parametrize("enclose", [False, True])
def test_a_detached_signature(party: Party, enclose: bool) -> None:
    signature = cms.sign_detached(CONTENT, certificate=party.sig, key=party.sig_key, enclose=enclose)
    cms.verify_detached(CONTENT, signature, party.sig)
    signed = asn1.ContentInfo.load(signature, strict=True)["content"]
    assert signed["encap_content_info"].native == {"content_type": "data", "content": None}
    assert bool(signed["certificates"].native) is enclose
    with refused("cms.signature.digest"):
        cms.verify_detached(CONTENT + b" ", signature, party.sig)
    with refused("cms.signature.content"):
        open_(party, signature)
    with refused("cms.signature.content"):
        cms.verify_detached(CONTENT, protect(party), party.sig)


def test_the_security_module_protects_and_opens(
    module: SecurityModule, fill_next: Callable[..., None], party: Party
) -> None:
    """A gateway's keys, and what is random, are its security module's (5.5)."""
    fill_next(module)
    module.activate()
    gateway = Party(
        module.key(Slot.WAN_SIG),
        module.certificate(Slot.WAN_SIG),
        module.key(Slot.WAN_ENC),
        module.certificate(Slot.WAN_ENC),
    )
    randomness = Randomness(module.random, module.agree_once)
    for suite in SUITES:
        sent = protect(replace(gateway, enc=party.enc), suite=suite, randomness=randomness)
        assert open_(party, sent, sender_certificate=gateway.sig).content == CONTENT
        received = protect(replace(party, enc=gateway.enc), suite=suite)
        assert open_(gateway, received, sender_certificate=party.sig).content == CONTENT


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(GatewayError) as caught:
        yield
    assert caught.value.code == code
    assert caught.value.hint
