"""What a Sub-CA that runs elsewhere asks of the root: two PKCS#10 requests in one PEM file.

The form of a Sub-CA's own request is not in the public texts, so the common one is taken (RFC 2986): one request for
the key that signs certificates and CRLs, then one for the TLS key towards the root.
"""

import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.issuer import HASHES
from smpki.errors import IssuingError, PolicyError
from smpki.policy.model import HashName
from smpki.policy.names import DistinguishedName, prepared

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE REQUEST-----.+?-----END CERTIFICATE REQUEST-----", re.DOTALL)


@dataclass(frozen=True)
class SubCaRequest:
    """One request, whose signature holds.

    :param names: what it asks to have in the SubjectAltName
    """

    subject: DistinguishedName
    public_key: ec.EllipticCurvePublicKey
    names: x509.SubjectAlternativeName | None = None

    @property
    def contact(self) -> tuple[str | None, str | None]:
        """Mail address and URI, where it names them."""
        names = self.names or x509.SubjectAlternativeName([])
        mails, uris = (names.get_values_for_type(kind) for kind in (x509.RFC822Name, x509.UniformResourceIdentifier))
        return next(iter(mails), None), next(iter(uris), None)

    def check(self, name: DistinguishedName, curve: str) -> None:
        """See that it asks for what would be issued; what it leaves out is for the root to say.

        :raises IssuingError: ``issuing.sub_ca.request``
        """
        for short, value in self.subject.attributes:
            due = name.get(short)
            if prepared(value) != prepared(due or ""):
                says = f"its certificate would have {due!r}" if due else "its name has no such part"
                raise _bad(f"the request says {short}={value!r}, {says}", name.common_name)
        if self.public_key.curve.name != curve:
            found = self.public_key.curve.name
            raise _bad(f"the key is on {found}, not on {curve}", name.common_name)


@dataclass(frozen=True)
class SubCaRequests:
    """What a Sub-CA asks for.

    :param ca: for the key that signs certificates and CRLs
    :param tls: for its TLS key towards the root
    """

    ca: SubCaRequest
    tls: SubCaRequest


def build_request(
    subject: DistinguishedName,
    names: x509.SubjectAlternativeName,
    key: ec.EllipticCurvePrivateKey,
    hash_name: HashName,
) -> bytes:
    """One request, signed by the key that is to be certified; :func:`read_requests` wants two, one after the other.

    :return: PEM
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject.to_x509()).add_extension(names, False)
    return builder.sign(key, HASHES[hash_name]).public_bytes(Encoding.PEM)


def read_requests(pem: bytes) -> SubCaRequests:
    """Read two PKCS#10 requests: the CA's, then its TLS key's.

    :raises IssuingError: ``issuing.sub_ca.request``
    """
    blocks = _BLOCK.findall(pem)
    if len(blocks) != 2:
        raise _bad(f"there are {len(blocks)} requests, not two: the CA's and its TLS key's")
    return SubCaRequests(*(_read(block, f"request {number}") for number, block in enumerate(blocks, start=1)))


def _read(pem: bytes, where: str) -> SubCaRequest:
    try:
        request = x509.load_pem_x509_csr(pem)
        subject, key, holds = request.subject, request.public_key(), request.is_signature_valid
        names = [one.value for one in request.extensions if isinstance(one.value, x509.SubjectAlternativeName)]
    except Exception:  # pyca: ValueError, UnsupportedAlgorithm and more
        raise _bad("it can't be read", where) from None
    if not holds:
        raise _bad("it is not signed by the key that it brings", where)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _bad("it brings a key that is on no elliptic curve", where)
    try:
        return SubCaRequest(DistinguishedName.from_x509(subject), key, next(iter(names), None))
    except PolicyError as error:
        raise _bad(error.message, where) from None


def _bad(message: str, where: str = "request") -> IssuingError:
    hint = "let the Sub-CA make it anew: smpki sub-ca request"
    return IssuingError("issuing.sub_ca.request", message, where=where, hint=hint)
