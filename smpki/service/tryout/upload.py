"""Somebody hands in a message, a package, a certificate or a list, to see what it is and what holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import GatewayError, RequestError, ServiceError
from smpki.gateway.cms_inspect import Inspection, inspect
from smpki.policy.lint.classify import classify
from smpki.policy.model import Policy
from smpki.requests.armour import strip_armour
from smpki.requests.explain import explain
from smpki.requests.explain_parts import Part, one_line
from smpki.service.tryout.finding import Finding, advises, breaks, holds
from smpki.trust.question import Verdict

LARGEST = 1024 * 1024
"""Octets of what is looked at."""

_AUTH_ENVELOPED = bytes.fromhex("060b2a864886f70d0109100117")
"""id-ct-authEnvelopedData (RFC 5083 2.1), DER; among the first octets of a signed message that encloses one."""

_PROTECTED = "BSI TR-03116-3 8"


@dataclass(frozen=True)
class Look:
    """What was handed in.

    :param parts: certificates, lists and requests in plain words, each with what the lint says
    :param message: for a protected message: what can be seen of it without a key
    :param findings: and what holds of it
    """

    parts: tuple[Part, ...] = ()
    message: Inspection | None = None
    findings: tuple[Finding, ...] = ()


def look_at(
    data: bytes,
    policy: Policy,
    verdict: Callable[[x509.Certificate], Verdict],
    own: Sequence[x509.Certificate] = (),
) -> Look:
    """Look at something; nothing is kept of it.

    :param data: DER, PEM or base64 text
    :param verdict: whether a certificate holds in this PKI
    :param own: ENC certificates of who asks, to say for whom a message is
    :raises ServiceError: ``service.tryout.size``
    :raises RequestError: it is nothing that is known here
    """
    if len(data) > LARGEST:
        message, hint = f"this has more than {LARGEST} octets", "hand in one message, package or certificate"
        raise ServiceError("service.tryout.size", message, hint=hint)
    try:
        octets = strip_armour(data)
    except RequestError:
        octets = data  # several PEM blocks; explain() takes them apart
    if _AUTH_ENVELOPED not in octets[:200]:
        return Look(explain(data, policy).parts)
    try:
        seen = inspect(octets)
    except GatewayError as error:
        return Look(findings=(breaks(_PROTECTED, "The message breaks its profile: {why}.", why=error.message),))
    parts = _explained(seen.certificate, policy) if seen.certificate else ()
    return Look(parts, seen, tuple(_message_findings(seen, verdict, own)))


def _explained(certificate: x509.Certificate, policy: Policy) -> tuple[Part, ...]:
    """A certificate in plain words."""
    return explain(certificate.public_bytes(Encoding.DER), policy).parts


def _message_findings(
    seen: Inspection, verdict: Callable[[x509.Certificate], Verdict], own: Sequence[x509.Certificate]
) -> list[Finding]:
    found = [holds(_PROTECTED, "It is encrypted and then signed, as it has to be.")]
    if seen.signature_hash != "sha256":
        found.append(
            breaks(
                "BSI TR-03116-3 table 23",
                "The signature uses {hash} instead of SHA-256.",
                hash=str(seen.signature_hash),
            )
        )
    if seen.signature_holds is None:
        found.append(advises(_PROTECTED, "No certificate is enclosed, so the signature could not be verified."))
    elif seen.certificate is None:
        found.append(breaks(_PROTECTED, "The enclosed certificate can't be read."))
    else:
        found += _signer_findings(seen.certificate, bool(seen.signature_holds), verdict)
    names = [one_line(one.subject) for one in own if _key_id(one) == seen.recipient_key_id]
    if names:
        found.append(holds("RFC 5753 3.1.1", "It is for the holder of this ENC certificate: {name}.", name=names[0]))
    elif own:
        found.append(
            advises(
                "RFC 5753 3.1.1", "It is for none of your ENC certificates; a key with another identifier opens it."
            )
        )
    return found


def _signer_findings(
    certificate: x509.Certificate, signature_holds: bool, verdict: Callable[[x509.Certificate], Verdict]
) -> list[Finding]:
    found = [
        holds("RFC 5652 5.4", "The signature holds under the enclosed certificate.")
        if signature_holds
        else breaks("RFC 5652 5.4", "The signature does not hold under the enclosed certificate.")
    ]
    type_and_purpose = classify(certificate)
    if type_and_purpose is None or type_and_purpose[1] != "sig":
        found.append(breaks("BSI TR-03109-4 annex A", "The enclosed certificate is no SIG certificate of the SM-PKI."))
    answer = verdict(certificate)
    if answer.valid:
        found.append(holds("RFC 5280 6.1", "The enclosed certificate holds in this PKI."))
    found += [
        breaks(reason.rule, "The enclosed certificate does not hold: {why}.", why=reason.message)
        for reason in answer.reasons
    ]
    return found


def _key_id(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (x509.ExtensionNotFound, ValueError):
        return None
