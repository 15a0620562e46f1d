"""What the CA hands to its store and gets back: plain values, no database needed to make or read them.

Serial numbers, digests and key ids are lower-case hex text. A certificate's ``kind`` is the name of its type in the
policy (``root``, ``sub-ca``, ``emt``, ``smgw-g``), its ``purpose`` is ``tls``, ``sig``, ``enc`` or empty. A
``subject_key`` is the subject's name in the form in which names are compared, without its serialNumber, so that all
generations of a subject share it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


def serial_text(number: int) -> str:
    """A certificate's serial number as the store writes it: hex in whole octets, as OpenSSL prints it."""
    text = f"{number:x}"
    return text if len(text) % 2 == 0 else f"0{text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A signature that the CA is about to ask of its token.

    :param serial: serial number of the certificate to be
    :param tbs_hash: SHA-256 of the bytes that will be signed
    :param issuer_serial: serial number of the issuer's certificate; None when self-signed
    :param dn_serial: serialNumber in the subject's name; None where the name has none
    :param key_hash: SHA-256 of the subject's SubjectPublicKeyInfo
    :param key_scope: empty, or for a key that has one certificate already and by design gets another (a link
        certificate, the Sub-CA's second TLS certificate) this certificate's kind
    :param request_digest: SHA-256 of the request package's bytes; None when nobody asked by package
    """

    serial: str
    tbs_hash: str
    issuer_serial: str | None
    kind: str
    purpose: str = ""
    subject_key: str
    dn_serial: int | None
    key_hash: str
    key_scope: str = ""
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIntent:
    """An intent that a process left behind.

    :param closed: True when it was closed as abandoned; False when its owner uses the same database from another
        folder or machine, where only that side can tell whether it still lives
    """

    serial: str
    tbs_hash: str
    issuer_serial: str | None
    kind: str
    purpose: str
    subject_key: str
    dn_serial: int | None
    request_digest: str | None
    owner: str
    created_at: datetime
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCertificate:
    """A certificate as lists show it, without its bytes.

    :param subject_cn: the subject's common name as issued
    :param key_use_end: when a CA's private key stops signing certificates; None where there is no such end
    :param token_key_id: CKA_ID of the private key when it is in our token
    :param generation: name of the algorithm generation, for CAs
    """

    serial: str
    issuer_serial: str | None
    kind: str
    purpose: str = ""
    subject_cn: str
    subject_key: str
    dn_serial: int | None
    not_before: datetime
    not_after: datetime
    key_hash: str
    key_use_end: datetime | None = None
    token_key_id: str | None = None
    generation: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCertificate(ListedCertificate):
    """A certificate with its bytes (DER)."""

    der: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantedRequest:
    """A request package that is granted.

    :param digest: SHA-256 of the package as it came in
    :param kind: ``initial``
    :param sub_ca: common name of the Sub-CA that granted it
    :param dn_serial: the DN serialNumber that was granted
    :param der: the package as it came in
    """

    digest: str
    received_at: datetime
    kind: str
    subject_cn: str
    role: str
    sub_ca: str
    dn_serial: int | None
    der: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Somebody who gets certificates: a market participant or a gateway, in one role; names as in the subject."""

    subject_cn: str
    subject_key: str
    role: str
    organisation: str
    ou: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What one request, or one act of the operator, brought forth; all of it is stored or nothing.

    :param supersedes: older certificates that are revoked as superseded in the same transaction
    """

    certificates: tuple[StoredCertificate, ...]
    request: GrantedRequest | None = None
    participant: Participant | None = None
    supersedes: tuple[StoredCertificate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Something that happened.

    :param action: what was done or tried, such as ``issue``, ``issue-sub-ca``, ``init``, ``recover``
    :param subject: whom it concerns: a name, a file, a serial number
    :param detail: what else matters, as JSON values; never a secret
    """

    action: str
    outcome: Literal["done", "refused"]
    subject: str
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a subject stands in one kind of certificate, at one time.

    :param highest: highest DN serialNumber that was granted or is being granted; None without one
    :param valid_until: latest end among its certificates valid at that time, suspended ones included since they may
        come back; None when there is none, or all are revoked
    :param pending: a worker is issuing to it right now
    """

    highest: int | None = None
    valid_until: datetime | None = None
    pending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list.

    :param next: what to pass as ``after`` for the next page; None on the last
    """

    certificates: tuple[ListedCertificate, ...]
    next: str | None
