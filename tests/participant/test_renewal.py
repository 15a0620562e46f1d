from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import SmpkiError
from smpki.participant.key_places import FilePlace, FileSource, TokenPlace, TokenSource, make_keys
from smpki.participant.renewal import check_window, holder_of, names_of, renewal_package, write_renewal
from smpki.participant.signers import open_signer, tls_certificate
from smpki.policy.model import Policy
from smpki.requests.build import RequestedNames
from smpki.requests.keys import Signer
from smpki.requests.submission import read_submission, verify_submission

if TYPE_CHECKING:
    from smpki.hsm.token import Token

Counter = Any  # conftest.Counter

EMT = "CN=Firma.EMT, O=SM-Test-PKI-DE, OU=9900000000001, C=DE, serialNumber=3, L=Köln"
GATEWAY = "CN=EABC0012345678.SMGW, O=SM-Test-PKI-DE, OU=Verwalter.GWA, C=DE, serialNumber=1"
NOW = datetime(2027, 12, 1, tzinfo=UTC)
IN_FILES = FileSource(lambda: None)


@pytest.fixture
def previous(tmp_path: Path, counter: Counter) -> Signer:
    counter.fill(tmp_path / "old", EMT)
    return open_signer(tmp_path / "old", IN_FILES)


def refused(function: Callable[[], object]) -> SmpkiError:
    with pytest.raises(SmpkiError) as caught:
        function()
    assert caught.value.hint
    return caught.value


def test_a_renewal(tmp_path: Path, previous: Signer, policy: Policy) -> None:
    """The same names, the same subject with its old number, other keys."""
    names = names_of(previous.certificate, tls_certificate(tmp_path / "old"))
    assert names == RequestedNames(
        "post@firma.example", "https://firma.example/as4", ("firma.example", "as4.firma.example")
    )
    made = write_renewal(previous, names, policy, tmp_path / "new", FilePlace(tmp_path / "new"), NOW)
    assert [Path(name).name for name in made] == ["tls.key", "sig.key", "enc.key", "request.der"]
    submission = read_submission(Path(made[-1]).read_bytes())
    verify_submission(submission)
    assert submission.kind == "renewal"
    assert submission.package.subject == previous.certificate.subject
    assert submission.renewal is not None
    assert submission.renewal.signer == previous.certificate
    assert len(submission.renewal.certificates) == 2
    old = {file.read_bytes() for file in (tmp_path / "old").glob("*.key")}
    assert old.isdisjoint(file.read_bytes() for file in (tmp_path / "new").glob("*.key"))
    hosts = submission.package.tls.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert hosts.get_values_for_type(x509.DNSName) == list(names.dns)


def test_a_gateway_has_no_names(tmp_path: Path, counter: Counter, policy: Policy) -> None:
    counter.fill(tmp_path, GATEWAY)
    previous = open_signer(tmp_path, IN_FILES)
    assert names_of(previous.certificate, tls_certificate(tmp_path)) == RequestedNames()
    package = renewal_package(previous, RequestedNames(), make_keys(ec.BrainpoolP256R1()), policy)
    verify_submission(read_submission(package))


def test_keys_from_one_token_key_to_the_next(tmp_path: Path, counter: Counter, policy: Policy, token: "Token") -> None:
    old = TokenPlace(token, "old").make(ec.BrainpoolP256R1())
    counter.fill(tmp_path, EMT, keys=old)
    previous = open_signer(tmp_path, TokenSource(token))
    names = names_of(previous.certificate, tls_certificate(tmp_path / "sig.pem"))
    made = write_renewal(previous, names, policy, tmp_path, TokenPlace(token, "new"), NOW)
    assert made == ("new tls", "new sig", "new enc", str(tmp_path / "request.der"))
    submission = read_submission((tmp_path / "request.der").read_bytes())
    verify_submission(submission)
    assert submission.package.enc.public_key == token.key(label="new enc").public_key()


def test_the_window(previous: Signer, policy: Policy) -> None:
    end = previous.certificate.not_valid_after_utc
    opens = end - timedelta(days=90)
    for now in (opens, NOW, end):
        check_window(previous.certificate, policy, now)
    second = timedelta(seconds=1)
    for now, code in (
        (opens - second, "renewal.too_early"),
        (end + second, "request.signer.not_valid"),
        (previous.certificate.not_valid_before_utc - second, "request.signer.not_valid"),
    ):
        assert refused(lambda now=now: check_window(previous.certificate, policy, now)).code == code


def test_nothing_is_left_of_a_renewal_that_is_refused(
    tmp_path: Path, previous: Signer, policy: Policy, token: "Token"
) -> None:
    early = previous.certificate.not_valid_before_utc
    for names, now, code in (
        (RequestedNames("a@b.example", "https://b.example/", ("b.example",)), early, "renewal.too_early"),
        (RequestedNames("a@b.example"), NOW, "tr-03109-4.c1.subject_alternative_name.uri.missing"),
    ):
        for place in (FilePlace(tmp_path / "new"), TokenPlace(token, "new")):

            def write(names: RequestedNames = names, now: datetime = now, place: Any = place) -> None:
                write_renewal(previous, names, policy, tmp_path / "new", place, now)

            assert refused(write).code == code
            assert not (tmp_path / "new").exists()
            assert tuple(token.keys()) == ()


@pytest.mark.parametrize(
    ("subject", "file"),
    [
        (EMT, "tls.pem"),
        (EMT, "enc.pem"),
        (EMT, "chain.pem"),
        ("CN=Firma.EMT, O=Somebody, C=DE", "sig.pem"),
        ("CN=Firma, O=SM-Test-PKI-DE, C=DE", "sig.pem"),
    ],
)
def test_certificates_that_renew_nothing(
    tmp_path: Path, counter: Counter, policy: Policy, subject: str, file: str
) -> None:
    counter.fill(tmp_path, subject)
    certificate = x509.load_pem_x509_certificate((tmp_path / file).read_bytes())
    assert refused(lambda: holder_of(certificate, policy)).code == "renewal.certificate"


def test_a_key_of_another_triple(tmp_path: Path, counter: Counter, previous: Signer, policy: Policy) -> None:
    stranger = replace(previous, key=ec.generate_private_key(ec.BrainpoolP256R1()))
    names = names_of(previous.certificate, tls_certificate(tmp_path / "old"))
    error = refused(lambda: renewal_package(stranger, names, make_keys(ec.BrainpoolP256R1()), policy))
    assert error.code == "request.signer.key"
