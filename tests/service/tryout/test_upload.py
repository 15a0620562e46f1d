"""Somebody hands in a message, a package or a certificate, and is told what holds."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smpki.errors import RequestError, ServiceError
from smpki.gateway.cms import Protection, protect
from smpki.policy.load import default_policy_text, load_policy
from smpki.service.tryout.finding import Verdict
from smpki.service.tryout.upload import LARGEST, Look, look_at
from smpki.trust.question import Question, Revocation
from smpki.trust.question import Verdict as TrustVerdict
from smpki.trust.validate import validate

POLICY = load_policy(default_policy_text())


class Parties:
    """A sender and a recipient of one PKI."""

    def __init__(self, world: Any) -> None:
        self.sender, self.recipient = world.register("Sender.EMT"), world.register("Recipient.EMT")
        self._now = world.workshop.now

    def verdict(self, certificate: x509.Certificate) -> TrustVerdict:
        chain = self.sender.chain
        return validate(Question(certificate, chain[:1], self._now, chain[1:], revocation=Revocation.IGNORED))

    def message(self, **options: Any) -> bytes:
        return protect(
            b"a reading",
            sender_certificate=self.sender.certificates[1],
            sender_key=self.sender.keys.sig,
            recipient_certificate=self.recipient.certificates[2],
            protection=Protection(**options),
        )

    def look(self, data: bytes, own: tuple[x509.Certificate, ...] = ()) -> Look:
        return look_at(data, POLICY, self.verdict, own)


@pytest.fixture
def parties(world: Any) -> Parties:
    return Parties(world)


def texts(look: Look, verdict: Verdict) -> list[str]:
    return [str(one) for one in look.findings if one.verdict is verdict]


def test_a_message_that_holds(parties: Parties) -> None:
    for data in (message := parties.message(), base64.b64encode(message)):
        look = parties.look(data, (parties.recipient.certificates[2],))
        assert look.message is not None and look.message.signature_holds
        assert texts(look, Verdict.BREAKS) == texts(look, Verdict.ADVICE) == []
        assert any("CN=Recipient.EMT" in text for text in texts(look, Verdict.HOLDS))
        assert look.parts[0].purpose == "sig"


def test_a_message_for_somebody_else_of_an_unknown_sender(parties: Parties, other_pki: Any) -> None:
    stranger = other_pki().register("Sender.EMT")
    message = protect(
        b"a reading",
        sender_certificate=stranger.certificates[1],
        sender_key=stranger.keys.sig,
        recipient_certificate=parties.recipient.certificates[2],
        protection=Protection(),
    )
    look = parties.look(message, (parties.sender.certificates[2],))
    assert any(text.startswith("The enclosed certificate does not hold") for text in texts(look, Verdict.BREAKS))
    assert any("none of your ENC certificates" in text for text in texts(look, Verdict.ADVICE))


def test_a_changed_message_and_one_without_certificate(parties: Parties) -> None:
    message = parties.message()
    look = parties.look(message[:-1] + bytes([message[-1] ^ 1]))
    assert "The signature does not hold under the enclosed certificate." in texts(look, Verdict.BREAKS)
    bare = parties.look(parties.message(enclose=False))
    assert any(text.startswith("No certificate is enclosed") for text in texts(bare, Verdict.ADVICE))
    cut = parties.look(message[:-3])
    assert texts(cut, Verdict.BREAKS)[0].startswith("The message breaks its profile")


def test_packages_and_certificates_are_explained(parties: Parties, packages: Any) -> None:
    package = parties.look(packages.make("Firma.EMT"))
    assert [part.kind for part in package.parts] == ["request-package", *3 * ["request"]]
    bad = parties.look(packages.make("Firma.EMT", OU="12"))
    assert any(finding.severity == "error" for part in bad.parts for finding in part.findings or ())
    pem = parties.sender.certificates[0].public_bytes(Encoding.PEM)
    assert parties.look(pem).parts[0].kind == "certificate"


def test_what_is_nothing_or_too_large(parties: Parties) -> None:
    with pytest.raises(RequestError) as refusal:
        parties.look(b"hello")
    assert refusal.value.code == "inspect.unknown"
    with pytest.raises(ServiceError) as too_large:
        parties.look(bytes(LARGEST + 1))
    assert too_large.value.code == "service.tryout.size"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_hostile_messages_are_refused_in_words(parties: Parties, data: st.DataObject) -> None:
    message = data.draw(st.just(_message(parties)))
    at = data.draw(st.integers(0, len(message) - 1))
    octets = data.draw(st.binary(max_size=6))
    try:
        look = parties.look(message[:at] + octets + message[at + data.draw(st.integers(0, 6)) :])
    except RequestError:
        return
    assert all(str(one) for one in look.findings)


_MESSAGES: dict[int, bytes] = {}


def _message(parties: Parties) -> bytes:
    return _MESSAGES.setdefault(id(parties), parties.message())


def test_a_root_whose_key_cannot_be_read_is_a_finding(parties: Parties) -> None:
    root = parties.sender.chain[0].public_bytes(Encoding.DER)
    ec_key, unknown = bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0230")
    (part,) = parties.look(root.replace(ec_key, unknown)).parts
    assert part.findings is not None
    assert "rfc-5280.4_1_2_7.public_key.unreadable" in {one.code for one in part.findings}
