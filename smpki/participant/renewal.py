"""Renew a triple, as its holder does: three new keys, the same name, signed with the previous SIG key."""

from datetime import datetime
from pathlib import Path

from cryptography import x509

from smpki.errors import RequestError
from smpki.participant.checks import check_requests, check_signer_valid
from smpki.participant.key_places import KeyPlace
from smpki.participant.new_request import curve_for
from smpki.participant.packages import write_package
from smpki.policy.decide import renewal_opens
from smpki.policy.lint.classify import classify, environment_of
from smpki.policy.model import CertificateType, EnvironmentName, Policy
from smpki.requests.build import RequestedNames
from smpki.requests.build_signed import build_renewal_package
from smpki.requests.keys import KeyTriple, Signer
from smpki.requests.submission import read_submission


def holder_of(certificate: x509.Certificate, policy: Policy) -> tuple[CertificateType, EnvironmentName]:
    """Type and PKI of a SIG certificate that can be renewed.

    :raises RequestError: ``renewal.certificate`` when it is no end user's SIG certificate, or of no PKI of the policy
    """
    kind, purpose = classify(certificate) or (None, None)
    environment = environment_of(certificate.subject, policy) if kind else None
    if kind is None or environment is None or purpose != "sig" or not kind.is_end_user:
        raise RequestError(
            "renewal.certificate",
            "this is no SIG certificate of an end user of the SM-PKI",
            where="certificate",
            hint="name the SIG certificate of the triple: its key signs the renewal",
        )
    return kind, environment


def names_of(sig: x509.Certificate, tls: x509.Certificate | None) -> RequestedNames:
    """The alternative names to ask for again: those that the certificates have.

    :param tls: the TLS certificate of the same triple, which alone has host names
    """
    own, for_tls = _alternative_names(sig), _alternative_names(tls) if tls else []
    return RequestedNames(
        email=next((each.value for each in own if isinstance(each, x509.RFC822Name)), None),
        uri=next((each.value for each in own if isinstance(each, x509.UniformResourceIdentifier)), None),
        dns=tuple(each.value for each in for_tls if isinstance(each, x509.DNSName)),
    )


def check_window(certificate: x509.Certificate, policy: Policy, now: datetime) -> None:
    """A triple is renewed in the policy's time before its end, and not after.

    :param now: timezone-aware
    :raises RequestError: ``renewal.too_early``, ``request.signer.not_valid``
    """
    check_signer_valid(certificate, now)
    opens = renewal_opens(policy, certificate.not_valid_after_utc)
    if now < opens:
        raise RequestError(
            "renewal.too_early",
            f"the triple can be renewed from {opens:%Y-%m-%d} on",
            where="certificate",
            hint=f"wait; the policy says {policy.renewal.opens_before_end.value} before the end",
        )


def renewal_package(previous: Signer, names: RequestedNames, keys: KeyTriple, policy: Policy) -> bytes:
    """The DER package, checked by the rules that the Sub-CA will apply.

    The subject is that of the previous certificates, its old serialNumber included, as a real renewal package of 2024
    has it: the CA sets the next.

    :param previous: SIG key and certificate of the triple
    :param keys: three new ones
    :raises RequestError: ``renewal.certificate``, as :func:`smpki.requests.build_signed.build_renewal_package` and
        :func:`smpki.participant.checks.check_requests`
    """
    kind, environment = holder_of(previous.certificate, policy)
    package = build_renewal_package(previous.certificate.subject, keys, names, previous)
    check_requests(read_submission(package).package, kind, policy, environment)
    return package


def write_renewal(
    previous: Signer, names: RequestedNames, policy: Policy, folder: Path, place: KeyPlace, now: datetime
) -> tuple[str, ...]:
    """Make new keys and a renewal package, the package in ``request.der`` of the folder.

    :param place: where the keys go
    :param now: timezone-aware
    :return: what was made: files, or labels of keys in a token
    :raises SmpkiError: as :func:`check_window`, :func:`renewal_package` and
        :func:`smpki.participant.packages.write_package`; nothing is made then
    """
    kind, environment = holder_of(previous.certificate, policy)
    check_window(previous.certificate, policy, now)
    curve = curve_for(policy, environment, kind, now.date())
    return write_package(folder, place, curve, lambda keys: renewal_package(previous, names, keys, policy))


def _alternative_names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            return list(extension.value)
    return []
