"""Questions that can't be asked so, files that can't be read, and bytes that nobody meant."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.asn1.der import BIT_STRING, SEQUENCE, elements, encode, single
from smpki.errors import TrustError
from smpki.trust.files import read_certificates, read_crls
from smpki.trust.question import Question, Verdict
from smpki.trust.validate import validate

Codes = Callable[[Verdict], list[str]]


def test_a_question_needs_a_trusted_root(pki: Any) -> None:
    with pytest.raises(TrustError) as refused:
        validate(Question(pki.old.root.certificate, (), pki.AT))
    assert refused.value.code == "trust.question.roots"


def test_a_question_needs_a_time_zone(pki: Any) -> None:
    with pytest.raises(TrustError) as refused:
        pki.ask(pki.old.root, at=datetime(2027, 6, 1))  # noqa: DTZ001
    assert refused.value.code == "trust.question.at"


def test_a_running_event_loop_is_no_obstacle(pki: Any) -> None:
    async def ask() -> Verdict:
        return pki.ask(pki.old.emt["tls"])

    assert asyncio.run(ask()).valid


def pem(*those: Any) -> bytes:
    return b"text before\n".join(one.public_bytes(Encoding.PEM) for one in those)


def test_files_hold_pem_in_a_row_or_der(pki: Any) -> None:
    certificates, crls = pki.certificates, pki.crls()
    mixed = pem(*certificates, *crls)
    assert read_certificates(mixed, "all.pem") == certificates
    assert read_crls(mixed, "all.pem") == crls
    assert read_certificates(certificates[0].public_bytes(Encoding.DER), "one.der") == certificates[:1]
    assert read_crls(crls[0].public_bytes(Encoding.DER), "one.der") == crls[:1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"no certificate",
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        b"\x30\x80" * 20_000,
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    for read in (read_certificates, read_crls):
        with pytest.raises(TrustError) as refused:
            read(data, "file.pem")
        assert (refused.value.code, refused.value.where) == ("trust.file.unreadable", "file.pem")
        assert "DER" in refused.value.hint


def test_a_certificate_that_pyca_reads_late_is_refused(pki: Any, codes: Codes) -> None:
    der = pki.old.emt["tls"].certificate.public_bytes(Encoding.DER)
    key_usage = bytes.fromhex("0603551d0f0101ff040403020780")
    assert der.count(key_usage) == 1
    broken = x509.load_der_x509_certificate(der.replace(key_usage, key_usage[:-2] + b"\x0f\x80"))
    assert codes(pki.ask(broken)) == ["trust.certificate.unreadable"]
    assert pki.ask(pki.old.emt["sig"], untrusted=(broken, *pki.certificates)).valid


def mutated(data: st.DataObject, der: bytes) -> bytes:
    """The bytes with a few of them changed, now and then with some put in or taken away."""
    changed = bytearray(der)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 9999)) % len(changed)
        taken = data.draw(st.sampled_from([1, 1, 1, 1, 0, 2]))
        changed[place : place + taken] = data.draw(st.binary(min_size=1, max_size=1 if taken == 1 else 2))
    return bytes(changed)


def check_mutated(pki: Any, data: st.DataObject) -> None:
    """Change a certificate or CRL, sign it again or not, and ask about a chain that needs it."""
    old, crls = pki.old, pki.plain_crls[:3]
    certificates = tuple(one.certificate for one in (old.emt["tls"], old.sub_ca, old.crl_signer))
    signers = old.sub_ca, old.root, old.root, old.root, old.crl_signer, old.sub_ca
    which = data.draw(st.integers(0, 5))
    source = (*certificates, *crls)[which]
    der = source.public_bytes(Encoding.DER)
    signed_again = data.draw(st.booleans())
    if signed_again:
        tbs, algorithm, _ = elements(single(der, SEQUENCE, "it").content, "it")
        changed = mutated(data, tbs.encoded)
        signature = signers[which].key.sign(changed, ec.ECDSA(signers[which].hash))
        der = encode(SEQUENCE, changed, algorithm.encoded, encode(BIT_STRING, b"\0", signature))
    else:
        der = mutated(data, der)
    try:
        (other,) = read_certificates(der, "changed") if which < 3 else read_crls(der, "changed")
    except TrustError:
        return
    leaf, *helpers = (other if number == which else one for number, one in enumerate(certificates))
    lists = tuple(other if number == which else one for number, one in enumerate(crls, 3))
    verdict = pki.ask(leaf, untrusted=tuple(helpers), crls=lists)
    assert signed_again or other == source or not verdict.valid
    assert all(one.message and one.rule for one in verdict.reasons)


@settings(max_examples=1_000, deadline=None, derandomize=True)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_changed_bytes_are_never_valid_and_raise_nothing(pki: Any, data: st.DataObject) -> None:
    check_mutated(pki, data)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_many_changed_bytes(pki: Any, data: st.DataObject) -> None:
    check_mutated(pki, data)


def test_nothing_is_loaded_before_it_is_needed_and_oscrypto_never() -> None:
    # oscrypto refuses some versions of OpenSSL when it is imported
    program = """
import sys
import smpki.trust.validate
assert "pyhanko_certvalidator" not in sys.modules
import smpki.trust.status, smpki.trust.pkix
assert "pyhanko_certvalidator" in sys.modules
assert "oscrypto" not in sys.modules and "aiohttp" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
