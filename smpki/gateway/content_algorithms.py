"""Which algorithms an envelope says that its content was protected with."""

from collections.abc import Mapping
from dataclasses import dataclass

from smpki.asn1 import der
from smpki.asn1.auth_enveloped import AuthEnveloped, AuthEnvelopedError
from smpki.asn1.fields import Fields
from smpki.asn1.oids import AES_CBC_CMAC_PARAM, AES_CBC_CMAC_PARAM_SIBLING, COMPRESSED_DATA, DATA
from smpki.gateway.content_cipher import IV_OCTETS, MAC_OCTETS, NONCE_OCTETS
from smpki.gateway.content_suite import AGREEMENT_OIDS, CONTENT_OIDS, WRAP_OIDS, HashName, Mode, Suite

_CHECK_OCTETS = 8  # by which the key wrap makes a key longer
_UNCOMPRESSED = 0x04
_CONTENTS = {oid: mode_and_bits for mode_and_bits, oid in CONTENT_OIDS.items()}
_WRAPS = {oid: bits for bits, oid in WRAP_OIDS.items()}
_ECKA_EG: Mapping[str, HashName] = {oid: name for name, oid in AGREEMENT_OIDS.items()}


@dataclass(frozen=True, slots=True)
class Algorithms:
    """How a content was protected, as its envelope says.

    :param iv: of CBC; the nonce of GCM
    """

    suite: Suite
    iv: bytes


def read_algorithms(envelope: AuthEnveloped, agreements: Mapping[str, HashName] = _ECKA_EG) -> Algorithms:
    """The algorithms of an envelope, where all of it is as they need it.

    :param agreements: object identifiers of the key agreement, and the hash that its key derivation uses
    :raises DerError: when parameters are not what they have to be
    :raises AuthEnvelopedError: ``algorithm``, ``parameters``, ``encrypted_key``, ``mac``, ``originator``,
        ``content_type``
    """
    recipient = envelope.recipient
    kdf_hash = agreements.get(recipient.agreement)
    wrap_bits = _WRAPS.get(recipient.wrap.oid)
    mode, bits = _CONTENTS.get(envelope.algorithm.oid, (None, 0))
    if kdf_hash is None or wrap_bits is None or mode is None:
        names = f"{recipient.agreement}, {recipient.wrap.oid}, {envelope.algorithm.oid}"
        raise AuthEnvelopedError("algorithm", f"an algorithm is none that may be used: {names}")
    if recipient.wrap.parameters:
        raise AuthEnvelopedError("parameters", "the key wrap has parameters")
    iv = _read_nonce(envelope) if mode is Mode.GCM else _read_iv(envelope)
    suite = Suite(mode, bits, kdf_hash, wrap_bits, with_iv=mode is Mode.CBC_CMAC and iv is not None)
    if len(recipient.encrypted_key) != suite.key_octets + _CHECK_OCTETS:
        octets = len(recipient.encrypted_key)
        raise AuthEnvelopedError("encrypted_key", f"the encrypted key has {octets} octets, which no key gives")
    if len(envelope.mac) != MAC_OCTETS:
        raise AuthEnvelopedError("mac", f"the MAC has {len(envelope.mac)} octets where {MAC_OCTETS} are due")
    if recipient.point[:1] != bytes((_UNCOMPRESSED,)):
        raise AuthEnvelopedError("originator", "the ephemeral key is not an uncompressed point")
    if envelope.content_type not in (DATA, COMPRESSED_DATA):
        raise AuthEnvelopedError("content_type", f"the content has type {envelope.content_type}")
    return Algorithms(suite, iv or bytes(IV_OCTETS))


def _read_nonce(envelope: AuthEnveloped) -> bytes:
    """GCMParameters (RFC 5084 3.2): nonce, and the length of the tag, whose default is another."""
    fields = Fields(envelope.algorithm.parameters, "GCMParameters")
    nonce = fields.next(der.OCTET_STRING, "nonce").content
    length = fields.optional(der.INTEGER)
    fields.end()
    if len(nonce) != NONCE_OCTETS or length is None or der.integer(length, "ICVlen") != MAC_OCTETS:
        message = f"the parameters of GCM are not a nonce of {NONCE_OCTETS} octets and a tag length of {MAC_OCTETS}"
        raise AuthEnvelopedError("parameters", message)
    return nonce


def _read_iv(envelope: AuthEnveloped) -> bytes | None:
    """CBC-CMAC-Param (5.4), which has to be authenticated as well; none means IV 0."""
    parameters = envelope.algorithm.parameters
    if not parameters:
        return None
    fields = Fields(parameters, "CBC-CMAC-Param")
    iv = fields.next(der.OCTET_STRING, "aes-iV").content
    length = fields.optional(der.INTEGER)
    fields.end()
    if len(iv) != IV_OCTETS or (length is not None and der.integer(length, "aes-MacLen") != MAC_OCTETS):
        message = f"the parameters of CBC-CMAC are not an IV of {IV_OCTETS} octets and a MAC length of {MAC_OCTETS}"
        raise AuthEnvelopedError("parameters", message)
    attested = {envelope.attributes.get(oid) for oid in (AES_CBC_CMAC_PARAM, AES_CBC_CMAC_PARAM_SIBLING)} - {None}
    if attested != {(parameters,)}:
        raise AuthEnvelopedError("parameters", "the parameters of CBC-CMAC are not among the authenticated attributes")
    return iv
