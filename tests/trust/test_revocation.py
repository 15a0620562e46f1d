"""Revoked, suspended, unknown: which revocation list speaks for a certificate, and what it says."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ReasonFlags

from smpki.asn1.der import BIT_STRING, SEQUENCE, encode, encode_object_identifier, single
from smpki.asn1.oids import ECDSA_WITH_SHA256
from smpki.trust.question import Revocation, Verdict

Codes = Callable[[Verdict], list[str]]


def test_a_revoked_end_user_is_not_valid_and_the_answer_says_why(pki: Any, codes: Codes) -> None:
    revoked = pki.old.emt["sig"].certificate
    verdict = pki.ask(revoked, crls=pki.crls(pki.Entry(revoked)))
    assert codes(verdict) == ["trust.certificate.revoked"]
    reason = verdict.reasons[0]
    assert (reason.serial, reason.rule) == (revoked.serial_number, "RFC 5280 6.1.3 (a)(3)")
    assert reason.subject == f"CN=Firma.EMT, {pki.TEST}, OU=9900000000001, serialNumber=1"
    assert reason.message == "it was revoked on 2027-05-02 12:00:00 UTC: keyCompromise"
    assert pki.ask(pki.old.emt["tls"], crls=pki.crls(pki.Entry(revoked))).valid


def test_unspecified_is_encoded_by_omission(pki: Any) -> None:
    revoked = pki.old.emt["sig"].certificate
    verdict = pki.ask(revoked, crls=pki.crls(pki.Entry(revoked, None)))
    assert verdict.reasons[0].message.endswith(": unspecified")


def test_suspended_is_not_valid_until_it_is_resumed(pki: Any, codes: Codes) -> None:
    held = pki.old.gateway.certificate
    entry = pki.Entry(held, ReasonFlags.certificate_hold)
    verdict = pki.ask(held, crls=pki.crls(entry))
    assert codes(verdict) == ["trust.certificate.suspended"]
    # the list before the resumption is still within its nextUpdate; the newer one counts, in any order
    resumed = pki.revocation_list(pki.old.sub_ca, number=2, begin=pki.AT - timedelta(hours=1))
    assert pki.ask(held, crls=(*pki.crls(entry), resumed)).valid
    assert pki.ask(held, crls=(resumed, *pki.crls(entry))).valid
    # but what is newer than the moment in question does not count yet
    verdict = pki.ask(held, crls=(*pki.crls(entry), resumed), at=pki.AT - timedelta(hours=2))
    assert codes(verdict) == ["trust.certificate.suspended"]
    # made in the same second: the CRL number decides
    resumed = pki.revocation_list(pki.old.sub_ca, number=2)
    assert pki.ask(held, crls=(*pki.crls(entry), resumed)).valid


@pytest.mark.parametrize("who", ["sub_ca", "tls_signer", "root_tls", "crl_signer"])
def test_what_the_root_takes_back_takes_all_below_with_it(pki: Any, codes: Codes, who: str) -> None:
    holder = getattr(pki.old, who)
    below = {"sub_ca": pki.old.emt["tls"], "tls_signer": pki.old.root_tls}.get(who, holder)
    crls = pki.crls(pki.Entry(holder.certificate))
    for asked in (holder, below):
        verdict = pki.ask(asked, crls=crls)
        assert codes(verdict) == ["trust.certificate.revoked"]
        assert verdict.reasons[0].serial == holder.certificate.serial_number


def test_a_revoked_link_ends_the_bridge_and_nothing_else(pki: Any, codes: Codes) -> None:
    crls = pki.crls(pki.Entry(pki.link.certificate))
    verdict = pki.ask(pki.new.emt["tls"], pki.old.root, crls=crls)
    assert codes(verdict) == ["trust.certificate.revoked"]
    assert verdict.reasons[0].serial == pki.link.certificate.serial_number
    assert pki.ask(pki.new.emt["tls"], pki.new.root, crls=crls).valid


def test_a_link_without_distribution_points_is_found_on_both_lists_of_the_old_root(pki: Any, codes: Codes) -> None:
    link = pki.make_link(None)
    helpers = (*(one for one in pki.certificates if one != pki.link.certificate), link.certificate)

    def ask(*crls: x509.CertificateRevocationList) -> list[str]:
        return codes(pki.ask(link, untrusted=helpers, crls=crls))

    entry = pki.Entry(link.certificate)
    small, indirect, _ = pki.old.crls()
    listed = pki.old.crls(entry)[1]
    bare, bare_listed = pki.revocation_list(pki.old.root), pki.revocation_list(pki.old.root, [entry])
    assert ask(bare) == []
    assert ask(indirect, small) == []
    assert ask(bare_listed) == ["trust.certificate.revoked"]
    assert ask(bare, listed, small) == ["trust.certificate.revoked"]
    assert ask(bare_listed, indirect, small) == ["trust.certificate.revoked"]
    # the new generation's signer has the same name, but the old root did not certify it
    new_small, new_indirect, _ = pki.new.crls()
    assert ask(new_indirect, new_small) == ["trust.crl.signer_unknown"]


def test_a_revoked_crl_signer_speaks_for_nobody(pki: Any, codes: Codes) -> None:
    verdict = pki.ask(pki.old.emt["tls"], crls=pki.crls(pki.Entry(pki.old.crl_signer.certificate)))
    assert codes(verdict) == ["trust.certificate.revoked"]
    assert verdict.reasons[0].serial == pki.old.crl_signer.certificate.serial_number


@pytest.mark.parametrize("missing", range(3))
def test_without_a_list_nothing_is_valid_unless_asked_for(pki: Any, codes: Codes, missing: int) -> None:
    crls = [one for number, one in enumerate(pki.old.crls()) if number != missing]
    leaf = pki.old.emt["tls"]
    verdict = pki.ask(leaf, crls=tuple(crls))
    assert codes(verdict) == ["trust.crl.missing"]
    unknown = (pki.old.crl_signer, pki.old.sub_ca, leaf)[missing].certificate
    assert verdict.reasons[0].serial == unknown.serial_number
    for revocation in (Revocation.IF_KNOWN, Revocation.IGNORED):
        assert pki.ask(leaf, crls=tuple(crls), revocation=revocation).valid


@pytest.mark.parametrize("stale", range(3))
def test_a_stale_list_is_as_good_as_none(pki: Any, codes: Codes, stale: int) -> None:
    old = pki.old.crls(begin=pki.AT - timedelta(days=9), end=pki.AT - timedelta(seconds=1))
    crls = [one if number != stale else old[stale] for number, one in enumerate(pki.old.crls())]
    verdict = pki.ask(pki.old.emt["tls"], crls=tuple(crls))
    assert codes(verdict) == ["trust.crl.stale"]
    assert "the next one was due on 2027-06-01 11:59:59" in verdict.reasons[0].message
    assert pki.ask(pki.old.emt["tls"], crls=tuple(crls), revocation=Revocation.IF_KNOWN).valid
    assert pki.ask(pki.old.emt["tls"], crls=tuple(crls), at=pki.AT - timedelta(seconds=1)).valid


def test_a_list_counts_up_to_its_next_update(pki: Any) -> None:
    crls = pki.old.crls(end=pki.AT)
    assert pki.ask(pki.old.emt["tls"], crls=crls).valid
    assert not pki.ask(pki.old.emt["tls"], crls=crls, at=pki.AT + timedelta(seconds=1)).valid


def test_a_list_says_nothing_about_the_time_before_it(pki: Any, codes: Codes) -> None:
    verdict = pki.ask(pki.old.emt["tls"], at=pki.AT - timedelta(days=2))
    assert codes(verdict) == ["trust.crl.too_new", "trust.crl.too_new"]


def test_if_known_a_stale_list_still_takes_back(pki: Any, codes: Codes) -> None:
    leaf = pki.old.emt["tls"].certificate
    stale = pki.revocation_list(pki.old.sub_ca, [pki.Entry(leaf)], end=pki.AT - timedelta(hours=1))
    for revocation in (Revocation.REQUIRED, Revocation.IF_KNOWN):
        verdict = pki.ask(leaf, crls=(*pki.old.crls()[:2], stale), revocation=revocation)
        assert codes(verdict) == ["trust.certificate.revoked"]
    assert pki.ask(leaf, crls=(stale,), revocation=Revocation.IGNORED).valid


def test_the_roots_small_list_does_not_speak_for_sub_cas(pki: Any, codes: Codes) -> None:
    # not even when it has no scope at all: the Sub-CA's distribution point names another issuer, and that decides
    for bare in (False, True):
        small, _, sub = pki.old.crls(bare=bare)
        assert small.issuer == pki.old.sub_ca.certificate.issuer
        assert codes(pki.ask(pki.old.emt["tls"], crls=(small, sub))) == ["trust.crl.missing"]


def test_a_sub_cas_list_does_not_speak_for_its_neighbours(pki: Any, codes: Codes) -> None:
    _, indirect, sub = pki.old.crls()
    other = pki.issue(f"CN=Andere.CA, {pki.TEST}", pki.old.root, "ca", path_length=0)
    helpers = (*pki.certificates, other.certificate)
    entry = pki.Entry(pki.old.crl_signer.certificate)
    for crl in (pki.revocation_list(other), pki.revocation_list(other, [entry], indirect=True)):
        verdict = pki.ask(pki.old.crl_signer, untrusted=helpers, crls=(crl, sub, indirect))
        assert codes(verdict) == ["trust.crl.missing"]


def test_the_list_of_another_generation_does_not_speak(pki: Any, codes: Codes) -> None:
    # one CRL signer's name in both generations; who trusts the old root knows both signers
    revoked = pki.Entry(pki.new.sub_ca.certificate)
    new_small, new_indirect, new_sub = pki.new.crls(revoked)
    old = pki.old.crls()
    given = {"root": pki.old.root, "crls": (*old, new_small, new_sub)}
    assert codes(pki.ask(pki.new.emt["tls"], **given)) == ["trust.crl.missing"]
    # nor does it when it names no distribution point at all
    bare = pki.revocation_list(pki.old.crl_signer, indirect=True, number=9)
    given["crls"] = (*old, bare, new_small, new_sub)
    assert codes(pki.ask(pki.new.emt["tls"], **given)) == ["trust.crl.signer_unknown"]
    given["crls"] = (*old, bare, new_small, new_indirect, new_sub)
    assert codes(pki.ask(pki.new.emt["tls"], **given)) == ["trust.certificate.revoked"]


def test_an_indirect_list_without_distribution_point_speaks_for_its_own_generation(pki: Any, codes: Codes) -> None:
    small, _, sub = pki.old.crls()
    for entries in ([], [pki.Entry(pki.old.tls_signer.certificate)]):
        bare = pki.revocation_list(pki.old.crl_signer, entries, indirect=True)
        assert pki.ask(pki.old.emt["tls"], crls=(small, bare, sub)).valid
        verdict = pki.ask(pki.old.root_tls, crls=(small, bare, sub))
        assert codes(verdict) == ["trust.certificate.revoked"] * len(entries)


def test_a_later_generations_signer_speaks_for_an_older_root_over_the_link(pki: Any, codes: Codes) -> None:
    # an older root's own signer ends before the root does; the list says by its distribution point whom it is about
    link = pki.make_link(None).certificate
    helpers = [pki.new.crl_signer.certificate, pki.old.sub_ca.certificate]
    of_root, _, of_sub_ca = pki.old.crls(bare=True)
    of_new_root = pki.new.crls()[0]

    def by_new(*entries: Any, uris: tuple[str, ...] = (pki.old.root_uri,)) -> x509.CertificateRevocationList:
        return pki.revocation_list(pki.new.crl_signer, entries, indirect=True, uris=uris)

    def ask(*crls: x509.CertificateRevocationList, untrusted: Any = (link, *helpers)) -> Verdict:
        lists = (*crls, of_sub_ca, of_new_root)
        verdict: Verdict = pki.ask(pki.old.emt["tls"], untrusted=tuple(untrusted), crls=lists)
        return verdict

    assert ask(by_new(), of_root).valid
    assert codes(ask(by_new(pki.Entry(pki.old.sub_ca.certificate)), of_root)) == ["trust.certificate.revoked"]
    assert codes(ask(by_new(), of_root, untrusted=helpers)) == ["trust.crl.signer_unknown"]
    assert codes(ask(by_new(uris=()), of_root)) == ["trust.crl.signer_unknown"]
    revoked = ask(by_new(), pki.revocation_list(pki.old.root, [pki.Entry(link)]))
    assert [(one.code, one.serial) for one in revoked.reasons] == [("trust.certificate.revoked", link.serial_number)]
    # a link is not good because who stands behind it says so
    crls = (by_new(), of_root, of_new_root)
    untrusted = (pki.link.certificate, *helpers)
    assert codes(pki.ask(pki.link, untrusted=untrusted, crls=crls)) == ["trust.crl.signer_unknown"]


def test_a_sub_ca_can_not_make_a_crl_signer_for_the_root(pki: Any, codes: Codes) -> None:
    small, _, sub = pki.old.crls()
    for above in (pki.old.sub_ca, pki.old.tls_signer, pki.old.emt["sig"]):
        false = pki.issue(pki.old.crl_signer.name, above, "crl", crl=pki.old.of_sub_ca)
        crl = pki.revocation_list(false, indirect=True, uris=[pki.old.root_uri])
        verdict = pki.ask(pki.old.sub_ca, untrusted=(*pki.certificates, false.certificate), crls=(small, crl, sub))
        assert codes(verdict) == ["trust.crl.signer_unknown"]


def test_the_issuer_of_an_entry_holds_until_the_next_one(pki: Any, codes: Codes) -> None:
    # the serial numbers of the Sub-CA and of a certificate of the TLS signer are the same
    serial = pki.old.sub_ca.certificate.serial_number
    twin = pki.issue(
        f"CN=Andere.CA.TLS, {pki.TEST}",
        pki.old.tls_signer,
        "tls",
        serial=serial,
        crl=pki.points(pki.old.root_uri, crl_issuer=pki.old.crl_signer.name),
    )
    of_root, of_signer = pki.Entry(pki.link.certificate), pki.Entry(pki.old.root_tls.certificate)
    of_sub_ca, of_twin = pki.Entry(pki.old.sub_ca.certificate), pki.Entry(twin.certificate)
    for entries, revoked in (
        ([of_signer, of_twin], [twin]),
        ([of_root, of_sub_ca, of_signer], [pki.old.sub_ca]),
        ([of_twin, of_sub_ca], [twin, pki.old.sub_ca]),
        ([of_signer], []),
    ):
        for holder in (twin, pki.old.sub_ca):
            expected = ["trust.certificate.revoked"] if holder in revoked else []
            assert codes(pki.ask(holder, crls=pki.old.crls(*entries))) == expected


def test_an_indirect_list_needs_its_flag(pki: Any, codes: Codes) -> None:
    small, _, sub = pki.old.crls()
    direct = pki.revocation_list(pki.old.crl_signer, uris=[pki.old.root_uri])
    assert codes(pki.ask(pki.old.sub_ca, crls=(small, direct, sub))) == ["trust.crl.missing"]


def test_a_list_for_another_distribution_point_does_not_speak(pki: Any, codes: Codes) -> None:
    small, _, sub = pki.old.crls()
    other = pki.revocation_list(pki.old.crl_signer, indirect=True, uris=["http://crl.example/other.crl"])
    assert codes(pki.ask(pki.old.sub_ca, crls=(small, other, sub))) == ["trust.crl.missing"]


FORGERIES: dict[str, Callable[[Any], x509.CertificateRevocationList]] = {
    "trust.crl.signature": lambda pki: pki.revocation_list(
        pki.Holder(pki.old.sub_ca.certificate, pki.old.gateway.key, hashes.SHA256())
    ),
    "trust.crl.signer_unknown": lambda pki: pki.revocation_list(pki.old.sub_ca, key_identifier=b"\1" * 20),
    "trust.algorithm.signature": lambda pki: pki.revocation_list(pki.old.sub_ca, hash=hashes.SHA224()),
    "trust.crl.critical_extension": lambda pki: pki.revocation_list(
        pki.old.sub_ca, more=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.9"), b"\5\0"), True)]
    ),
    "trust.crl.unreadable": lambda pki: pki.revocation_list(
        pki.old.sub_ca, more=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.28"), b"\5\0"), True)]
    ),
    "trust.crl.delta": lambda pki: pki.revocation_list(pki.old.sub_ca, more=[(x509.DeltaCRLIndicator(1), True)]),
}


@pytest.mark.parametrize("code", FORGERIES)
def test_a_list_that_is_not_right_does_not_count(pki: Any, codes: Codes, code: str) -> None:
    crls = (*pki.old.crls()[:2], FORGERIES[code](pki))
    verdict = pki.ask(pki.old.emt["tls"], crls=crls)
    assert codes(verdict) == [code]
    assert verdict.reasons[0].serial is not None
    assert pki.ask(pki.old.emt["tls"], crls=(*pki.old.crls(), *crls)).valid


def test_who_may_not_sign_lists_does_not(pki: Any, codes: Codes) -> None:
    sub_ca = pki.issue(f"CN=Ohne.CA, {pki.TEST}", pki.old.root, ["key_cert_sign"], path_length=0)
    leaf = pki.issue(f"CN=Firma.EMT, {pki.TEST}", sub_ca, "sig")
    plain = pki.revocation_list(pki.old.root)
    verdict = pki.ask(leaf, untrusted=(sub_ca.certificate,), crls=(plain, pki.revocation_list(sub_ca)))
    assert codes(verdict) == ["trust.crl.key_usage"]


def test_a_list_does_not_vouch_for_its_own_delegate_alone(pki: Any, codes: Codes) -> None:
    signer = pki.issue(pki.old.crl_signer.name, pki.old.root, "crl")  # no distribution point
    itself = pki.revocation_list(signer, indirect=True)
    verdict = pki.ask(signer, untrusted=(signer.certificate,), crls=(itself,))
    assert codes(verdict) == ["trust.crl.signer_unknown"]
    assert pki.ask(signer, untrusted=(signer.certificate,), crls=(itself, pki.revocation_list(pki.old.root))).valid


REASON = x509.ObjectIdentifier("2.5.29.21")


def test_repeated_entries_never_help(pki: Any, codes: Codes) -> None:
    leaf = pki.old.emt["tls"].certificate
    held, revoked = pki.Entry(leaf, ReasonFlags.certificate_hold), pki.Entry(leaf)
    removed = pki.Entry(leaf, ReasonFlags.remove_from_crl)
    for entries in ([revoked, held], [held, revoked], [held] * 50 + [revoked], [removed, revoked], [removed]):
        assert codes(pki.ask(leaf, crls=pki.crls(*entries))) == ["trust.certificate.revoked"]
    assert codes(pki.ask(leaf, crls=pki.crls(held, held))) == ["trust.certificate.suspended"]


@pytest.mark.parametrize(
    "strange",
    [
        (x509.UnrecognizedExtension(REASON, b"\x0a\x01\x07"), False),  # a reason that doesn't exist
        (x509.UnrecognizedExtension(REASON, b"\x0a\x01\x0b"), False),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.9"), b"\5\0"), True),
        (x509.CertificateIssuer([x509.DirectoryName(x509.Name([]))]), True),  # on a list that is not indirect
    ],
)
def test_entries_that_nobody_understands_spoil_the_list(pki: Any, codes: Codes, strange: Any) -> None:
    leaf, other = (pki.old.emt[use].certificate for use in ("tls", "sig"))
    crls = pki.crls(pki.Entry(other, None, more=(strange,)))
    assert codes(pki.ask(leaf, crls=crls)) == ["trust.crl.entries"]
    assert codes(pki.ask(other, crls=crls)) == ["trust.certificate.revoked"]
    assert codes(pki.ask(leaf, crls=pki.crls(pki.Entry(leaf), pki.Entry(other, None, more=(strange,))))) == [
        "trust.certificate.revoked"
    ]


def test_a_list_of_fifty_thousand_is_read_in_seconds(pki: Any, codes: Codes) -> None:
    leaf = pki.old.emt["tls"].certificate
    since = pki.AT - timedelta(days=30)
    many = [x509.RevokedCertificateBuilder(2**120 + number, since).build() for number in range(50_000)]
    last = x509.RevokedCertificateBuilder(leaf.serial_number, since).build()
    builder = x509.CertificateRevocationListBuilder(
        pki.old.sub_ca.name, pki.AT - timedelta(days=1), pki.AT + timedelta(days=6), [], [*many, last]
    )
    huge = builder.sign(pki.old.sub_ca.key, hashes.SHA256())
    small, indirect, _ = pki.old.crls()
    begin = time.process_time()
    assert codes(pki.ask(leaf, crls=(small, indirect, huge))) == ["trust.certificate.revoked"]
    assert pki.ask(pki.old.emt["sig"], crls=(small, indirect, huge)).valid
    assert time.process_time() - begin < 5


def test_a_list_without_next_update_is_never_current(pki: Any, codes: Codes) -> None:
    # pyca does not write such a list: the field is cut out, and what is left signed again
    tbs = single(pki.old.crls()[2].tbs_certlist_bytes, SEQUENCE, "TBSCertList").content
    field = b"\x17\x0d" + (pki.AT + timedelta(days=6)).strftime("%y%m%d%H%M%SZ").encode()
    assert tbs.count(field) == 1
    endless = encode(SEQUENCE, tbs.replace(field, b""))
    signature = pki.old.sub_ca.key.sign(endless, ec.ECDSA(hashes.SHA256()))
    algorithm = encode(SEQUENCE, encode_object_identifier(ECDSA_WITH_SHA256))
    crl = x509.load_der_x509_crl(encode(SEQUENCE, endless, algorithm, encode(BIT_STRING, b"\0", signature)))
    assert crl.next_update_utc is None
    verdict = pki.ask(pki.old.emt["tls"], crls=(*pki.old.crls()[:2], crl))
    assert codes(verdict) == ["trust.crl.stale"]
    assert "promises no next one" in verdict.reasons[0].message
