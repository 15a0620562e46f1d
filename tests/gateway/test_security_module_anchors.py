"""Trust anchors in the security module, in a token and in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import GatewayError
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Group, Slot
from smpki.gateway.trust_anchors import AnchorRole, TrustAnchor
from smpki.hsm.vault import ObjectKind, StoredObject, Vault

CURVE = ec.BrainpoolP384R1()


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(GatewayError) as caught:
        yield
    assert caught.value.code == code
    assert caught.value.hint


def root(name: str = "SM-Test-Root.CA", *, ca: bool | None = True, signer: Any = None) -> x509.Certificate:
    key = ec.generate_private_key(CURVE)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1)
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2040, 1, 1, tzinfo=UTC)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(signer or key, hashes.SHA384())


@pytest.fixture(scope="session")
def anchors(certificate_for: Any) -> list[TrustAnchor]:
    """Two roots and the administrator's triple."""

    def certificate(slot: Slot) -> x509.Certificate:
        public_key = ec.generate_private_key(ec.BrainpoolP256R1()).public_key()
        return certificate_for(slot, public_key, "Verwalter.GWA")

    return [
        TrustAnchor(AnchorRole.ROOT, root()),
        TrustAnchor(AnchorRole.ROOT, root()),
        TrustAnchor(AnchorRole.GWA_TLS, certificate(Slot.WAN_TLS)),
        TrustAnchor(AnchorRole.GWA_SIG, certificate(Slot.WAN_SIG)),
        TrustAnchor(AnchorRole.GWA_ENC, certificate(Slot.WAN_ENC)),
    ]


def test_anchors_are_kept_by_role_until_they_are_removed(vault_home: Any, anchors: list[TrustAnchor]) -> None:
    with vault_home.open() as vault, SecurityModule(vault) as module:
        for anchor in [*anchors, *anchors]:
            module.add_anchor(anchor)
    with vault_home.open() as vault, SecurityModule(vault) as module:
        assert len(module.anchors()) == 5
        assert set(module.anchors()) == set(anchors)
        assert set(module.anchors(AnchorRole.ROOT)) == set(anchors[:2])
        assert module.anchors(AnchorRole.GWA_SIG) == (anchors[3],)
        module.remove_anchor(anchors[0])
        assert set(module.anchors()) == set(anchors[1:])
        with refused("module.anchor.missing"):
            module.remove_anchor(anchors[0])


def test_several_are_trusted_at_once_and_none_if_one_is_unfit(
    module: SecurityModule, anchors: list[TrustAnchor]
) -> None:
    with refused("module.anchor.root"):
        module.add_anchor(*anchors, TrustAnchor(AnchorRole.ROOT, anchors[-1].certificate))
    assert module.anchors() == ()
    module.add_anchor(anchors[0])
    module.add_anchor(*anchors)
    assert set(module.anchors()) == set(anchors)
    assert len(module.anchors()) == len(anchors)


def test_a_certificate_is_trusted_in_its_role_only(module: SecurityModule, anchors: list[TrustAnchor]) -> None:
    module.add_anchor(anchors[3])
    with refused("module.anchor.missing"):
        module.remove_anchor(TrustAnchor(AnchorRole.GWA_TLS, anchors[3].certificate))
    assert module.anchors(AnchorRole.GWA_TLS) == ()


def test_modules_in_one_vault_trust_apart(vault: Vault, module: SecurityModule, anchors: list[TrustAnchor]) -> None:
    module.add_anchor(anchors[0])
    with SecurityModule(vault, name="other") as other:
        assert other.anchors() == ()


def test_keys_do_not_touch_anchors(module: SecurityModule, fill_next: Any, anchors: list[TrustAnchor]) -> None:
    module.add_anchor(anchors[0])
    for _ in range(2):
        fill_next(module, Group.LMN)
        module.activate(Group.LMN)
    module.retire(Group.LMN)
    assert module.anchors() == (anchors[0],)


@pytest.mark.parametrize(
    "certificate",
    [root(ca=False), root(ca=None), root(signer=ec.generate_private_key(CURVE))],
    ids=["no CA", "not said to be a CA", "signed with another key"],
)
def test_what_is_no_root_is_not_trusted_as_one(module: SecurityModule, certificate: x509.Certificate) -> None:
    with refused("module.anchor.root"):
        module.add_anchor(TrustAnchor(AnchorRole.ROOT, certificate))
    assert module.anchors() == ()


@pytest.mark.parametrize(
    ("role", "position"),
    [(AnchorRole.GWA_TLS, 3), (AnchorRole.GWA_SIG, 2), (AnchorRole.GWA_SIG, 4), (AnchorRole.GWA_ENC, 3)],
)
def test_an_administrators_certificate_is_for_its_role(
    module: SecurityModule, anchors: list[TrustAnchor], role: AnchorRole, position: int
) -> None:
    with refused("module.anchor.usage"):
        module.add_anchor(TrustAnchor(role, anchors[position].certificate))
    assert module.anchors() == ()


def test_what_is_no_certificate_is_not_trusted(
    module: SecurityModule, vault: Vault, anchors: list[TrustAnchor]
) -> None:
    module.add_anchor(anchors[0])
    kept = next(each for each in vault.objects() if each.kind is ObjectKind.CERTIFICATE)
    vault.drop(kept)
    vault.store(StoredObject(ObjectKind.RECORD, kept.label, kept.value))
    assert module.anchors() == ()
