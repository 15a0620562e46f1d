"""Which chains hold, revocation aside: generations, links, names, order, lengths, loops, constraints."""

import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from smpki.trust.algorithms import AllowedAlgorithms
from smpki.trust.question import Revocation, Verdict

Codes = Callable[[Verdict], list[str]]
IGNORED = Revocation.IGNORED


def test_every_certificate_of_both_generations_holds(pki: Any) -> None:
    for one in (pki.old, pki.new):
        below = one.crl_signer, one.tls_signer, one.root_tls, one.sub_ca, *one.emt.values(), one.gateway
        for holder in below:
            verdict = pki.ask(holder, one.root)
            assert verdict.valid, verdict.reasons
            assert verdict.chain[0] == one.root.certificate
            assert verdict.chain[-1] == holder.certificate


def test_a_trusted_root_holds_by_itself(pki: Any) -> None:
    verdict = pki.ask(pki.old.root)
    assert (verdict.valid, verdict.chain) == (True, (pki.old.root.certificate,))


def test_who_trusts_the_old_root_only_gets_below_the_new_one_through_the_link(pki: Any) -> None:
    verdict = pki.ask(pki.new.emt["sig"], pki.old.root)
    assert verdict.valid, verdict.reasons
    chain = pki.old.root, pki.link, pki.new.sub_ca, pki.new.emt["sig"]
    assert verdict.chain == tuple(one.certificate for one in chain)


def test_without_the_link_the_new_generation_is_out_of_reach(pki: Any, codes: Codes) -> None:
    others = [one for one in pki.certificates if one != pki.link.certificate]
    verdict = pki.ask(pki.new.emt["sig"], pki.old.root, untrusted=(*others, pki.new.root.certificate))
    assert codes(verdict) == ["trust.path.untrusted_root"]
    assert verdict.reasons[0].serial == pki.new.root.certificate.serial_number
    assert verdict.chain == ()


def test_a_link_leads_in_one_direction_only(pki: Any) -> None:
    assert not pki.ask(pki.old.emt["sig"], pki.new.root).valid


def test_a_link_certificate_is_not_taken_for_the_root_whose_name_and_key_it_has(pki: Any, codes: Codes) -> None:
    verdict = pki.ask(pki.link, pki.new.root)
    assert codes(verdict) == ["trust.path.issuer_unknown"]
    assert pki.ask(pki.link, pki.old.root).valid


def test_an_expired_link_ends_the_bridge(pki: Any, codes: Codes) -> None:
    after = pki.link.certificate.not_valid_after_utc + timedelta(seconds=1)
    sub_ca = pki.ask(pki.new.sub_ca, pki.old.root, at=after, revocation=IGNORED)
    assert codes(sub_ca) == ["trust.certificate.expired"]
    assert sub_ca.reasons[0].serial == pki.link.certificate.serial_number
    assert pki.ask(pki.new.sub_ca, pki.new.root, at=after, revocation=IGNORED).valid


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_what_is_given_does_not_matter(pki: Any, seed: int) -> None:
    certificates = [*pki.certificates, pki.new.root.certificate, *(one.certificate for one in pki.old.emt.values())]
    crls = list(pki.crls())
    random.Random(seed).shuffle(certificates)
    random.Random(seed).shuffle(crls)
    verdict = pki.ask(pki.new.emt["tls"], pki.old.root, untrusted=(*certificates, *certificates), crls=tuple(crls * 2))
    assert verdict.valid, verdict.reasons
    assert len(verdict.chain) == 4


def test_names_are_compared_as_strings(pki: Any) -> None:
    # as PrintableString in the Sub-CA's certificate, as UTF8String and with other case and spaces below it
    respelt = x509.Name(
        x509.NameAttribute(one.oid, spelt(one), _ASN1Type.UTF8String if one.oid != NameOID.COUNTRY_NAME else None)
        for one in pki.old.sub_ca.name
    )
    issuer = pki.issue(respelt, None, "ca", key=pki.old.sub_ca.key)
    holder = pki.issue(f"CN=Firma.EMT, {pki.TEST}, OU=9900000000001", issuer, "sig", crl=pki.old.of_sub_ca)
    assert holder.certificate.issuer != pki.old.sub_ca.name
    verdict = pki.ask(holder)
    assert verdict.valid, verdict.reasons
    listed = pki.revocation_list(pki.old.sub_ca, [pki.Entry(holder.certificate)], number=2)
    assert [one.code for one in pki.ask(holder, crls=(*pki.crls(), listed)).reasons] == ["trust.certificate.revoked"]


def spelt(attribute: x509.NameAttribute[str]) -> str:
    if attribute.oid == NameOID.COMMON_NAME:
        return f"  {attribute.value.upper()} "
    return attribute.value


def test_thirty_certificates_are_refused_as_too_many(pki: Any, codes: Codes) -> None:
    chain = [pki.old.root]
    for number in range(29):
        chain.append(pki.issue(f"CN=Kette{number}.CA, {pki.TEST}", chain[-1], "ca"))
    below = tuple(one.certificate for one in chain[1:])
    assert pki.ask(chain[5], untrusted=below, revocation=IGNORED).valid
    for untrusted in (below, below[::-1]):
        verdict = pki.ask(chain[-1], untrusted=untrusted, revocation=IGNORED)
        assert codes(verdict) == ["trust.path.too_long"]


def test_a_loop_is_refused(pki: Any, codes: Codes) -> None:
    first = pki.issue(f"CN=Erste.CA, {pki.TEST}", None, "ca")
    second = pki.issue(f"CN=Zweite.CA, {pki.TEST}", first, "ca")
    first = pki.issue(first.name, second, "ca", key=first.key)
    leaf = pki.issue(f"CN=Firma.EMT, {pki.TEST}", second, "sig")
    verdict = pki.ask(leaf, untrusted=(second.certificate, first.certificate))
    assert codes(verdict) == ["trust.path.loop"]


def test_thirty_certificates_that_all_certify_each_other_end_soon(pki: Any, codes: Codes) -> None:
    one = pki.issue(f"CN=Immergleich.CA, {pki.TEST}", None, "ca")
    many = [pki.issue(one.name, one, "ca", key=one.key) for _ in range(30)]
    leaf = pki.issue(f"CN=Firma.EMT, {pki.TEST}", one, "sig")
    begin = time.process_time()
    verdict = pki.ask(leaf, untrusted=tuple(one.certificate for one in many))
    assert codes(verdict) == ["trust.path.too_many"]
    more = [pki.issue(one.name, one, "ca", key=one.key) for _ in range(40)]
    verdict = pki.ask(leaf, untrusted=tuple(one.certificate for one in (*many, *more)))
    assert codes(verdict) == ["trust.path.too_many"]
    assert time.process_time() - begin < 20


def test_a_false_certificate_with_issuer_and_serial_of_the_right_one_does_not_displace_it(pki: Any) -> None:
    right = pki.old.sub_ca
    false = pki.issue(
        right.name, pki.old.root, "ca", serial=right.certificate.serial_number, key=right.key, hash=right.hash
    )
    wrong_key = pki.issue(right.name, pki.old.root, "ca", serial=right.certificate.serial_number)
    for untrusted in ((false, right, wrong_key), (wrong_key, right), (right, wrong_key)):
        helpers = tuple(one.certificate for one in untrusted)
        assert pki.ask(pki.old.emt["sig"], untrusted=(*pki.certificates, *helpers)).valid


def test_a_signature_by_another_key_of_that_name_does_not_hold(pki: Any, codes: Codes) -> None:
    impostor = pki.issue(pki.old.sub_ca.name, pki.old.root, "ca")
    forged = pki.Holder(pki.old.sub_ca.certificate, impostor.key, impostor.hash)  # the right name and key identifier
    verdict = pki.ask(pki.issue(f"CN=Firma.EMT, {pki.TEST}", forged, "sig"))
    assert codes(verdict) == ["trust.certificate.signature"]
    verdict = pki.ask(pki.issue(f"CN=Firma.EMT, {pki.TEST}", impostor, "sig"))
    assert codes(verdict) == ["trust.path.key_identifier"]


CONSTRAINTS = {
    "trust.certificate.path_length": {"usage": "ca"},
    "trust.certificate.not_ca": {"usage": "ca", "ca": False},
    "trust.certificate.key_usage": {"usage": "crl", "ca": True},
}


@pytest.mark.parametrize("code", CONSTRAINTS)
def test_who_may_not_issue_has_no_valid_certificates_below(pki: Any, codes: Codes, code: str) -> None:
    above = pki.old.sub_ca if code == "trust.certificate.path_length" else pki.old.root
    options = dict(CONSTRAINTS[code])
    between = pki.issue(f"CN=Dazwischen.CA, {pki.TEST}", above, options.pop("usage"), **options)
    leaf = pki.issue(f"CN=Firma.EMT, {pki.TEST}", between, "sig")
    verdict = pki.ask(leaf, untrusted=(*pki.certificates, between.certificate), revocation=IGNORED)
    assert codes(verdict) == [code]
    assert verdict.reasons[0].serial == between.certificate.serial_number
    assert verdict.reasons[0].subject == f"CN=Dazwischen.CA, {pki.TEST}"


def test_a_link_has_no_pathlen_and_is_no_self_issued_certificate(pki: Any) -> None:
    below = pki.issue(pki.link.name, pki.old.root, "ca", key=pki.new.root.key, path_length=0)
    without = [one for one in pki.certificates if one != pki.link.certificate]
    verdict = pki.ask(pki.new.emt["sig"], pki.old.root, untrusted=(*without, below.certificate), revocation=IGNORED)
    assert [one.code for one in verdict.reasons] == ["trust.certificate.path_length"]


def test_the_roots_own_constraints_count(pki: Any, codes: Codes) -> None:
    narrow = pki.issue(f"CN=Eng.CA, {pki.TEST}", None, "ca", path_length=0)
    between = pki.issue(f"CN=Dazwischen.CA, {pki.TEST}", narrow, "ca")
    leaf = pki.issue(f"CN=Firma.EMT, {pki.TEST}", between, "sig")
    given = {"untrusted": (between.certificate,), "revocation": IGNORED}
    assert codes(pki.ask(leaf, narrow, **given)) == ["trust.certificate.path_length"]
    end_user = pki.issue(f"CN=Firma.EMT, {pki.TEST}", None, "sig")
    below = pki.issue(f"CN=Firma.EMT, {pki.TEST}, OU=1", end_user, "sig")
    assert codes(pki.ask(below, end_user, revocation=IGNORED)) == ["trust.certificate.not_ca"]


@pytest.mark.parametrize("place", range(4))
def test_every_certificate_is_valid_at_the_moment_root_included(pki: Any, codes: Codes, place: int) -> None:
    for kind, shift in (("expired", -30), ("not_yet_valid", 30)):
        holders: list[Any] = []
        for number, usage in enumerate(["ca", "ca", "ca", "sig"]):
            move = timedelta(days=shift) if number == place else timedelta(0)
            span = {"begin": pki.AT - timedelta(days=9) + move, "end": pki.AT + timedelta(days=9) + move}
            above = holders[-1] if holders else None
            holders.append(pki.issue(f"CN=Stufe{number}.CA, {pki.TEST}", above, usage, **span))
        certificates = tuple(one.certificate for one in holders)
        verdict = pki.ask(holders[-1], holders[0], untrusted=certificates, revocation=IGNORED)
        assert codes(verdict) == [f"trust.certificate.{kind}"]
        assert verdict.reasons[0].serial == certificates[place].serial_number


def test_validity_includes_both_ends(pki: Any, codes: Codes) -> None:
    leaf = pki.old.emt["sig"]
    begin, end = leaf.certificate.not_valid_before_utc, leaf.certificate.not_valid_after_utc
    tick = timedelta(seconds=1)
    for moment, expected in ((begin, []), (end, []), (end + tick, ["trust.certificate.expired"])):
        assert codes(pki.ask(leaf, at=moment, revocation=IGNORED)) == expected


def test_algorithms_outside_the_pki_are_refused(pki: Any, codes: Codes) -> None:
    brainpool = AllowedAlgorithms(curves=frozenset({"brainpoolP384r1"}))
    verdict = pki.ask(pki.old.emt["sig"], algorithms=brainpool)
    assert codes(verdict) == ["trust.algorithm.signature", "trust.algorithm.key"]
    sha384 = AllowedAlgorithms(ecdsa_hashes=frozenset({"sha384"}))
    verdict = pki.ask(pki.old.emt["sig"], algorithms=sha384)
    assert codes(verdict) == ["trust.algorithm.signature"]
    assert verdict.reasons[0].serial == pki.old.emt["sig"].certificate.serial_number
    weak = pki.issue(f"CN=Schwach.CA, {pki.TEST}", None, "ca", hash=hashes.SHA224())
    leaf = pki.issue(f"CN=Firma.EMT, {pki.TEST}", weak, "sig")
    assert codes(pki.ask(leaf, weak, revocation=IGNORED)) == ["trust.algorithm.signature"]


def test_unknown_critical_extensions_are_refused(pki: Any, codes: Codes) -> None:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.9"), b"\x05\x00")
    leaf = pki.issue(f"CN=Firma.EMT, {pki.TEST}", pki.old.sub_ca, "sig", more=[strange])
    assert codes(pki.ask(leaf, revocation=IGNORED)) == ["trust.certificate.critical_extension"]


def test_a_hundred_helpers_that_have_nothing_to_do_with_it_do_not_matter(pki: Any) -> None:
    strangers = tuple(
        pki.issue(f"CN=Fremd{number}.CA, {pki.TEST}", pki.old.root, "ca").certificate for number in range(100)
    )
    assert pki.ask(pki.old.emt["sig"], untrusted=(*strangers, *pki.certificates)).valid
