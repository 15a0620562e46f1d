"""Builds the certificates and requests that the test data of a lint describe, with keys in memory.

The fixture ``workshop_of`` makes a workshop of a file of bases.
"""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from asn1crypto import core, keys
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from smpki.asn1.curves import CURVES
from smpki.asn1.signed import assemble
from smpki.policy.names import ATTRIBUTES

HASHES = {each.name: each for each in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())}
PURPOSES = {
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
}
ALL_CURVES = {**CURVES, "secp521r1": ec.SECP521R1()}
BITS = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True)
class Request:
    """What ``lint_request`` takes of a request."""

    subject: x509.Name
    public_key: ec.EllipticCurvePublicKey
    extensions: x509.Extensions
    proof_hash: hashes.HashAlgorithm


@dataclass
class Workshop:
    """Makes what the bases describe."""

    bases: Mapping[str, Mapping[str, Any]]
    _made: dict[str, x509.Certificate] = field(default_factory=dict)

    def describe(self, sort: str, base: str, change: Mapping[str, Any]) -> dict[str, Any]:
        """A base with changes: dotted path to new value, ``None`` takes a thing out."""
        description = copy.deepcopy(dict(self.bases[sort][base]))
        for path, value in change.items():
            *way, last = path.split("/")
            place = description
            for step in way:
                place = place.setdefault(step, {})
            if value is None:
                del place[last]
            else:
                place[last] = value
        return description

    def base(self, name: str) -> x509.Certificate:
        """The unchanged certificate of a base."""
        if name not in self._made:
            self._made[name] = self.certificate(name, self.describe("certificates", name, {}))
        return self._made[name]

    def certificate(self, name: str, wanted: Mapping[str, Any]) -> x509.Certificate:
        """The certificate of a description.

        :param name: the base, which its key is derived from
        """
        issuer = wanted["issuer"]
        public_key = _public_key(name, wanted["key"])
        issuer_key = public_key if issuer == name else _public_key(issuer, self.bases["certificates"][issuer]["key"])
        subject = _name(wanted["subject"], wanted.get("more_rdns", ()), wanted.get("string_types", {}))
        issuer_name = wanted.get("issuer_name") or self.bases["certificates"][issuer]["subject"]
        builder = x509.CertificateBuilder(
            issuer_name=subject if issuer_name == "subject" else _name(issuer_name),
            subject_name=subject,
            public_key=public_key,
            serial_number=wanted["serial"],
            not_valid_before=wanted["not_before"],
            not_valid_after=wanted["not_after"],
            extensions=list(_extensions(wanted["extensions"], public_key, issuer_key)),
        )
        key, hash = _private_key(issuer, issuer_key.curve.name), HASHES[wanted["hash"]]
        made = builder.sign(key, hash)
        return _patched(made, wanted["raw"], key, hash) if "raw" in wanted else made

    def request(self, name: str, wanted: Mapping[str, Any]) -> Request:
        """The request of a description."""
        key = _public_key(name, wanted["key"])
        return Request(
            subject=_name(wanted["subject"], wanted.get("more_rdns", ())),
            public_key=key,
            extensions=x509.Extensions(_extensions(wanted["extensions"], key, key)),
            proof_hash=HASHES[wanted["hash"]],
        )


@cache
def _private_key(name: str, curve: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(name.encode()).digest()[:30]), ALL_CURVES[curve])


def _public_key(name: str, curve: str) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    if curve == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()).public_key()
    return _private_key(name, curve).public_key()


def _name(
    subject: Mapping[str, str], more: tuple[Mapping[str, str], ...] = (), types: Mapping[str, str] | None = None
) -> x509.Name:
    rdns = [*({short: value} for short, value in subject.items()), *more]
    return x509.Name(
        x509.RelativeDistinguishedName(
            _attribute(short, value, (types or {}).get(short)) for short, value in rdn.items()
        )
        for rdn in rdns
    )


def _attribute(short: str, value: str, kind: str | None) -> x509.NameAttribute[str]:
    oid = ATTRIBUTES.get(short) or x509.ObjectIdentifier(short)
    printable = value.isascii() and value.isprintable()
    default = _ASN1Type.PrintableString if printable else _ASN1Type.UTF8String
    return x509.NameAttribute(oid, value, _ASN1Type[kind] if kind else default, _validate=False)


def _extensions(wanted, public_key, issuer_key):
    for name, content in wanted.items():
        value = _EXTENSIONS[name](content, public_key, issuer_key)
        yield x509.Extension(value.oid, content.get("critical", False), value)


def _identifier(which, public_key, issuer_key):
    known = {"own": public_key, "issuer": issuer_key}
    return x509.SubjectKeyIdentifier.from_public_key(known[which]).digest if which in known else bytes.fromhex(which)


def _authority_key_identifier(content, public_key, issuer_key):
    return x509.AuthorityKeyIdentifier(
        _identifier(content["key_identifier"], public_key, issuer_key) if "key_identifier" in content else None,
        [x509.DirectoryName(_name(content["issuer"]))] if "issuer" in content else None,
        content.get("serial"),
    )


def _general_name(text: str | Mapping[str, str]) -> x509.GeneralName:
    if not isinstance(text, str):
        return x509.DirectoryName(_name(text))
    kind, _, value = text.partition(":")
    if kind == "email":
        return x509.RFC822Name._init_without_validation(value)
    if kind in ("uri", "dns"):
        names = {"uri": x509.UniformResourceIdentifier, "dns": x509.DNSName}
        return names[kind]._init_without_validation(value)
    return {"oid": lambda: x509.RegisteredID(x509.ObjectIdentifier(value))}[kind]()


def _policies(content, public_key, issuer_key):
    return x509.CertificatePolicies(
        x509.PolicyInformation(
            x509.ObjectIdentifier(oid),
            [q if isinstance(q, str) else x509.UserNotice(None, q["notice"]) for q in qualifiers] or None,
        )
        for oid, qualifiers in content["policies"].items()
    )


def _point(wanted) -> x509.DistributionPoint:
    return x509.DistributionPoint(
        full_name=[_general_name(each if isinstance(each, dict) else f"uri:{each}") for each in wanted["full_name"]]
        if "full_name" in wanted
        else None,
        relative_name=None,
        reasons=frozenset(x509.ReasonFlags(each) for each in wanted["reasons"]) if "reasons" in wanted else None,
        crl_issuer=[_general_name(wanted["crl_issuer"])] if "crl_issuer" in wanted else None,
    )


_EXTENSIONS = {
    "authority_key_identifier": _authority_key_identifier,
    "subject_key_identifier": lambda c, own, above: x509.SubjectKeyIdentifier(_identifier(c["digest"], own, above)),
    "key_usage": lambda c, *_: x509.KeyUsage(**{bit: bit in c["bits"] for bit in BITS}),
    "private_key_usage_period": lambda c, *_: x509.PrivateKeyUsagePeriod(c["not_before"], c["not_after"]),
    "certificate_policies": _policies,
    "subject_alternative_name": lambda c, *_: x509.SubjectAlternativeName(_general_name(each) for each in c["names"]),
    "issuer_alternative_name": lambda c, *_: x509.IssuerAlternativeName(_general_name(each) for each in c["names"]),
    "basic_constraints": lambda c, *_: x509.BasicConstraints(c["ca"], c.get("path_length")),
    "extended_key_usage": lambda c, *_: x509.ExtendedKeyUsage(PURPOSES[each] for each in c["purposes"]),
    "crl_distribution_points": lambda c, *_: x509.CRLDistributionPoints(_point(each) for each in c["points"]),
    "authority_information_access": lambda c, *_: x509.AuthorityInformationAccess(
        [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, _general_name(f"uri:{c['ocsp']}"))]
    ),
    "unknown": lambda c, *_: x509.UnrecognizedExtension(x509.ObjectIdentifier(c["oid"]), b"\x05\x00"),
}


def _patched(
    certificate: x509.Certificate, raw: Mapping[str, Any], key: ec.EllipticCurvePrivateKey, hash: hashes.HashAlgorithm
) -> x509.Certificate:
    """Changes that pyca refuses to build; signed again with the issuer's key."""
    body = asn1.Certificate.load(certificate.public_bytes(Encoding.DER))["tbs_certificate"]
    info = body["subject_public_key_info"]
    replaced = b"", b""
    outer_hash, flipped = hash.name, 0
    for what, value in raw.items():
        match what:
            case "version":
                body["version"] = value
            case "serial":
                body["serial_number"] = value
            case "point":
                compressed = certificate.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
                point = bytearray(info["public_key"].native)
                point[-1] ^= 1
                info["public_key"] = {"compressed": compressed, "off_curve": bytes(point)}[value]
            case "curve":
                info["algorithm"]["parameters"] = {"implicit": keys.ECDomainParameters("implicit_ca", core.Null())}[
                    value
                ]
            case "public_key":
                other = _public_key(value, value).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                body["subject_public_key_info"] = keys.PublicKeyInfo.load(other)
            case "generalized_not_before":
                body["validity"]["not_before"] = asn1.Time("general_time", core.GeneralizedTime(value))
            case "issuer_unique_id":
                body["issuer_unique_id"] = bytes.fromhex(value)
            case "subject_unique_id":
                body["subject_unique_id"] = bytes.fromhex(value)
            case "repeat_extension":
                body["extensions"].append(body["extensions"][value])
            case "octets":
                replaced = value["of"].encode(), bytes.fromhex(value["become"])
            case "outer_hash":
                outer_hash = value
            case "signature":
                flipped = {"broken": 1}[value]
            case _:
                raise KeyError(what)
    tbs = body.dump(force=True).replace(*replaced)
    signature = bytearray(key.sign(tbs, ec.ECDSA(hash)))
    signature[-1] ^= flipped
    return x509.load_der_x509_certificate(assemble(tbs, outer_hash, bytes(signature)))
