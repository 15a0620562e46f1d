"""Does a delivery record hold?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.asn1.ber import unwrap
from smpki.asn1.content_info import read_content_info
from smpki.asn1.signed_data import read_detached
from smpki.errors import GatewayError
from smpki.gateway.certificate_names import common_name
from smpki.gateway.cms import verify_detached
from smpki.gateway.delivery_record import Delivery, DeliveryRecord, Triple, read_delivery
from smpki.policy.device_id import DeviceId
from smpki.policy.model import CertificateType
from smpki.policy.names import same_name
from smpki.trust.question import Question, Revocation, Use
from smpki.trust.validate import validate


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a record.

    :param code: dotted and stable; ``delivery.*``, ``cms.*`` for the signature, ``trust.*`` for a chain
    :param where: the member of the record, or ``signature``
    """

    code: str
    message: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} [{self.code}]"

    def as_dict(self) -> dict[str, str]:
        """The finding as the mapping that ``--json`` prints."""
        return {"code": self.code, "message": self.message, "where": self.where}


@dataclass(frozen=True)
class Trust:
    """What a record is checked against.

    :param roots: trusted roots
    :param at: the moment in question, timezone-aware
    :param manufacturer: the SIG certificate that has to have signed; ``None``: any manufacturer's that the roots vouch
        for
    :param untrusted: further CAs and CRL signers that chains may be made of
    :param crls: what a list says is revoked or suspended does not hold; a list that is missing doesn't matter
    """

    roots: tuple[x509.Certificate, ...]
    at: datetime
    manufacturer: x509.Certificate | None = None
    untrusted: tuple[x509.Certificate, ...] = ()
    crls: tuple[x509.CertificateRevocationList, ...] = ()


@dataclass(frozen=True)
class Checked:
    """What a file was found to be.

    :param device: the gateway; ``None`` where it is no record
    :param findings: what speaks against it; none: the record holds
    """

    name: str
    device: DeviceId | None
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        lines = [f"{'NOT VALID' if self.findings else 'valid'}: {self.device.dns if self.device else '?'}, {self.name}"]
        return "\n".join([*lines, *(f"  because {finding}" for finding in self.findings)])

    def as_dict(self) -> dict[str, object]:
        """The same as the mapping that ``--json`` prints."""
        return {
            "file": self.name,
            "valid": not self.findings,
            "gateway": self.device.dns if self.device else None,
            "findings": [finding.as_dict() for finding in self.findings],
        }


def check_files(files: Mapping[str, bytes], trust: Trust) -> tuple[Checked, ...]:
    """Check the records in files, by name; no two may be of one gateway.

    :raises TrustError: as :func:`check_delivery`
    """
    seen: dict[DeviceId, str] = {}
    checked = []
    for name, data in files.items():
        try:
            delivery = read_delivery(data, name)
        except GatewayError as error:
            checked.append(Checked(name, None, (Finding(error.code, error.message, "file"),)))
            continue
        device = delivery.record.gateway.id
        findings = check_delivery(delivery, trust)
        if device in seen:
            message = f"there is a record of this gateway in {seen[device]} too"
            findings += (Finding("delivery.gateway.twice", message, "gateway.id"),)
        seen.setdefault(device, name)
        checked.append(Checked(name, device, findings))
    return tuple(checked)


def check_delivery(delivery: Delivery, trust: Trust) -> tuple[Finding, ...]:
    """All that speaks against a record: who signed it, whether its certificates hold and belong together.

    :raises TrustError: ``trust.question.*``: there is no root, or the moment has no time zone
    """
    record = delivery.record
    signer = _signer(delivery.signature)
    checks = [
        _signature(delivery, signer, trust),
        _chains(record, signer or trust.manufacturer, trust),
        _names(record, signer or trust.manufacturer),
        _keys(record),
        _anchors(record, trust),
    ]
    return tuple(finding for check in checks for finding in check)


def _signer(signature: bytes) -> x509.Certificate | None:
    """The certificate that the signature encloses, if there is one that can be read."""
    try:
        _, encoded = read_content_info(unwrap(signature))
        return x509.load_der_x509_certificate(read_detached(encoded).certificates[0])
    except (ValueError, IndexError):
        return None


def _signature(delivery: Delivery, signer: x509.Certificate | None, trust: Trust) -> Iterator[Finding]:
    expected = trust.manufacturer or signer
    if expected is None:
        yield Finding("delivery.signature.certificate", "the manufacturer's certificate is not enclosed", "signature")
        return
    if signer not in (None, expected):
        message = "another certificate signed than that of the manufacturer who is expected"
        yield Finding("delivery.manufacturer.other", message, "signature")
        return
    try:
        verify_detached(delivery.signed, delivery.signature, expected)
    except GatewayError as error:
        yield Finding(error.code, error.message, "signature")


def _chains(record: DeliveryRecord, signer: x509.Certificate | None, trust: Trust) -> Iterator[Finding]:
    for place, certificate, kind, use in _asked(record, signer):
        verdict = validate(
            Question(
                certificate=certificate,
                roots=trust.roots,
                at=trust.at,
                untrusted=(*record.chain, *trust.untrusted),
                crls=trust.crls,
                role=kind,
                use=use,
                revocation=Revocation.IF_KNOWN,
            )
        )
        yield from (Finding(why.code, why.message, place) for why in verdict.reasons)


def _asked(
    record: DeliveryRecord, signer: x509.Certificate | None
) -> Iterator[tuple[str, x509.Certificate, CertificateType, Use]]:
    """Each certificate with its place, and what it has to be."""
    holders = (("certificates", record.certificates, CertificateType.SMGW_G), ("gwa", record.gwa, CertificateType.GWA))
    for place, triple, kind in holders:
        yield f"{place}.tls", triple.tls, kind, "tls"
        yield f"{place}.sig", triple.sig, kind, "sig"
        yield f"{place}.enc", triple.enc, kind, "enc"
    if signer is not None:
        yield "signature", signer, CertificateType.GWH, "sig"


def _names(record: DeliveryRecord, signer: x509.Certificate | None) -> Iterator[Finding]:
    expected = {
        "certificates": (record.certificates.sig, f"{record.gateway.id}.SMGW", "delivery.gateway.id"),
        "gwa": (record.gwa.sig, record.gwa.name, "delivery.gwa.name"),
    }
    if signer is not None:
        expected["signature"] = (signer, record.gateway.manufacturer, "delivery.manufacturer.name")
    for place, (certificate, name, code) in expected.items():
        if (found := common_name(certificate)) != name:
            yield Finding(code, f"the certificate is for {found or 'nobody'}, and the record says {name}", place)
    for place, triple in (("certificates", record.certificates), ("gwa", record.gwa)):
        if not _of_one_holder(triple):
            yield Finding("delivery.triple.holder", "the three certificates are not for one holder", place)


def _keys(record: DeliveryRecord) -> Iterator[Finding]:
    for place, triple in (("certificates", record.certificates), ("gwa", record.gwa)):
        keys = [_key_info(certificate) for certificate in _all(triple)]
        if len(set(keys)) < len(keys):
            yield Finding("delivery.triple.key", "two of the three certificates have the same key", place)


def _anchors(record: DeliveryRecord, trust: Trust) -> Iterator[Finding]:
    for number, anchor in enumerate(record.trust_anchors):
        if anchor not in trust.roots:
            message = "the gateway was given a trust anchor that is not trusted here"
            yield Finding("delivery.anchor.unknown", message, f"trustAnchors.{number}")
    if record.created_at > trust.at:
        message = f"it was made in the future, on {record.created_at:%Y-%m-%d %H:%M:%S} UTC"
        yield Finding("delivery.created.future", message, "createdAt")


def _of_one_holder(triple: Triple) -> bool:
    first, *others = _all(triple)
    try:
        return all(same_name(first.subject, other.subject) for other in others)
    except ValueError:  # pyca reads names late
        return False


def _all(triple: Triple) -> Sequence[x509.Certificate]:
    return [triple.tls, triple.sig, triple.enc]


def _key_info(certificate: x509.Certificate) -> bytes:
    """SubjectPublicKeyInfo, as it stands in the certificate: no key has to be understood for it."""
    info: bytes = asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER)).public_key.dump()
    return info
