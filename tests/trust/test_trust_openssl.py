"""OpenSSL's answer is ours, asked in two ways.

``-crl_check_all -extended_crl`` for the whole chain. This also wants a list for the root itself, so the root's small
list (which is there for the CRL signer) must not name its distribution point. Then OpenSSL takes it for the Sub-CAs and
the link too, although their distribution points name the CRL signer as cRLIssuer: what only the indirect list says, it
can't see (``blind``).

``-crl_check -extended_crl`` for each certificate of the chain and each CRL signer, with the lists as they should be.
This agrees everywhere. OpenSSL must not see the CRL signer of the other generation then: of two that have one name it
takes the first, whatever the list's AuthorityKeyIdentifier says.
"""

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ReasonFlags

Crls = tuple[x509.CertificateRevocationList, ...]
Who = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """A question that both understand.

    :param asked: who is asked about
    :param valid: the answer
    :param root: the trusted root
    :param taken_back: who is on a list
    :param without: places of lists that are not at hand: small, indirect, Sub-CA's, then the same of the new generation
    :param blind: the whole chain looks valid to OpenSSL
    """

    asked: Who
    valid: bool
    root: Who = lambda pki: pki.old.root
    taken_back: Who | None = None
    reason: ReasonFlags = ReasonFlags.key_compromise
    without: tuple[int, ...] = ()
    shift: timedelta = timedelta(0)
    blind: bool = False

    def crls(self, pki: Any, *, bare: bool) -> Crls:
        """The lists at hand."""
        entries = [pki.Entry(self.taken_back(pki).certificate, self.reason)] if self.taken_back else []
        return tuple(one for place, one in enumerate(pki.crls(*entries, bare=bare)) if place not in self.without)


def old_tls(pki: Any) -> Any:
    return pki.old.emt["tls"]


def new_sig(pki: Any) -> Any:
    return pki.new.emt["sig"]


def new_root(pki: Any) -> Any:
    return pki.new.root


def sub_ca(pki: Any) -> Any:
    return pki.old.sub_ca


def gateway(pki: Any) -> Any:
    return pki.old.gateway


def link(pki: Any) -> Any:
    return pki.link


def crl_signer(pki: Any) -> Any:
    return pki.old.crl_signer


def tls_signer(pki: Any) -> Any:
    return pki.old.tls_signer


def root_tls(pki: Any) -> Any:
    return pki.old.root_tls


CASES = {
    "old generation": Case(old_tls, True),
    "new generation": Case(new_sig, True, root=new_root),
    "new generation through the link": Case(new_sig, True),
    "gateway": Case(gateway, True),
    "CRL signer": Case(crl_signer, True),
    "TLS certificate of the root": Case(root_tls, True),
    "link": Case(link, True),
    "old generation under the new root": Case(old_tls, False, root=new_root),
    "end user revoked": Case(old_tls, False, taken_back=old_tls),
    "another key of the end user revoked": Case(lambda pki: pki.old.emt["sig"], True, taken_back=old_tls),
    "gateway suspended": Case(gateway, False, taken_back=gateway, reason=ReasonFlags.certificate_hold),
    "Sub-CA revoked": Case(old_tls, False, taken_back=sub_ca, blind=True),
    "new Sub-CA revoked, asked through the link": Case(
        new_sig, False, taken_back=lambda pki: pki.new.sub_ca, blind=True
    ),
    "TLS signer revoked": Case(root_tls, False, taken_back=tls_signer, blind=True),
    "TLS signer revoked, Sub-CA asked": Case(old_tls, True, taken_back=tls_signer),
    "TLS certificate of the root revoked": Case(root_tls, False, taken_back=root_tls),
    "link revoked": Case(new_sig, False, taken_back=link, blind=True),
    "link revoked, new root trusted": Case(new_sig, True, root=new_root, taken_back=link),
    "CRL signer revoked": Case(old_tls, False, taken_back=crl_signer, blind=True),
    "CRL signer revoked and asked": Case(crl_signer, False, taken_back=crl_signer),
    "no list for the CRL signer": Case(old_tls, False, without=(0,)),
    "no indirect list": Case(old_tls, False, without=(1,), blind=True),
    "no list of the Sub-CA": Case(old_tls, False, without=(2,)),
    "only the old generation's lists": Case(new_sig, False, without=(3, 4, 5)),
    "stale lists": Case(old_tls, False, shift=timedelta(days=7)),
    "lists of the future": Case(old_tls, False, shift=timedelta(days=-7)),
    "expired": Case(old_tls, False, shift=timedelta(days=500)),
}


class OpenSsl:
    """``openssl verify`` in a folder of its own."""

    def __init__(self, folder: Path, root: Any, helpers: Iterable[Any], crls: Crls, at: datetime) -> None:
        self._folder = folder
        self._options = [
            *("-no-CApath", "-no-CAstore", "-attime", str(int(at.timestamp()))),
            *("-CAfile", self._pem("root.pem", root), "-untrusted", self._pem("untrusted.pem", *helpers)),
        ]
        for number, crl in enumerate(crls):
            self._options += ["-CRLfile", self._pem(f"crl{number}.pem", crl)]

    def holds(self, asked: x509.Certificate, check: str) -> bool:
        """Whether OpenSSL says OK."""
        command = ["openssl", "verify", check, "-extended_crl", *self._options, self._pem("asked.pem", asked)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode in (0, 2), done.stderr
        return done.returncode == 0

    def _pem(self, name: str, *those: Any) -> str:
        (self._folder / name).write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in those))
        return str(self._folder / name)


@pytest.mark.parametrize("name", CASES)
def test_openssl_agrees_on_the_whole_chain_but_for_what_it_cannot_see(pki: Any, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    asked, root, crls, at = case.asked(pki), case.root(pki), case.crls(pki, bare=True), pki.AT + case.shift
    assert pki.ask(asked, root, crls=crls, at=at).valid is case.valid
    theirs = OpenSsl(tmp_path, root.certificate, pki.certificates, crls, at)
    assert theirs.holds(asked.certificate, "-crl_check_all") is (case.valid or case.blind)


@pytest.mark.parametrize("name", CASES)
def test_openssl_agrees_on_each_certificate(pki: Any, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    asked, root, crls, at = case.asked(pki), case.root(pki), case.crls(pki, bare=False), pki.AT + case.shift
    verdict = pki.ask(asked, root, crls=crls, at=at)
    assert verdict.valid is case.valid, verdict.reasons
    below = verdict.chain[1:] or (asked.certificate,)
    answers = []
    for one in {*below, *(pki.generation_of(one).crl_signer.certificate for one in below)}:
        other = ({pki.old, pki.new} - {pki.generation_of(one)}).pop().crl_signer.certificate
        helpers = [helper for helper in pki.certificates if helper != other]
        answers.append(OpenSsl(tmp_path, root.certificate, helpers, crls, at).holds(one, "-crl_check"))
    assert all(answers) is case.valid
