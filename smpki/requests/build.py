"""Build a request package, as a participant does (TR-03109-4 annex C)."""

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.asn1 import der
from smpki.asn1.algorithms import SIGNATURE_IDENTIFIERS
from smpki.asn1.content_info import build_content_info
from smpki.asn1.oids import BSI_CERT_REQ_MSGS
from smpki.errors import RequestError
from smpki.requests.keys import KeyTriple
from smpki.requests.model import Purpose
from smpki.requests.read import read_messages, verify_package

_SHA256 = hashes.SHA256()


@dataclass(frozen=True, slots=True)
class RequestedNames:
    """The subject alternative names to ask for.

    :param email: rfc822Name, for all three certificates
    :param uri: uniformResourceIdentifier, for all three
    :param dns: dNSNames, for the TLS certificate only
    """

    email: str | None = None
    uri: str | None = None
    dns: tuple[str, ...] = ()


def build_initial_package(
    subject: x509.Name, keys: KeyTriple, names: RequestedNames, *, hash: hashes.HashAlgorithm = _SHA256
) -> bytes:
    """Build an initial request package: a DER ContentInfo around :func:`build_messages`.

    :param hash: of the proofs of possession: SHA-256, SHA-384 or SHA-512
    :raises RequestError: see :func:`build_messages`
    """
    return build_content_info(BSI_CERT_REQ_MSGS, build_messages(subject, keys, names, hash=hash))


def build_messages(
    subject: x509.Name, keys: KeyTriple, names: RequestedNames, *, hash: hashes.HashAlgorithm = _SHA256
) -> bytes:
    """Build the DER CertReqMessages of a package, in the form of a real Sub-CA operator's example.

    The result is read back and its proofs are verified, so a fault of a key or a token shows here and not at the CA.

    :param hash: of the proofs of possession: SHA-256, SHA-384 or SHA-512
    :raises RequestError: ``request.names.invalid``, ``request.proof_of_possession.algorithm``, and for keys that may
        not be requested what :func:`read_messages` and :func:`verify_package` raise
    """
    if hash.name not in SIGNATURE_IDENTIFIERS:
        raise RequestError(
            "request.proof_of_possession.algorithm",
            f"a proof of possession can't be made with {hash.name}",
            where="hash",
            hint="use SHA-256, SHA-384 or SHA-512",
        )
    order = ((Purpose.ENC, keys.enc), (Purpose.SIG, keys.sig), (Purpose.TLS, keys.tls))
    messages = der.encode(der.SEQUENCE, *(_message(subject, purpose, key, names, hash) for purpose, key in order))
    verify_package(read_messages(messages))
    return messages


def _message(
    subject: x509.Name,
    purpose: Purpose,
    key: ec.EllipticCurvePrivateKey,
    names: RequestedNames,
    hash: hashes.HashAlgorithm,
) -> bytes:
    public_key = key.public_key()
    key_id = x509.SubjectKeyIdentifier.from_public_key(public_key)
    info = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    extensions = (_extension(value) for value in (key_id, *_extensions(purpose, names)))
    template = der.encode(
        der.SEQUENCE,
        der.encode(der.context(5), subject.public_bytes()),
        der.implicit(6, info),
        der.implicit(9, der.encode(der.SEQUENCE, *extensions)),
    )
    request = der.encode(der.SEQUENCE, der.encode_integer(int.from_bytes(key_id.digest, "big")), template)
    signature = der.encode(der.BIT_STRING, b"\x00", key.sign(request, ec.ECDSA(hash)))
    return der.encode(der.SEQUENCE, request, der.encode(der.context(1), SIGNATURE_IDENTIFIERS[hash.name], signature))


def _extensions(purpose: Purpose, names: RequestedNames) -> Iterator[x509.ExtensionType]:
    """All extensions to ask for but the subject key identifier, in the example's order."""
    alternative_names = _alternative_names(names, with_dns=purpose is Purpose.TLS)
    if alternative_names:
        yield x509.SubjectAlternativeName(alternative_names)
    encrypts = purpose is Purpose.ENC
    yield x509.KeyUsage(
        digital_signature=not encrypts,
        key_encipherment=encrypts,
        key_agreement=encrypts,
        content_commitment=False,
        data_encipherment=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    if purpose is Purpose.TLS:
        yield x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


def _alternative_names(names: RequestedNames, *, with_dns: bool) -> list[x509.GeneralName]:
    try:
        return [
            *(x509.DNSName(name) for name in names.dns if with_dns),
            *(x509.RFC822Name(name) for name in (names.email,) if name is not None),
            *(x509.UniformResourceIdentifier(name) for name in (names.uri,) if name is not None),
        ]
    except ValueError as error:
        raise RequestError(
            "request.names.invalid",
            f"a requested name can't be an alternative name: {error}",
            where="names",
            hint="write internationalised names in ASCII (RFC 5280 section 7)",
        ) from None


def _extension(value: x509.ExtensionType) -> bytes:
    """A non-critical Extension: criticality is the CA's to set."""
    oid = der.encode_object_identifier(value.oid.dotted_string)
    return der.encode(der.SEQUENCE, oid, der.encode(der.OCTET_STRING, value.public_bytes()))
