"""The administrator of a gateway: another one counts when it was reached, not before."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import GatewayError
from smpki.gateway.administration import Administration
from smpki.gateway.api import Administrator
from smpki.gateway.slots import Slot
from smpki.gateway.store.store import GatewayStore

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GatewayStore]:
    store = GatewayStore.create(tmp_path / "gateway.db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def make(certificate_for: Callable[..., x509.Certificate]) -> Callable[..., Administrator]:
    def make(name: str, **changes: Any) -> Administrator:
        key = ec.generate_private_key(ec.BrainpoolP256R1()).public_key()
        return Administrator(
            **{
                "name": name,
                **dict.fromkeys(("management", "admin_service", "time"), "gwa.example:4001"),
                "tls": (certificate_for(Slot.WAN_TLS, key, name),),
                "sig": (certificate_for(Slot.WAN_SIG, key, name),),
                **changes,
            }
        )

    return make


def test_another_one_counts_when_it_was_reached(store: GatewayStore, make: Callable[..., Administrator]) -> None:
    old, new = make("Alt.GWA"), make("Neu.GWA")
    administration = Administration(old, store)
    assert administration.propose(new, NOON) is True
    administration = Administration(old, store)  # over a restart
    assert (administration.current, administration.manager) == (old, new)
    assert administration.wakers == (*old.sig, *new.sig)
    assert administration.confirm(NOON) is True
    assert administration.confirm(NOON) is False
    administration = Administration(old, store)
    assert (administration.current, administration.candidate, administration.wakers) == (new, None, new.sig)


def test_one_that_is_not_reached_is_given_up(store: GatewayStore, make: Callable[..., Administrator]) -> None:
    old, new = make("Alt.GWA"), make("Neu.GWA")
    administration = Administration(old, store)
    administration.propose(new, NOON)
    assert [administration.failed(3) for _ in range(3)] == [False, False, True]
    assert administration.manager == old
    administration.propose(new, NOON)
    assert administration.failed(3) is False


def test_the_present_one_again_ends_the_change(store: GatewayStore, make: Callable[..., Administrator]) -> None:
    old, new = make("Alt.GWA"), make("Neu.GWA")
    administration = Administration(old, store)
    administration.propose(new, NOON)
    assert administration.propose(old, NOON) is False
    assert administration.manager == old


def test_certificates_have_to_be_for_what_they_are_given_for(
    store: GatewayStore, make: Callable[..., Administrator]
) -> None:
    good = make("Verwalter.GWA")
    administration = Administration(good, store)
    for wrong in ({"tls": good.sig}, {"sig": good.tls}, {"sig": (*good.sig, *good.tls)}):
        with pytest.raises(GatewayError) as refused:
            administration.propose(make("Neu.GWA", **wrong), NOON)
        assert refused.value.code == "administrator.certificate"
        assert administration.manager == good
