"""CMS AuthEnvelopedData (RFC 5083) with one recipient by key agreement, as the gateway's profile has it.

The profile (Detailspezifikationen zur TR-03109-1 v2.0, table 5.5): version 0; no originatorInfo; one
KeyAgreeRecipientInfo of version 3, with an ephemeral originatorKey, without ukm, and with one encrypted key for a
recipient named by the identifier of its key; no unauthenticated attributes. Which algorithms may be used is for the
room that protects and opens contents.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from smpki.asn1 import der
from smpki.asn1.ber_reader import BerReader, Octets
from smpki.asn1.fields import Fields
from smpki.asn1.oids import AUTH_ENVELOPED_DATA, CONTENT_TYPE, DATA, EC_PUBLIC_KEY
from smpki.asn1.profile_error import ProfileError
from smpki.asn1.signer_info import attribute, read_attribute

_VERSION, _RECIPIENT_VERSION = 0, 3
_ORIGINATOR_INFO = der.context(0)
_ORIGINATOR, _UKM, _ORIGINATOR_KEY = der.context(0), der.context(1), der.context(1)
_ISSUER_AND_SERIAL, _KEY_ID = der.SEQUENCE, der.context(0, constructed=False)
_RECIPIENT_KEY = der.context(0)
_GENERALIZED_TIME = 0x18
_CIPHERTEXT = der.context(0, constructed=False)
_AUTHENTICATED, _UNAUTHENTICATED = der.context(1), der.context(2)
_RECIPIENTS = {
    der.SEQUENCE: "ktri",
    der.context(1): "kari",
    der.context(2): "kekri",
    der.context(3): "pwri",
    der.context(4): "ori",
}
"""The alternatives of RecipientInfo by identifier octet (RFC 5652 section 6.2)."""


class AuthEnvelopedError(ProfileError):
    """AuthEnvelopedData that is well-formed, but not of the profile.

    :param rule: what was broken, such as ``version``, ``recipients`` or ``ukm``
    """


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An AlgorithmIdentifier.

    :param oid: dotted
    :param parameters: encoded; empty when they are absent
    """

    oid: str
    parameters: bytes = b""


@dataclass(frozen=True, slots=True)
class Recipient:
    """KeyAgreeRecipientInfo (RFC 5652 section 6.2.2): who can open the content, and by which key.

    :param curve: of the ephemeral key: the encoded parameters of id-ecPublicKey; empty when they are absent
    :param point: the ephemeral public key, as its BIT STRING has it
    :param agreement: key agreement and key derivation (keyEncryptionAlgorithm)
    :param wrap: how the content-encryption key is encrypted (the parameter of keyEncryptionAlgorithm)
    :param key_id: subject key identifier of the recipient
    :param encrypted_key: the content-encryption key
    """

    curve: bytes
    point: bytes
    agreement: str
    wrap: Algorithm
    key_id: bytes
    encrypted_key: bytes


@dataclass(frozen=True, slots=True)
class AuthEnveloped:
    """AuthEnvelopedData of the profile but for its ciphertext, which was read past.

    :param recipient: the one there is
    :param content_type: what the content is, dotted
    :param algorithm: encrypts and authenticates the content
    :param attributes: the values of each authenticated attribute, encoded, by its type
    :param authenticated: the authenticated attributes as the MAC covers them: a DER SET OF (RFC 5083 section 2.2);
        empty when there are none
    :param mac: of ciphertext and authenticated attributes
    """

    recipient: Recipient
    content_type: str
    algorithm: Algorithm
    attributes: dict[str, tuple[bytes, ...]]
    authenticated: bytes
    mac: bytes


class AuthEnvelopedStream:
    """AuthEnvelopedData of the profile, read forwards. Read :attr:`ciphertext` to its end, then :meth:`finish`.

    :param reader: AuthEnvelopedData comes next, bare or in a ContentInfo of its own
    :raises DerError: when it is none
    :raises AuthEnvelopedError: see :meth:`finish`
    :ivar ciphertext: the encrypted content in pieces
    """

    def __init__(self, reader: BerReader) -> None:
        self._reader = reader
        reader.enter(der.SEQUENCE, "AuthEnvelopedData")
        self._wrapped = reader.tag() == der.OBJECT_IDENTIFIER
        if self._wrapped:
            _expect_type(reader.element(der.OBJECT_IDENTIFIER, "contentType"))
            reader.enter(der.context(0), "content")
            reader.enter(der.SEQUENCE, "AuthEnvelopedData")
        version = der.integer(reader.element(der.INTEGER, "version"), "AuthEnvelopedData.version")
        _check_version(version, _VERSION, "AuthEnvelopedData")
        if reader.tag() == _ORIGINATOR_INFO:
            raise AuthEnvelopedError("originator_info", "originatorInfo is there, though the sender's key is ephemeral")
        self._recipient = _read_recipients(reader.element(der.SET, "recipientInfos"))
        reader.enter(der.SEQUENCE, "authEncryptedContentInfo")
        kind = reader.element(der.OBJECT_IDENTIFIER, "contentType")
        self._content_type = der.object_identifier(kind, "contentType")
        self._algorithm = _read_algorithm(reader.element(der.SEQUENCE, "contentEncryptionAlgorithm").encoded)
        if reader.tag() is None:
            raise AuthEnvelopedError("ciphertext", "the encrypted content is not enclosed")
        self.ciphertext: Iterator[Octets] = reader.octets(_CIPHERTEXT, "encryptedContent")

    def finish(self) -> AuthEnveloped:
        """What stands around the ciphertext.

        :raises DerError: when it is no AuthEnvelopedData
        :raises AuthEnvelopedError: ``version``, ``originator_info``, ``recipients``, ``recipient_kind``,
            ``originator``, ``ukm``, ``recipient_identifier``, ``ciphertext``, ``attributes.missing``,
            ``attributes.repeated``, ``attributes.content_type``, ``attributes.unauthenticated``
        """
        reader = self._reader
        reader.leave("authEncryptedContentInfo")
        element = reader.optional(_AUTHENTICATED, "authAttrs")
        mac = reader.element(der.OCTET_STRING, "mac").content
        if reader.tag() == _UNAUTHENTICATED:
            raise AuthEnvelopedError("attributes.unauthenticated", "there are unauthenticated attributes")
        reader.leave("AuthEnvelopedData")
        if self._wrapped:
            reader.leave("content")
            reader.leave("ContentInfo")
        if element is not None and not element.content:
            raise der.DerError("tag", "authAttrs is empty")
        encoded = sorted(each.encoded for each in der.elements(element.content, "authAttrs")) if element else []
        attributes = _read_attributes(encoded)
        _check_content_type(attributes, self._content_type)
        return AuthEnveloped(
            recipient=self._recipient,
            content_type=self._content_type,
            algorithm=self._algorithm,
            attributes=attributes,
            authenticated=der.encode(der.SET, *encoded) if encoded else b"",
            mac=mac,
        )


def build_attributes(content_type: str, more: tuple[tuple[str, bytes], ...] = ()) -> bytes:
    """Authenticated attributes: contentType and others, as a DER SET OF.

    :param more: type and encoded value of each
    """
    kind = (CONTENT_TYPE, der.encode_object_identifier(content_type))
    return der.encode(der.SET, *sorted(attribute(oid, value) for oid, value in (kind, *more)))


def frame_auth_enveloped(
    recipient: Recipient, content_type: str, algorithm: Algorithm, length: int, authenticated: bytes, mac_length: int
) -> tuple[bytes, bytes]:
    """What stands before the ciphertext, and between it and the octets of the MAC, in DER AuthEnvelopedData.

    :param length: octets of the ciphertext
    :param authenticated: see :func:`build_attributes`; empty for none
    :param mac_length: octets of the MAC, which stands last
    """
    version = der.encode_integer(_VERSION)
    recipients = der.encode(der.SET, _encode_recipient(recipient))
    kind = der.encode_object_identifier(content_type) + _encode_algorithm(algorithm)
    ciphertext = der.header(_CIPHERTEXT, length)
    content = der.header(der.SEQUENCE, len(kind) + len(ciphertext) + length) + kind + ciphertext
    after = der.implicit(1, authenticated) if authenticated else b""
    after += der.header(der.OCTET_STRING, mac_length)
    before = version + recipients + content
    return der.header(der.SEQUENCE, len(before) + length + len(after) + mac_length) + before, after


def _expect_type(element: der.Element) -> None:
    oid = der.object_identifier(element, "contentType")
    if oid != AUTH_ENVELOPED_DATA:
        raise AuthEnvelopedError("content_type", f"the content has type {oid} where AuthEnvelopedData is due")


def _read_recipients(element: der.Element) -> Recipient:
    found = der.elements(element.content, "recipientInfos")
    if len(found) != 1:
        raise AuthEnvelopedError("recipients", f"there are {len(found)} recipients where one is due")
    kind = _RECIPIENTS.get(found[0].tag)
    if kind != "kari":
        raise AuthEnvelopedError("recipient_kind", f"the recipient is of kind {kind}, not by key agreement (kari)")
    fields = Fields(found[0].encoded, "kari", tag=found[0].tag)
    version = der.integer(fields.next(der.INTEGER, "version"), "kari.version")
    originator = der.elements(fields.next(_ORIGINATOR, "originator").content, "kari.originator")
    ukm = fields.optional(_UKM)
    agreement = fields.next(der.SEQUENCE, "keyEncryptionAlgorithm").encoded
    keys = der.elements(fields.next(der.SEQUENCE, "recipientEncryptedKeys").content, "recipientEncryptedKeys")
    fields.end()

    _check_version(version, _RECIPIENT_VERSION, "kari")
    if [each.tag for each in originator] != [_ORIGINATOR_KEY]:
        raise AuthEnvelopedError("originator", "the sender is not named by an ephemeral key")
    if ukm is not None:
        raise AuthEnvelopedError("ukm", "user keying material (ukm) is there")
    if len(keys) != 1:
        raise AuthEnvelopedError("recipients", f"there are {len(keys)} encrypted keys where one is due")
    algorithm, point = _read_originator(originator[0].encoded)
    scheme = _read_algorithm(agreement)
    key_id, encrypted_key = _read_key(keys[0].encoded)
    return Recipient(
        curve=algorithm.parameters,
        point=point,
        agreement=scheme.oid,
        wrap=_read_algorithm(scheme.parameters),
        key_id=key_id,
        encrypted_key=encrypted_key,
    )


def _read_originator(encoded: bytes) -> tuple[Algorithm, bytes]:
    """OriginatorPublicKey (RFC 5652 section 6.2.2)."""
    fields = Fields(encoded, "originatorKey", tag=_ORIGINATOR_KEY)
    algorithm = _read_algorithm(fields.next(der.SEQUENCE, "algorithm").encoded)
    point = fields.next(der.BIT_STRING, "publicKey").content
    fields.end()
    if algorithm.oid != EC_PUBLIC_KEY:
        raise AuthEnvelopedError("originator", f"the ephemeral key is of type {algorithm.oid}, not id-ecPublicKey")
    if point[:1] != b"\x00":
        raise AuthEnvelopedError("originator", "the ephemeral key is not a whole number of octets")
    return algorithm, point[1:]


def _read_key(encoded: bytes) -> tuple[bytes, bytes]:
    """RecipientEncryptedKey: who, by subject key identifier, and the encrypted key (RFC 5652 section 6.2.2)."""
    fields = Fields(encoded, "recipientEncryptedKey")
    named = fields.optional(_RECIPIENT_KEY)
    if named is None:
        fields.next(_ISSUER_AND_SERIAL, "rid")
    encrypted_key = fields.next(der.OCTET_STRING, "encryptedKey").content
    fields.end()
    if named is None:
        raise AuthEnvelopedError("recipient_identifier", "the recipient is named by issuer and serial, not by its key")
    parts = Fields(named.encoded, "rKeyId", tag=_RECIPIENT_KEY)
    key_id = parts.next(der.OCTET_STRING, "subjectKeyIdentifier").content
    date = parts.optional(_GENERALIZED_TIME)
    parts.optional(der.SEQUENCE)  # other: a hint how to choose the key
    parts.end()
    if date is not None:
        raise AuthEnvelopedError("recipient_identifier", "the recipient's key is named with a date")
    return key_id, encrypted_key


def _read_algorithm(encoded: bytes) -> Algorithm:
    fields = der.elements(der.single(encoded, der.SEQUENCE, "AlgorithmIdentifier").content, "AlgorithmIdentifier")
    if len(fields) not in (1, 2):
        raise der.DerError("tag", f"AlgorithmIdentifier has {len(fields)} fields")
    return Algorithm(der.object_identifier(fields[0], "algorithm"), b"".join(each.encoded for each in fields[1:]))


def _read_attributes(encoded: list[bytes]) -> dict[str, tuple[bytes, ...]]:
    found: dict[str, tuple[bytes, ...]] = {}
    for each in encoded:
        oid, values = read_attribute(each, "authAttrs")
        if oid in found:
            raise AuthEnvelopedError("attributes.repeated", f"the authenticated attribute {oid} is there twice")
        found[oid] = tuple(value.encoded for value in values)
    return found


def _check_content_type(attributes: dict[str, tuple[bytes, ...]], content_type: str) -> None:
    """RFC 5083 section 2.1: contentType is authenticated, unless the content is plain data."""
    attested = attributes.get(CONTENT_TYPE)
    if attested is None and content_type != DATA:
        raise AuthEnvelopedError("attributes.missing", "the content's type is not among the authenticated attributes")
    if attested not in (None, (der.encode_object_identifier(content_type),)):
        raise AuthEnvelopedError("attributes.content_type", "the authenticated contentType is not the content's type")


def _check_version(version: int, due: int, of: str) -> None:
    if version != due:
        raise AuthEnvelopedError("version", f"{of} has version {version} where {due} is due")


def _encode_recipient(recipient: Recipient) -> bytes:
    algorithm = _encode_algorithm(Algorithm(EC_PUBLIC_KEY, recipient.curve))
    point = der.encode(der.BIT_STRING, b"\x00", recipient.point)
    named = der.encode(_RECIPIENT_KEY, der.encode(der.OCTET_STRING, recipient.key_id))
    key = der.encode(der.SEQUENCE, named, der.encode(der.OCTET_STRING, recipient.encrypted_key))
    return der.encode(
        der.context(1),
        der.encode_integer(_RECIPIENT_VERSION),
        der.encode(_ORIGINATOR, der.encode(_ORIGINATOR_KEY, algorithm, point)),
        _encode_algorithm(Algorithm(recipient.agreement, _encode_algorithm(recipient.wrap))),
        der.encode(der.SEQUENCE, key),
    )


def _encode_algorithm(algorithm: Algorithm) -> bytes:
    return der.encode(der.SEQUENCE, der.encode_object_identifier(algorithm.oid), algorithm.parameters)
