"""Lint a CRL, signed or about to be (TR-03109-4 annex B, RFC 5280 section 5)."""

from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from smpki.asn1 import der
from smpki.policy.lint.crl_entries import entry_findings
from smpki.policy.lint.crl_extensions import crl_extension_findings
from smpki.policy.lint.distribution_points import crl_signer_name
from smpki.policy.lint.finding import Finding, error, warning
from smpki.policy.lint.issuer import facts_of
from smpki.policy.lint.keys import signature_findings
from smpki.policy.lint.subject import first_value
from smpki.policy.lint.surroundings import Surroundings
from smpki.policy.model import CertificateType, CrlRules, EnvironmentName, Policy
from smpki.policy.names import same_name
from smpki.policy.text import quoted, visible

T = TypeVar("T")

_GENERALIZED_TIME = 0x18
_FIRST_YEAR_OF_GENERALIZED_TIME = 2050
_VERSION_2 = der.encode_integer(1)
_NO_ENTRIES = der.encode(der.SEQUENCE)
_BEGINNING = 64  # octets: enough for a version, an algorithm or a time


def crl_kind(crl: x509.CertificateRevocationList, policy: Policy) -> CertificateType | None:
    """Who signs the CRL by its issuer's name: ``root``, ``crl-signer`` or ``sub-ca``; ``None``: nobody of the PKI."""
    try:
        issuer = crl.issuer
    except ValueError:
        return None
    common_name = first_value(issuer, NameOID.COMMON_NAME)
    for environment, rules in policy.environments.items():
        if same_name(issuer, crl_signer_name(policy, environment)):
            return CertificateType.CRL_SIGNER
        if common_name == rules.root_common_name.value:
            return CertificateType.ROOT
    pattern = policy.certificates[CertificateType.SUB_CA].name.common_name.value
    return CertificateType.SUB_CA if pattern.fullmatch(common_name) else None


def lint_crl(
    crl: x509.CertificateRevocationList,
    kind: CertificateType,
    policy: Policy,
    environment: EnvironmentName,
    *,
    issuer: x509.Certificate | None = None,
) -> tuple[Finding, ...]:
    """Check a CRL against the policy.

    The signature is not verified: the CA lints before it signs. What is wrong with many entries is said once.

    :param kind: who signs it: ``sub-ca``, ``root``, or ``crl-signer`` for a root's indirect CRL; see :func:`crl_kind`
    :param issuer: the certificate of who signs it, where it is at hand
    :return: the findings in the order of the CRL's fields; none when all is well
    :raises ValueError: when ``issuer`` can't be read
    """
    return tuple(_findings(crl, kind, policy, environment, issuer))


def _findings(
    crl: x509.CertificateRevocationList,
    kind: CertificateType,
    policy: Policy,
    environment: EnvironmentName,
    issuer: x509.Certificate | None,
) -> Iterator[Finding]:
    fields = _fields(crl.tbs_certlist_bytes)
    if fields[0] == _VERSION_2:
        del fields[0]
    else:
        yield error("rfc-5280.5_1_2_1.version.not_v2", "the version is not 2")
    _algorithm, _issuer, this_update, *rest = fields
    facts = None if issuer is None else facts_of(issuer)
    key = facts.public_key if facts else None
    yield from signature_findings(crl.signature_algorithm_oid, kind, key, policy, crl.last_update_utc)
    name = yield from _read("rfc-5280.5_1_2_3.issuer", lambda: crl.issuer)
    if name is not None and issuer is not None:
        yield from _issuer_findings(crl, name, issuer)
    elif name is not None:
        yield from _unknown_issuer_findings(crl, name, kind, policy, environment)
    yield from _time_findings(crl, this_update[0], rest[0][0] if rest else 0, kind, policy)
    if _NO_ENTRIES in rest:
        yield error("rfc-5280.5_1_2_6.revoked_certificates.empty", "the list of entries is there, but empty")
    yield from entry_findings(crl, kind, policy)
    extensions = yield from _read("rfc-5280.5_2.extensions", lambda: crl.extensions)
    if extensions is not None:
        surroundings = Surroundings(policy, environment, None, facts.key_identifier if facts else None)
        yield from crl_extension_findings(extensions, kind, surroundings)


def _fields(body: bytes) -> list[bytes]:
    """The fields of a TBSCertList as they are encoded, of long ones the beginning.

    :param body: as it stands in a CRL that pyca has read
    """
    at, end = der.span(body, 0, "TBSCertList")
    found = []
    while at < end:
        _, stop = der.span(body, at, "TBSCertList")
        found.append(body[at : min(stop, at + _BEGINNING)])
        at = stop
    return found


def _issuer_findings(
    crl: x509.CertificateRevocationList, name: x509.Name, issuer: x509.Certificate
) -> Iterator[Finding]:
    if not same_name(name, issuer.subject):
        yield error(
            "rfc-5280.6_3_3.issuer.name",
            f"the issuer is {quoted(name.rfc4514_string())}, the signer's name is"
            f" {quoted(issuer.subject.rfc4514_string())}",
        )
    usage = next((each.value for each in issuer.extensions if isinstance(each.value, x509.KeyUsage)), None)
    if usage is None or not usage.crl_sign:
        yield error("rfc-5280.6_3_3.issuer.key_usage", "the signer's certificate does not let it sign CRLs (cRLSign)")
    start, end = issuer.not_valid_before_utc, issuer.not_valid_after_utc
    if not start <= crl.last_update_utc <= end:
        yield error(
            "rfc-5280.6_3_3.issuer.validity",
            f"it is of {crl.last_update_utc}, its signer's certificate is valid from {start} to {end}",
        )


def _unknown_issuer_findings(
    crl: x509.CertificateRevocationList,
    name: x509.Name,
    kind: CertificateType,
    policy: Policy,
    environment: EnvironmentName,
) -> Iterator[Finding]:
    if crl_kind(crl, policy) is not kind:
        common_name = first_value(name, NameOID.COMMON_NAME)
        yield error("sm-pki-cp.a.issuer.common_name", f"the issuer is {quoted(common_name)}, which is no {kind}")
    organization, due = first_value(name, NameOID.ORGANIZATION_NAME), policy.environments[environment].organization
    if organization != due.value:
        yield error(
            "sm-pki-cp.a.issuer.organization",
            f"the issuer's O is {quoted(organization)}, in environment {environment} it is {due.value}",
        )


def _time_findings(
    crl: x509.CertificateRevocationList, this_tag: int, next_tag: int, kind: CertificateType, policy: Policy
) -> Iterator[Finding]:
    start, end = crl.last_update_utc, crl.next_update_utc
    yield from _encoding_findings("4.this_update", this_tag, start)
    at = "rfc-5280.5_1_2_5.next_update"
    if end is None:
        yield error(f"{at}.missing", "it does not say when the next one appears (nextUpdate)")
        return
    yield from _encoding_findings("5.next_update", next_tag, end)
    if end <= start:
        yield error(f"{at}.before_this_update", f"nextUpdate {end} is not behind thisUpdate {start}")
    rules: CrlRules = getattr(policy.crl, kind.value.replace("-", "_"))
    try:
        latest = rules.valid.value.after(start)
    except OverflowError:  # past the year 9999, where no CRL reaches
        return
    if end > latest:
        yield warning(
            "sm-pki-cp.crl.next_update.late",
            f"the next one appears by {end}, more than {rules.valid.value} behind thisUpdate {start}",
        )


def _encoding_findings(field: str, tag: int, moment: datetime) -> Iterator[Finding]:
    if tag == _GENERALIZED_TIME and moment.year < _FIRST_YEAR_OF_GENERALIZED_TIME:
        yield error(f"rfc-5280.5_1_2_{field}.encoding", f"{moment} is a GeneralizedTime before 2050")


def _read(at: str, read: Callable[[], T]) -> Generator[Finding, None, T | None]:
    """The field, or a finding and ``None``: pyca parses lazily, so each field fails on its own."""
    try:
        return read()
    except Exception as failed:  # pyca: ValueError, TypeError, DuplicateExtension and more; nothing else runs in here
        yield error(f"{at}.unreadable", f"it can't be read: {visible(str(failed))}")
        return None
