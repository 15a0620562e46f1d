"""What stands inside extensions (TR-03109-4 annex A.2, RFC 5280 section 4.2.1).

Every function takes the value, its rule in the profile, the code of the extension (``tr-03109-4.a2.key_usage``) and
what the value is compared with.
"""

from collections.abc import Iterable, Iterator

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.policy.lint.finding import Finding, error, notice, warning
from smpki.policy.lint.surroundings import Surroundings
from smpki.policy.model import (
    BasicConstraintsRule,
    CertificatePoliciesRule,
    ExtendedKeyUsageRule,
    ExtensionRule,
    KeyUsageRule,
)

_BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_BITS_OF_KEY_AGREEMENT = ("encipher_only", "decipher_only")
_PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH: "client_auth", ExtendedKeyUsageOID.SERVER_AUTH: "server_auth"}
_ANY_POLICY = "2.5.29.32.0"


def key_usage_bits(value: x509.KeyUsage) -> tuple[str, ...]:
    """The bits that are set, in the order of RFC 5280 4.2.1.3 and spelt as policies spell them."""
    bits = _BITS + _BITS_OF_KEY_AGREEMENT if value.key_agreement else _BITS
    return tuple(bit for bit in bits if getattr(value, bit))


def authority_key_identifier_findings(
    value: x509.AuthorityKeyIdentifier, rule: ExtensionRule, at: str, surroundings: Surroundings
) -> Iterator[Finding]:
    """The issuer's key identifier and nothing else."""
    due = surroundings.issuer_key_identifier
    if value.key_identifier is None:
        yield error(f"{at}.key_identifier", "keyIdentifier is missing")
    elif due is not None and value.key_identifier != due:
        yield error(f"{at}.value", f"keyIdentifier is {value.key_identifier.hex()}, the issuer's key has {due.hex()}")
    if value.authority_cert_issuer is not None or value.authority_cert_serial_number is not None:
        yield error(f"{at}.more", "the issuer's name and serial number are there, keyIdentifier has to stand alone")


def subject_key_identifier_findings(
    value: x509.SubjectKeyIdentifier, rule: ExtensionRule, at: str, surroundings: Surroundings
) -> Iterator[Finding]:
    """SHA-1 over the key, method 1 of RFC 5280 4.2.1.2."""
    if surroundings.public_key is None:
        return
    due = x509.SubjectKeyIdentifier.from_public_key(surroundings.public_key).digest
    if value.digest != due:
        yield error(f"{at}.value", f"it is {value.digest.hex()}, the SHA-1 of the key is {due.hex()}")


def key_usage_findings(
    value: x509.KeyUsage, rule: KeyUsageRule, at: str, surroundings: Surroundings
) -> Iterator[Finding]:
    """Exactly the bits of the rule."""
    bits = key_usage_bits(value)
    if set(bits) != set(rule.bits):
        yield error(f"{at}.bits", f"the bits are {_list(bits)}, due are {_list(rule.bits)}")


def extended_key_usage_findings(
    value: x509.ExtendedKeyUsage, rule: ExtendedKeyUsageRule, at: str, surroundings: Surroundings
) -> Iterator[Finding]:
    """Exactly the purposes of the rule, each once, in any order."""
    purposes = [_PURPOSES.get(oid, oid.dotted_string) for oid in value]
    if sorted(purposes) != sorted(rule.purposes):
        yield error(f"{at}.purposes", f"the purposes are {_list(purposes)}, due are {_list(rule.purposes)}")


def basic_constraints_findings(
    value: x509.BasicConstraints, rule: BasicConstraintsRule, at: str, surroundings: Surroundings
) -> Iterator[Finding]:
    """Whether it is a CA, and how long a path may follow."""
    if value.ca != rule.ca:
        yield error(f"{at}.ca", f"cA is {value.ca}, due is {rule.ca}")
    if value.path_length != rule.path_length:
        yield error(f"{at}.path_length", f"the path length is {value.path_length}, due is {rule.path_length}")


def certificate_policies_findings(
    value: x509.CertificatePolicies, rule: CertificatePoliciesRule, at: str, surroundings: Surroundings
) -> Iterator[Finding]:
    """The policy of the SM-PKI, or the issuing Sub-CA's own; each with where its practice statement is found (CPS)."""
    identifiers = surroundings.policy.identifiers
    sm_pki, own = identifiers.sm_pki.value, identifiers.sub_ca.value
    found = {each.policy_identifier.dotted_string: each.policy_qualifiers or [] for each in value}
    if _ANY_POLICY in found:
        yield error(f"{at}.any_policy", "anyPolicy stands for no policy of the SM-PKI")
    elif rule.content == "issuer":
        yield from _sub_ca_policy(found, sm_pki, own, at)
    elif rule.content == "sm-pki":
        if set(found) != {sm_pki}:
            yield error(f"{at}.identifier", f"the policies are {_list(found)}, due is {sm_pki}")
        elif identifiers.sm_pki_cps.value not in found[sm_pki]:
            yield error(f"{at}.cps", f"the CPS URI {identifiers.sm_pki_cps.value} is missing")


def _sub_ca_policy(found: dict[str, list[str | x509.UserNotice]], sm_pki: str, own: str, at: str) -> Iterator[Finding]:
    # real end-user certificates name their Sub-CA's policy, not the SM-PKI's; whether they may name both is not known
    of_sub_ca = [identifier for identifier in found if identifier != sm_pki]
    if not of_sub_ca:
        yield error(f"{at}.identifier", f"the policy is the SM-PKI's ({sm_pki}), not the issuing Sub-CA's own")
        return
    if len(of_sub_ca) < len(found):
        yield notice(f"{at}.sm_pki", f"the policy of the SM-PKI ({sm_pki}) stands beside the Sub-CA's own")
    if own not in of_sub_ca:
        yield notice(f"{at}.other_operator", f"the policy {_list(of_sub_ca)} is another Sub-CA's, ours is {own}")
    for identifier in of_sub_ca:
        if not any(isinstance(qualifier, str) for qualifier in found[identifier]):
            yield warning(f"{at}.cps", f"policy {identifier} has no CPS URI")


def _list(values: Iterable[str]) -> str:
    return ", ".join(values) or "none"
