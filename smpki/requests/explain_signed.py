"""Explain signatures around requests, revocation requests (Sperrantrag), and changes of administrator."""

from collections.abc import Iterator, Sequence

from smpki.errors import RequestError
from smpki.policy.lint.finding import Finding, error
from smpki.policy.terms import REVOCATION_REASONS, Term
from smpki.requests.device_admin import DeviceAdminUpdate
from smpki.requests.explain_parts import Fact, Part, fact, hash_words, moment_words, one_line
from smpki.requests.revocation import RevocationItem, RevocationRequest
from smpki.requests.signature import Layer, Signature

_SHOWN = 20  # of what may be thousands
_LAYERS = {
    Layer.OUTER: Term("Signed with the previous key", "äußere Signatur"),
    Layer.AUTHORISATION: Term("Authorised by", "Autorisierungssignatur"),
    Layer.SENDER: Term("Signed by", "Signatur"),
}
_REASONS = {key.lower(): term for key, term in REVOCATION_REASONS.items()}


def signature_fact(signature: Signature) -> Fact:
    """Who signed, by which certificate, and whether the signature holds."""
    signer = signature.signer
    start, end = signer.not_valid_before_utc, signer.not_valid_after_utc
    broken = [f"broken: {each.message}" for each in signature_findings(signature)]
    enclosed = [f"enclosed as well: {one_line(each.subject)}" for each in signature.certificates if each != signer]
    return fact(
        _LAYERS[signature.layer],
        [
            one_line(signer.subject),
            f"certificate {signer.serial_number:x} of {one_line(signer.issuer)}",
            f"valid {moment_words(start)} to {moment_words(end)}",
            *(broken or [f"the signature holds: ECDSA and {hash_words(signature.signed_data.signer.hash)}"]),
            *_first(enclosed),
        ],
    )


def signature_findings(signature: Signature) -> Iterator[Finding]:
    """What is wrong with a signature; whether its signer may sign is for the CA to say."""
    try:
        signature.verify()
    except RequestError as broken:
        yield error("rfc-5652.5_6.signature.invalid", f"{broken.where}: {broken.message}")


def revocation_part(request: RevocationRequest) -> Part:
    """Explain a signed revocation request; of its certificates the first twenty."""
    count = len(request.items)
    return Part(
        kind="revocation-request",
        title=f"Revocation request (Sperrantrag) for {count} certificate{'s' if count != 1 else ''}",
        facts=(
            fact(Term("Certificates", "Zertifikate"), _first([_item_words(each) for each in request.items])),
            signature_fact(request.signature),
        ),
        findings=tuple(signature_findings(request.signature)),
    )


def device_admin_part(update: DeviceAdminUpdate) -> Part:
    """Explain a signed UpdateDeviceAdmin; of its gateways the first twenty."""
    count = len(update.gateways)
    return Part(
        kind="device-admin",
        title=f"Change of administrator (Administratorwechsel) of {count} gateway{'s' if count != 1 else ''}",
        facts=(
            fact(Term("New administrator", "neuer Gateway-Administrator"), [update.new_admin]),
            fact(Term("Gateways", "Smart-Meter-Gateways"), _first(update.gateways)),
            signature_fact(update.signature),
        ),
        findings=tuple(signature_findings(update.signature)),
    )


def _item_words(item: RevocationItem) -> str:
    reason = _REASONS[item.reason.replace("_", "")]
    return f"{item.serial_number:x} of {one_line(item.issuer)}: {reason}"


def _first(values: Sequence[str]) -> list[str]:
    more = [f"and {len(values) - _SHOWN} more"] if len(values) > _SHOWN else []
    return [*values[:_SHOWN], *more]
