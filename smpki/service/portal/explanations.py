"""What the codes of findings stand for: the document and clause of the rule, and what it wants."""

import re
from collections.abc import Mapping

from smpki.service.portal.words import _

_DOCUMENTS = {"sm-pki-cp": "Certificate Policy der Smart Metering PKI", "x-520": "ITU-T X.520", "lint": "smpki"}
_CLAUSE = re.compile(r"[a-z]?[0-9]+(_[0-9]+)*|[a-z]")

MEANINGS: Mapping[str, str] = {
    "pattern": _("A part of the name does not have the form that is prescribed for it."),
    "length": _("A part of the name is too long, or empty."),
    "repeated": _("Something stands there twice that may stand there once."),
    "unknown": _("The name has a part that names of the SM-PKI do not have."),
    "missing": _("Something is missing that has to be there."),
    "forbidden": _("Something is there that may not be there."),
    "multi_valued": _("Each part of the name stands for itself; here several are tied together."),
    "encoding": _("It is written in another way than the rule prescribes, so that programs may read it differently."),
    "critical": _("The extension is marked as critical, and must not be."),
    "not_critical": _("The extension has to be marked as critical, so that nobody passes over it."),
    "not_requestable": _("A request may not wish for this extension; the CA sets it by itself."),
    "unknown_extension": _("The profile does not know this extension."),
    "algorithm": _("The signature was made by another algorithm than is allowed at this time."),
    "curve": _("The key is on another elliptic curve than is allowed for this certificate."),
    "window": _("What is used here is allowed for a limited time only."),
    "bits": _("The key may be used for other things than this certificate is for."),
    "purposes": _("The extended key usage names other purposes than this certificate is for."),
    "ca": _("Whether the holder may issue certificates is said wrongly."),
    "path_length": _("How many CAs may follow is said wrongly."),
    "key_identifier": _("The identifier of the key is missing, or not that of the key."),
    "identifier": _("The policy that the certificate names is another one than is prescribed."),
    "any_policy": _("A certificate names its policy; it may not allow all."),
    "cps": _("The address of the practice statement is missing, or is none."),
    "uri": _("An address is missing, or has another form than is prescribed."),
    "syntax": _("A mail address, host name or URI is not written as one."),
    "not_qualified": _("The host name has no domain, so that it means something in your own network only."),
    "other_host": _("The host of the URI is not among the host names; TLS clients compare the host with these."),
    "not_a_number": _("The serialNumber of the name counts the generations; it has to be a number."),
    "range": _("The number is out of its range."),
    "first": _("A first certificate has another number."),
    "kind": _("The certificate is of another type than its name says."),
    "root": _("It does not fit the root of this PKI."),
    "common_name": _("The common name of the issuer fits no CA."),
    "not_positive": _("Serial numbers are positive."),
    "empty": _("It ends before it begins, or holds nothing."),
    "past_issuer": _("It would live longer than the certificate of its issuer."),
    "before_issuer": _("It would begin before the certificate of its issuer."),
    "unreadable": _("It can't be read."),
    "invalid": _("The signature does not hold: the request was changed, or signed by another key."),
    "unknown_type": _("No rules are known for a name like this."),
}
"""By the last part of a code."""


def clause_of(code: str) -> str:
    """Where the rule of a finding stands: ``tr-03109-4.a2.key_usage.critical`` gives ``BSI TR-03109-4 A.2``."""
    document, _dot, rest = code.partition(".")
    if document in _DOCUMENTS:
        name = _DOCUMENTS[document]
    elif document.startswith("rfc-"):
        name = f"RFC {document[4:]}"
    else:
        name = f"BSI {document.upper()}"
    clause = rest.partition(".")[0]
    if not _CLAUSE.fullmatch(clause):
        return name
    shown = clause.replace("_", ".")
    return (
        f"{name} {shown[0].upper()}{'.' if shown[1:] else ''}{shown[1:]}" if shown[0].isalpha() else f"{name} {shown}"
    )


def meaning_of(code: str) -> str | None:
    """What the rule of a finding is about, in English; ``None`` where its own words are all there is."""
    return MEANINGS.get(code.rpartition(".")[2])
