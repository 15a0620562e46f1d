"""New WAN keys: prepared once, tried before they count, and the former ones until then."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from smpki.errors import GatewayError
from smpki.gateway.api import PrepareWanKeys, WantedSubject
from smpki.gateway.security_module import SecurityModule, SlotState
from smpki.gateway.slots import Group, Slot
from smpki.gateway.store.store import GatewayStore
from smpki.gateway.wan_keys import WanKeys
from smpki.hsm.software_vault import SoftwareVault
from smpki.policy.device_id import DeviceId
from smpki.requests.read import read_package, verify_package
from smpki.requests.submission import read_submission, verify_submission

GATEWAY = DeviceId.parse("EABC0000000001")
HOLDER = "EABC0000000001.SMGW"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
INITIAL = PrepareWanKeys(kind="initial", subject=WantedSubject(OU="Verwalter.GWA", serialNumber="1"))
RENEWAL = PrepareWanKeys(kind="renewal")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GatewayStore]:
    store = GatewayStore.create(tmp_path / "gateway.db")
    yield store
    store.close()


@pytest.fixture
def module(fill_next: Callable[..., None]) -> Iterator[SecurityModule]:
    with SecurityModule(SoftwareVault()) as module:
        fill_next(module, name=HOLDER)
        module.activate()
        yield module


@pytest.fixture
def keys(module: SecurityModule, store: GatewayStore) -> WanKeys:
    return WanKeys(module, store, GATEWAY)


@pytest.fixture
def certify(
    keys: WanKeys, module: SecurityModule, certificate_for: Callable[..., x509.Certificate]
) -> Callable[..., None]:
    def certify(name: str = HOLDER, **changes: datetime) -> None:
        for slot in Group.WAN.slots:
            public = module.key(slot.next).public_key()
            keys.install(slot.next, certificate_for(slot, public, name, **changes))

    return certify


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as refusal:
        action()
    return refusal.value.code


def test_a_package_is_for_the_next_keys_and_the_wanted_name(keys: WanKeys, module: SecurityModule) -> None:
    package = read_package(keys.prepare(INITIAL, NOON))
    verify_package(package)
    requested = {request.purpose: request.public_key for request in package.requests}
    assert requested == {slot.purpose: module.key(slot.next).public_key() for slot in Group.WAN.slots}
    names = {request.subject.rfc4514_string() for request in package.requests}
    assert names == {f"2.5.4.5=1,OU=Verwalter.GWA,CN={HOLDER}"}


def test_a_renewal_is_signed_by_the_present_key(keys: WanKeys, module: SecurityModule) -> None:
    submission = read_submission(keys.prepare(RENEWAL, NOON))
    present = module.certificate(Slot.WAN_SIG)
    assert {request.subject for request in submission.package.requests} == {present.subject}
    verify_submission(submission)
    assert submission.renewal is not None and submission.renewal.signer == present


def test_asked_again_it_gives_the_same_package_over_a_restart(
    keys: WanKeys, module: SecurityModule, store: GatewayStore
) -> None:
    package = keys.prepare(INITIAL, NOON)
    assert keys.prepare(INITIAL, NOON) == package
    assert WanKeys(module, store, GATEWAY).prepare(INITIAL, NOON) == package


def test_another_wish_is_another_package_for_the_same_keys(keys: WanKeys, module: SecurityModule) -> None:
    keys.prepare(INITIAL, NOON)
    before = module.key(Slot.WAN_TLS_NEXT).public_key()
    keys.prepare(RENEWAL, NOON)
    assert module.key(Slot.WAN_TLS_NEXT).public_key() == before


def test_a_process_that_ends_while_it_prepares_begins_no_second_time(keys: WanKeys, module: SecurityModule) -> None:
    public = module.generate(Slot.WAN_TLS_NEXT)
    keys.prepare(RENEWAL, NOON)
    assert module.key(Slot.WAN_TLS_NEXT).public_key() == public


def test_certified_keys_are_given_up_only_when_told(keys: WanKeys, certify: Callable[..., None]) -> None:
    package = keys.prepare(INITIAL, NOON)
    certify()
    assert keys.prepare(INITIAL, NOON) == package
    assert refused(lambda: keys.prepare(RENEWAL, NOON)) == "wan_keys.certified"
    assert keys.prepare(INITIAL.model_copy(update={"anew": True}), NOON) != package
    assert refused(lambda: keys.activate(NOON)) == "wan_keys.unprepared"


def test_new_keys_are_tried_then_current_then_the_former_are_gone(
    keys: WanKeys, module: SecurityModule, certify: Callable[..., None]
) -> None:
    keys.prepare(RENEWAL, NOON)
    certify()
    former, new = module.certificate(Slot.WAN_TLS), module.certificate(Slot.WAN_TLS_NEXT)
    assert (keys.activate(NOON), keys.activate(NOON)) == (True, False)
    assert (keys.state, keys.management_slot) == ("trial", Slot.WAN_TLS_NEXT)
    assert module.certificate(Slot.WAN_TLS) == former
    assert refused(lambda: keys.prepare(RENEWAL, NOON)) == "wan_keys.trial"
    assert refused(keys.retire) == "wan_keys.trial"

    assert (keys.confirm(), keys.confirm()) == (True, False)
    assert (keys.state, keys.management_slot) == ("confirmed", Slot.WAN_TLS)
    assert module.certificate(Slot.WAN_TLS) == new
    assert keys.activate(NOON) is False
    assert len(module.credentials(Slot.WAN_ENC)) == 2

    keys.retire()
    keys.retire()
    assert keys.state == "settled"
    assert len(module.credentials(Slot.WAN_ENC)) == 1


def test_keys_that_reach_nobody_are_given_up_after_some_attempts(
    keys: WanKeys, module: SecurityModule, store: GatewayStore, certify: Callable[..., None]
) -> None:
    keys.prepare(RENEWAL, NOON)
    certify()
    former = module.certificate(Slot.WAN_TLS)
    keys.activate(NOON)
    assert keys.failed(3) is False
    keys = WanKeys(module, store, GATEWAY)  # a restart does not give it more attempts
    assert (keys.failed(3), keys.state) == (False, "trial")
    assert (keys.failed(3), keys.state) == (True, "settled")
    assert module.certificate(Slot.WAN_TLS) == former
    assert keys.activate(NOON) is True


def test_a_process_that_ends_while_keys_become_current_knows_it_afterwards(
    keys: WanKeys, module: SecurityModule, store: GatewayStore, certify: Callable[..., None]
) -> None:
    keys.prepare(RENEWAL, NOON)
    certify()
    keys.activate(NOON)
    module.activate()
    assert WanKeys(module, store, GATEWAY).state == "confirmed"


def test_nothing_is_activated_that_was_not_prepared(keys: WanKeys) -> None:
    assert refused(lambda: keys.activate(NOON)) == "wan_keys.unprepared"
    keys.prepare(RENEWAL, NOON)
    assert refused(lambda: keys.activate(NOON)) == "wan_keys.unprepared"


@pytest.mark.parametrize(
    "dates", [{"not_before": datetime(2026, 11, 23, tzinfo=UTC)}, {"not_after": datetime(2026, 11, 21, tzinfo=UTC)}]
)
def test_certificates_have_to_be_valid_when_there_is_a_time(
    keys: WanKeys, certify: Callable[..., None], dates: dict[str, datetime]
) -> None:
    keys.prepare(RENEWAL, NOON)
    certify(**dates)
    assert refused(lambda: keys.activate(NOON)) == "wan_keys.dates"
    assert keys.activate(None) is True


def test_a_clock_that_is_a_little_slow_is_no_reason_to_refuse_new_certificates(
    keys: WanKeys, certify: Callable[..., None]
) -> None:
    keys.prepare(RENEWAL, NOON)
    certify(not_before=NOON + timedelta(seconds=30))
    assert keys.activate(NOON) is True


def test_the_certificates_of_another_gateway_are_refused(keys: WanKeys, certify: Callable[..., None]) -> None:
    keys.prepare(RENEWAL, NOON)
    assert refused(lambda: certify("EABC0000000002.SMGW")) == "wan_keys.holder"


def test_three_certificates_that_do_not_belong_together_end_the_trial(
    keys: WanKeys, module: SecurityModule, certificate_for: Callable[..., x509.Certificate], store: GatewayStore
) -> None:
    keys.prepare(RENEWAL, NOON)
    for number, slot in enumerate(Group.WAN.slots):
        public = module.key(slot.next).public_key()
        module.install(slot.next, certificate_for(slot, public, f"EABC000000000{number}.SMGW"))
    keys.activate(NOON)
    assert refused(keys.confirm) == "module.certificate.holder"
    assert keys.state == "settled"
    assert module.state(Slot.WAN_TLS) is SlotState.READY
