"""Read a request package of any kind, with the signatures around it."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from smpki.asn1.oids import (
    BSI_AUTHORIZED_CERT_REQ_MSGS,
    BSI_CERT_REQ_MSGS,
    BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE,
)
from smpki.requests.envelope import open_envelope
from smpki.requests.model import RequestPackage
from smpki.requests.nesting import signed_content
from smpki.requests.read import MAX_SIZE, read_messages, verify_package
from smpki.requests.signature import Layer, Signature, read_signature

SUBMISSIONS = (BSI_CERT_REQ_MSGS, BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE, BSI_AUTHORIZED_CERT_REQ_MSGS)
"""The content types of request packages."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request package as it is handed in (TR-03109-4 annex C).

    :param kind: ``initial``, ``renewal`` (Folgeantrag), or ``authorised``, which holds one of the two
    :param package: the three requests
    :param renewal: the outer signature, by the previous SIG key of the same subject; ``None`` in a first package
    :param authorisation: by the manufacturer or administrator of a gateway, around all else
    """

    kind: Literal["initial", "renewal", "authorised"]
    package: RequestPackage
    renewal: Signature | None = None
    authorisation: Signature | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 that identifies the submission: requests, signatures, signers; not armour or further certificates.

        For an initial package it is :attr:`~smpki.requests.model.RequestPackage.digest`. The same requests under
        another signature are another submission with the same keys.
        """
        signatures = [each.digest for each in (self.renewal, self.authorisation) if each is not None]
        if not signatures:
            return self.package.digest
        return hashlib.sha256(b"".join((self.kind.encode(), self.package.digest, *signatures))).digest()


def read_submission(data: bytes) -> Submission:
    """Read a request package of any kind; :func:`verify_submission` is the other half.

    :param data: raw BER or DER, PEM with any label, or base64 text
    :raises RequestError: all of :func:`smpki.requests.read.read_package`; in signed packages
        ``request.outer_signature.*`` and ``request.authorisation.*``, see
        :func:`smpki.requests.signature.read_signature`, each with the rule ``nesting`` too
    """
    return read_submission_content(*open_envelope(data, MAX_SIZE, *SUBMISSIONS))


def read_submission_content(content_type: str, content: bytes) -> Submission:
    """Read what the ContentInfo of a request package holds.

    :param content_type: one of :data:`SUBMISSIONS`
    :param content: one element with definite lengths
    :raises RequestError: as :func:`read_submission`
    """
    if content_type == BSI_CERT_REQ_MSGS:
        return Submission("initial", read_messages(content))
    if content_type == BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE:
        renewal = read_signature(content, Layer.OUTER)
        _, messages = signed_content(renewal, BSI_CERT_REQ_MSGS)
        return Submission("renewal", read_messages(messages), renewal)
    authorisation = read_signature(content, Layer.AUTHORISATION)
    inner = signed_content(authorisation, BSI_CERT_REQ_MSGS, BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE)
    authorised = read_submission_content(*inner)
    return Submission("authorised", authorised.package, authorised.renewal, authorisation)


def verify_submission(submission: Submission) -> None:
    """Verify proofs of possession and signatures, from the inside out; whose they may be is for the CA to decide.

    :raises RequestError: as :func:`smpki.requests.read.verify_package`, then ``request.outer_signature.``, then
        ``request.authorisation.``: ``key``, ``digest`` or ``invalid``
    """
    verify_package(submission.package)
    for signature in (submission.renewal, submission.authorisation):
        if signature is not None:
            signature.verify()
