"""SubjectAltName and IssuerAltName: which general names, and do they look like what they say (RFC 5280 4.2.1.6)."""

import re
from collections.abc import Iterator
from functools import lru_cache

from cryptography import x509

from smpki.policy.lint.finding import Finding, error, notice, warning
from smpki.policy.lint.surroundings import Surroundings
from smpki.policy.model import AlternativeNameRule, Presence
from smpki.policy.text import quoted

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_EMAIL = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@({_LABEL}(?:\.{_LABEL})*)")
# RFC 3986 with an authority: a host stands in every URI of real certificates
_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@\[\]]*@)?([A-Za-z0-9._~%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?(?=[/?#]|\Z)"
    r"(?:[A-Za-z0-9._~:/?#@!$&'()*+,;=\[\]-]|%[0-9A-Fa-f]{2})*"
)

_KINDS = {x509.RFC822Name: "email", x509.UniformResourceIdentifier: "uri", x509.DNSName: "dns"}
_WORDS = {"email": "e-mail address (rfc822Name)", "uri": "URI", "dns": "host name (dNSName)"}


def alternative_name_findings(
    names: x509.SubjectAlternativeName | x509.IssuerAlternativeName,
    rule: AlternativeNameRule,
    at: str,
    surroundings: Surroundings,
) -> Iterator[Finding]:
    """The kinds of general names that the rule wants, and no others."""
    found: dict[str, list[str]] = {"email": [], "uri": [], "dns": []}
    for name in names:
        kind = _KINDS.get(type(name))
        if kind is None:
            yield error(f"{at}.kind", f"there is a {type(name).__name__}")
        else:
            found[kind].append(name.value)
    for kind, values in found.items():
        presence: Presence = getattr(rule, kind)
        if not values and presence is Presence.MANDATORY:
            yield error(f"{at}.{kind}.missing", f"there is no {_WORDS[kind]}")
        if values and presence is Presence.FORBIDDEN:
            yield error(f"{at}.{kind}.forbidden", f"there is a {_WORDS[kind]}: {quoted(values[0])}")
        for value in values:
            yield from _syntax(kind, value, at)
    if found["dns"] and found["uri"]:
        yield from _hosts(found["uri"], found["dns"], at)


@lru_cache(maxsize=64)
def host_of(uri: str) -> str | None:
    """The host in a URI (RFC 3986), ``None`` where the text is no URI or one without a host."""
    match = _URI.fullmatch(uri)
    return match[1] if match else None


@lru_cache(maxsize=64)
def _is_email(text: str) -> bool:
    return _EMAIL.fullmatch(text) is not None


@lru_cache(maxsize=64)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def _syntax(kind: str, value: str, at: str) -> Iterator[Finding]:
    fits = {"email": _is_email, "uri": host_of, "dns": _is_host}[kind](value)
    if not fits:
        yield error(f"{at}.{kind}.syntax", f"{quoted(value)} is no {_WORDS[kind]}")
    elif kind == "dns" and "." not in value:
        # a request that a Sub-CA published as an example asks for "localhost" beside the name of the host
        yield warning(f"{at}.dns.not_qualified", f"dNSName {quoted(value)} is not fully qualified")


def _hosts(uris: list[str], hosts: list[str], at: str) -> Iterator[Finding]:
    """Real TLS certificates name the host of their URI; no rule that was read says that they must."""
    known = {host.lower() for host in hosts}
    for uri in uris:
        host = host_of(uri)
        if host is not None and host.lower() not in known:
            yield notice(f"{at}.dns.other_host", f"no dNSName is {quoted(host)}, the host of {quoted(uri)}")
