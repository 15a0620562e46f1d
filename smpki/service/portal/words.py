"""Words for what the program names by itself, and the menu; what translations go by."""

from collections.abc import Mapping

from smpki.service.accounts.actor import Actor, Role


def _(text: str) -> str:
    """Marks a text for translation, which happens when a page is made."""
    return text


WORDS: Mapping[str, str] = {
    "participant": _("participant"),
    "operator": _("operator"),
    "auditor": _("auditor"),
    "emt": _("market participant (EMT)"),
    "gwa": _("gateway administrator (GWA)"),
    "gwh": _("gateway manufacturer (GWH)"),
    "smgw-g": _("gateway, Guetesiegel"),
    "smgw-w": _("gateway, Wirk certificates"),
    "root": _("root"),
    "link": _("link certificate"),
    "crl-signer": _("CRL signer"),
    "tls-signer": _("TLS signer"),
    "root-tls": _("TLS certificate of the root"),
    "sub-ca": _("Sub-CA"),
    "sub-ca-tls": _("TLS certificate of a Sub-CA"),
    "sub-ca-tls-root": _("TLS certificate of a Sub-CA, for the root"),
    "tls": _("TLS: connections"),
    "sig": _("SIG: signatures"),
    "enc": _("ENC: encryption"),
    "valid": _("valid"),
    "soon": _("ends soon"),
    "expired": _("expired"),
    "suspended": _("suspended"),
    "revoked": _("revoked"),
    "future": _("not valid yet"),
    "applied": _("waits for the operators"),
    "approved": _("approved"),
    "refused": _("refused"),
    "held": _("waits for an operator"),
    "done": _("done"),
    "issued": _("issued"),
    "error": _("error"),
    "warning": _("warning"),
    "notice": _("notice"),
    "holds": _("holds"),
    "breaks": _("broken"),
    "advice": _("advice"),
    "unspecified": _("no reason given"),
    "key_compromise": _("the key is known to others"),
    "ca_compromise": _("the CA's key is known to others"),
    "affiliation_changed": _("the holder's data have changed"),
    "superseded": _("replaced by another certificate"),
    "cessation_of_operation": _("no longer in use"),
    "privilege_withdrawn": _("the right to it has ended"),
    "certificate_hold": _("suspend for the time being"),
    "remove_from_crl": _("resume: end the suspension"),
}
"""English for values; all are translated."""

_PUBLIC = (("/hierarchy", _("PKI")),)
_STAFF = (
    ("/home", _("Overview")),
    ("/applications", _("Registrations")),
    ("/packages", _("Packages")),
    ("/certificates", _("Certificates")),
    ("/calendar", _("Calendar")),
    ("/audit", _("Audit")),
    ("/accounts", _("Accounts")),
    ("/hierarchy", _("PKI")),
    ("/account", _("Access")),
)
_MENUS: Mapping[Role, tuple[tuple[str, str], ...]] = {
    Role.PARTICIPANT: (
        ("/home", _("My certificates")),
        ("/packages/new", _("Request")),
        ("/packages", _("My packages")),
        ("/calendar", _("Calendar")),
        ("/tryout", _("Self-tests")),
        ("/hierarchy", _("PKI")),
        ("/account", _("Access")),
    ),
    Role.OPERATOR: _STAFF,
    Role.AUDITOR: _STAFF,
}


def menu(actor: Actor | None) -> tuple[tuple[str, str], ...]:
    """Where a visitor may go: paths and titles."""
    return _MENUS[actor.role] if actor else _PUBLIC
