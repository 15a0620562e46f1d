"""The certificates that a CA grants for a package, checked before anybody uses them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import PolicyError, ServiceError
from smpki.participant.own_ca import OwnCa
from smpki.participant.signers import issued
from smpki.policy.lint.classify import classify
from smpki.policy.names import DistinguishedName, same_name
from smpki.policy.text import visible
from smpki.requests.model import CertificateRequest, RequestPackage
from smpki.requests.submission import read_submission
from smpki.trust.question import Question, Revocation
from smpki.trust.validate import validate

FindChain = Callable[[str], Awaitable[Sequence[bytes]]]
"""Finds the CAs above a certificate by the name of its issuer, as :meth:`WebService.certificate_chain` does."""


@dataclass(frozen=True)
class Granted:
    """A triple.

    :param chain: the CAs above it, from the trusted root down to the issuer
    """

    tls: x509.Certificate
    sig: x509.Certificate
    enc: x509.Certificate
    chain: tuple[x509.Certificate, ...]

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """TLS, SIG, ENC."""
        return self.tls, self.sig, self.enc

    def octets(self) -> tuple[bytes, ...]:
        """TLS, SIG and ENC certificate, DER."""
        return tuple(one.public_bytes(Encoding.DER) for one in self.certificates)

    def files(self) -> Mapping[str, bytes]:
        """File name to content, as ``smpki issue`` writes them.

        Write ``sig.pem`` last: once it is there, a watcher takes the renewal for done.
        """
        return {
            "chain.pem": _pem(self.chain),
            "enc.pem": _pem([self.enc]),
            "tls.pem": _pem([self.tls]),
            "sig.pem": _pem([self.sig]),
        }


async def check_granted(
    certificates: Sequence[bytes], package: bytes, ca: OwnCa, find_chain: FindChain | None = None
) -> Granted:
    """See that certificates are what a package asked for, and that their chain leads to a trusted root.

    Each is for the key, purpose and holder of its request, from our CA, and valid. When the issuer is not known
    here, as after the CA's change of key, the CA is asked for it.

    :param certificates: as they came, in any order
    :param package: as it was sent
    :raises ServiceError: ``web_service.certificates.*``; what came has to be settled with the CA
    :raises SmpkiError: what ``find_chain`` raises
    """
    requests = read_submission(package).package
    tls, sig, enc = _by_purpose([_loaded(one) for one in certificates])
    for certificate, request in zip((tls, sig, enc), requests.requests, strict=True):
        _check_request(certificate, request, requests, ca)
    material = ca.material()
    known = (*material.roots, *material.authorities)
    if find_chain is not None and not any(issued(one, sig) for one in known):
        issuer = str(DistinguishedName.from_x509(sig.issuer))
        known += tuple(_loaded(one) for one in await find_chain(issuer))
    chains = {_chain(one, known, ca)[:-1] for one in (tls, sig, enc)}
    if len(chains) > 1:
        raise _wrong("chain", "the three certificates are not of one issuer", sig)
    return Granted(tls, sig, enc, chains.pop())


def check_chain(chain: Sequence[bytes], issuer: str, ca: OwnCa) -> tuple[x509.Certificate, ...]:
    """See that what GetCertificateChain brings leads from a trusted root to the CA that was asked for.

    :param chain: as it came
    :param issuer: whom was asked for
    :return: all of it, as it came
    :raises ServiceError: ``web_service.certificates.*``
    """
    loaded = tuple(map(_loaded, chain))
    wanted = DistinguishedName.parse(issuer).to_x509()
    last = loaded[-1]
    if not same_name(last.subject, wanted):
        raise _wrong("chain", f"the chain does not end with {visible(issuer)}", last)
    _chain(last, loaded, ca)
    return loaded


def _loaded(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.public_key()
    except Exception:  # pyca: ValueError, TypeError, UnsupportedAlgorithm and more
        message, hint = "what came as a certificate can't be read", "ask the operator of the CA"
        raise ServiceError("web_service.certificates.unreadable", message, hint=hint) from None
    return certificate


def _by_purpose(certificates: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """TLS, SIG and ENC."""
    found = {kind[1]: one for one in certificates if (kind := classify(one)) is not None}
    if len(certificates) != 3 or not found.keys() >= {"tls", "sig", "enc"}:
        message = f"{len(certificates)} certificates came ({', '.join(sorted(found)) or 'for no known purpose'})"
        hint = "three are due: one each for TLS, signatures and encryption; ask the operator of the CA"
        raise ServiceError("web_service.certificates.triple", message, hint=hint)
    return found["tls"], found["sig"], found["enc"]


def _check_request(
    certificate: x509.Certificate, request: CertificateRequest, package: RequestPackage, ca: OwnCa
) -> None:
    if certificate.public_key() != request.public_key:
        raise _wrong("key", f"the certificate is for another key than {request.place}", certificate)
    try:
        subject, issuer = map(DistinguishedName.from_x509, (certificate.subject, certificate.issuer))
        same_holder = subject.key() == DistinguishedName.from_x509(package.subject).key()
        from_ours = issuer.key() == ca.name.key()
    except (PolicyError, ValueError):
        same_holder = from_ours = False
    if not same_holder:
        raise _wrong("holder", "the certificate is for another holder than the package", certificate)
    if not from_ours:
        raise _wrong("issuer", f"the certificate is not from {ca.name.common_name}", certificate)


def _chain(certificate: x509.Certificate, known: Sequence[x509.Certificate], ca: OwnCa) -> tuple[x509.Certificate, ...]:
    """The chain to a certificate, from the root, itself included."""
    material = ca.material()
    kind, purpose = classify(certificate) or (None, None)
    use = purpose if purpose in ("tls", "sig", "enc") else None
    at = max(ca.now(), certificate.not_valid_before_utc)  # the CA's clock may be a little ahead
    known_only = Revocation.IF_KNOWN  # no list is as new as a certificate that was just issued
    verdict = validate(
        Question(certificate, material.roots, at, tuple(known), material.crls, kind, use, revocation=known_only)
    )
    if verdict.reasons:
        raise _wrong("chain", f"the certificate does not hold: {visible(str(verdict.reasons[0]))}", certificate)
    return verdict.chain


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def _wrong(rule: str, message: str, certificate: x509.Certificate) -> ServiceError:
    hint = "don't use it, and ask the operator of the CA"
    where = visible(certificate.subject.rfc4514_string())
    return ServiceError(f"web_service.certificates.{rule}", message, where=where, hint=hint)
