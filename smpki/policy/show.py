"""The policy for people: which certificate types there are, and every rule of one with its source."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from smpki.errors import PolicyError
from smpki.policy.duration import Duration
from smpki.policy.model import (
    AlternativeNameRule,
    AttributeRule,
    BasicConstraintsRule,
    CertificatePoliciesRule,
    CertificateType,
    CrlDistributionPointsRule,
    ExtendedKeyUsageRule,
    ExtensionRule,
    KeyUsageRule,
    Origin,
    Policy,
    Presence,
    Profile,
    TypeRules,
    Window,
)
from smpki.policy.templates import render
from smpki.policy.terms import (
    ATTRIBUTES,
    EXTENDED_KEY_USAGES,
    EXTENSIONS,
    GENERAL_NAMES,
    KEY_USAGES,
    PURPOSES,
    Term,
)

_UNITS = {"y": "year", "d": "day", "h": "hour"}


class Row(NamedTuple):
    """One rule in words.

    :param origin: where it comes from and how sure it is
    """

    label: str
    words: str
    origin: Origin


class Section(NamedTuple):
    """Rules that belong together."""

    title: Term
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class TypesView:
    """All certificate types of a policy."""

    policy: Policy

    def as_dict(self) -> dict[str, object]:
        """Type to title, issuer, purposes and lifetimes."""
        return {
            kind.value: {
                "title": rules.title,
                "german": rules.german,
                "issuer": rules.issuer.value.value,
                "certificates": list(rules.certificates),
                "validity": str(rules.validity.value),
                "key_use": str(rules.key_use.value),
            }
            for kind, rules in self.policy.certificates.items()
        }

    def text(self) -> str:
        """A table."""
        return render("smpki.policy", "types.txt", title=self.policy.title, types=self.policy.certificates.items())


@dataclass(frozen=True)
class TypeView:
    """Every rule of one certificate type."""

    kind: CertificateType
    policy: Policy

    @property
    def rules(self) -> TypeRules:
        """What the policy says under ``certificates``."""
        return self.policy.certificates[self.kind]

    def as_dict(self) -> dict[str, object]:
        """The rules as the policy file has them, together with the windows and profiles that they refer to."""
        rules = self.rules
        windows = self.policy.algorithms[rules.algorithm.value]
        return {
            "type": self.kind.value,
            **rules.model_dump(mode="json"),
            "windows": [window.model_dump(mode="json", by_alias=True) for window in windows],
            "profiles": {
                purpose: self.policy.profiles[name].model_dump(mode="json")
                for purpose, name in rules.certificates.items()
            },
        }

    def text(self) -> str:
        """The rules in words with German terms; sources are numbered and stand at the end."""
        sections = tuple(self._sections())
        sources = list(dict.fromkeys(row.origin.source for section in sections for row in section.rows))
        return render("smpki.policy", "type.txt", kind=self.kind, rules=self.rules, sections=sections, sources=sources)

    def _sections(self) -> Iterator[Section]:
        policy, rules = self.policy, self.rules
        issuer = policy.certificates[rules.issuer.value].title
        yield Section(
            Term("Certificates", "Zertifikate"),
            (
                Row("Issuer (Aussteller)", issuer, rules.issuer),
                Row("Validity (Gültigkeit)", _length(rules.validity.value), rules.validity),
                Row("Use of the private key (Schlüsselnutzung)", _length(rules.key_use.value), rules.key_use),
                *(_window_row(window) for window in policy.algorithms[rules.algorithm.value]),
            ),
        )
        yield Section(Term("Name", "Subjekt"), tuple(_name_rows(policy, rules)))
        for purpose, name in rules.certificates.items():
            yield Section(PURPOSES[purpose], tuple(_extension_rows(policy, policy.profiles[name])))


def show_types(policy: Policy) -> TypesView:
    """All certificate types, to be printed or turned into JSON."""
    return TypesView(policy)


def show_type(policy: Policy, kind: str) -> TypeView:
    """One certificate type, to be printed or turned into JSON.

    :param kind: a :class:`~smpki.policy.model.CertificateType` or its name
    :raises PolicyError: ``policy.type.unknown``
    """
    try:
        return TypeView(CertificateType(kind), policy)
    except ValueError:
        message = f"there is no certificate type {kind!r}"
        raise PolicyError("policy.type.unknown", message, hint=f"one of {', '.join(CertificateType)}") from None


def _length(duration: Duration) -> str:
    return f"{duration.count} {_UNITS[duration.unit]}{'s' if duration.count > 1 else ''}"


def _window_row(window: Window) -> Row:
    words = f"{window.curve}, {window.hash.upper().replace('SHA', 'SHA-')} (generation {window.generation})"
    return Row(f"Keys of {window.start} to {window.end}", words, window)


def _name_rows(policy: Policy, rules: TypeRules) -> Iterator[Row]:
    scheme = rules.name
    yield Row(f"CN: {ATTRIBUTES['CN']}", f"mandatory, matches {scheme.common_name.value.pattern}", scheme.common_name)
    for short, rule in scheme.attributes.items():
        words = _attribute_words(rule)
        if short == "O":
            names = (f"{each.organization.value} ({name})" for name, each in policy.environments.items())
            words += f", {' or '.join(names)}"
        yield Row(f"{short}: {ATTRIBUTES[short]}", words, rule)
    first = scheme.first_serial_number
    if first.value is not None:
        yield Row("First serialNumber", str(first.value), first)


def _attribute_words(rule: AttributeRule) -> str:
    return rule.presence.value if rule.pattern is None else f"{rule.presence}, matches {rule.pattern.pattern}"


def _extension_rows(policy: Policy, profile: Profile) -> Iterator[Row]:
    for field in Profile.model_fields:
        rule: ExtensionRule = getattr(profile, field)
        words = rule.presence.value
        if rule.presence is not Presence.FORBIDDEN:
            content = _content_words(policy, rule)
            words += f", {'critical' if rule.critical else 'not critical'}{f': {content}' if content else ''}"
        yield Row(str(EXTENSIONS[field]), words, rule)


def _content_words(policy: Policy, rule: ExtensionRule) -> str:
    match rule:
        case KeyUsageRule():
            return _names(KEY_USAGES, rule.bits)
        case ExtendedKeyUsageRule():
            return _names(EXTENDED_KEY_USAGES, rule.purposes)
        case BasicConstraintsRule(ca=False):
            return "no CA"
        case BasicConstraintsRule():
            return "CA" if rule.path_length is None else f"CA, path length {rule.path_length}"
        case CertificatePoliciesRule(content="issuer"):
            return f"the Sub-CA's own policy, here {policy.identifiers.sub_ca.value}"
        case CertificatePoliciesRule():
            return f"the policy of the SM-PKI, {policy.identifiers.sm_pki.value}"
        case AlternativeNameRule():
            kinds = {"email": rule.email, "uri": rule.uri, "dns": rule.dns}
            present = (f"{GENERAL_NAMES[kind].name} {presence}" for kind, presence in kinds.items())
            return ", ".join(words for words in present if not words.endswith(Presence.FORBIDDEN))
        case CrlDistributionPointsRule():
            whose = "the root's CRL" if rule.content == "root" else "the issuer's CRL"
            return f"{whose}, whose signer is named (cRLIssuer)" if rule.crl_issuer else whose
    return ""


def _names(terms: Mapping[str, Term], keys: tuple[str, ...]) -> str:
    return ", ".join(terms[key].name for key in keys)
