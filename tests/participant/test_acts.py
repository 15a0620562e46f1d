from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import SmpkiError
from smpki.participant.acts import authorise, device_admin, revocation_request
from smpki.participant.key_places import FileSource, make_keys
from smpki.participant.new_request import Wanted, new_package
from smpki.participant.signers import open_signer, triple_certificates
from smpki.policy.model import Policy
from smpki.requests.device_admin import read_device_admin_update
from smpki.requests.keys import Signer
from smpki.requests.revocation import read_revocation_request
from smpki.requests.submission import read_submission, verify_submission

Counter = Any  # conftest.Counter

GATEWAY = "EABC0012345678.SMGW"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
LATE = datetime(2028, 1, 16, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, counter: Counter) -> Path:
    """The triples of a manufacturer, an administrator and a market participant."""
    folder = tmp_path_factory.mktemp("participants")
    counter.fill(folder / "gwh", "CN=Hersteller.GWH, O=SM-Test-PKI-DE, C=DE, serialNumber=1")
    counter.fill(folder / "gwa", "CN=Verwalter.GWA, O=SM-Test-PKI-DE, C=DE, serialNumber=1")
    counter.fill(folder / "emt", "CN=Firma.EMT, O=SM-Test-PKI-DE, OU=9900000000001, C=DE, serialNumber=1")
    counter.fill(folder / "gw", f"CN={GATEWAY}, O=SM-Test-PKI-DE, OU=Verwalter.GWA, C=DE, serialNumber=1")
    return folder


def signer(folder: Path, name: str) -> Signer:
    return open_signer(folder / name, FileSource(lambda: None))


@pytest.fixture(scope="module")
def package(policy: Policy) -> bytes:
    wanted = Wanted(GATEWAY, organizational_unit="Verwalter.GWA")
    return new_package(wanted, make_keys(ec.BrainpoolP256R1()), policy, "test")


def code_of(function: Callable[[], object]) -> str:
    with pytest.raises(SmpkiError) as caught:
        function()
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize("authority", ["gwh", "gwa"])
def test_an_authorisation(folder: Path, package: bytes, authority: str) -> None:
    by = signer(folder, authority)
    submission = read_submission(authorise(package, by, NOW))
    verify_submission(submission)
    assert submission.authorisation is not None
    assert submission.authorisation.signer == by.certificate


def test_who_authorises_nothing(folder: Path, package: bytes) -> None:
    assert code_of(lambda: authorise(package, signer(folder, "emt"), NOW)) == "request.signer.role"
    assert code_of(lambda: authorise(package, signer(folder, "gw"), NOW)) == "request.signer.role"
    assert code_of(lambda: authorise(package, signer(folder, "gwa"), LATE)) == "request.signer.not_valid"


def test_a_revocation_request_for_a_triple(folder: Path) -> None:
    triple = triple_certificates(folder / "gw")
    assert len(triple) == 3
    request = read_revocation_request(
        revocation_request((*triple, triple[0]), "certificate_hold", signer(folder, "gwa"), NOW)
    )
    request.signature.verify()
    named = [(item.issuer, item.serial_number, item.reason) for item in request.items]
    assert named == [(each.issuer, each.serial_number, "certificate_hold") for each in triple]


def test_a_revocation_request_for_one_certificate(folder: Path) -> None:
    (certificate,) = triple_certificates(folder / "emt" / "enc.pem")
    data = revocation_request([certificate], "key_compromise", signer(folder, "emt"), NOW)
    assert [item.serial_number for item in read_revocation_request(data).items] == [certificate.serial_number]
    late = revocation_request
    assert code_of(lambda: late([certificate], "superseded", signer(folder, "emt"), LATE)) == "request.signer.not_valid"


def test_gateways_are_handed_over(folder: Path) -> None:
    update = read_device_admin_update(device_admin([GATEWAY], "Neu.GWA", signer(folder, "gwa"), NOW))
    update.signature.verify()
    assert (update.gateways, update.new_admin) == ((GATEWAY,), "Neu.GWA")
    for by, now, code in (
        ("gwh", NOW, "request.signer.role"),
        ("gwa", LATE, "request.signer.not_valid"),
    ):
        assert code_of(lambda by=by, now=now: device_admin([GATEWAY], "Neu.GWA", signer(folder, by), now)) == code
