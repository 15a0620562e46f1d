"""A gateway's triples from the keys in its security module: requested, issued, installed, renewed."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.gateway.security_module import SecurityModule, SlotState
from smpki.gateway.slots import Group, Slot
from smpki.hsm.software_vault import SoftwareVault
from smpki.hsm.token_vault import TokenVault
from smpki.hsm.vault import Vault
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.build_signed import build_authorised_package, build_renewal_package
from smpki.requests.keys import Signer

NO_NAMES = RequestedNames()
GATEWAY = "EABC0000000001.SMGW"


@pytest.fixture(params=["token", "memory"])
def vault(request: pytest.FixtureRequest) -> Vault:
    return TokenVault(request.getfixturevalue("token")) if request.param == "token" else SoftwareVault()


def subject(cn: str, ou: str, number: int) -> x509.Name:
    name = DistinguishedName.of(CN=cn, O="SM-Test-PKI-DE", OU=ou, C="DE", serialNumber=str(number))
    return name.to_x509()


def issue(workshop: Any, package: bytes) -> list[x509.Certificate]:
    """TLS, SIG, ENC."""
    outcome = workshop.issue(package)
    assert outcome.error is None
    return [x509.load_der_x509_certificate(each.der) for each in outcome.certificates]


def change(module: SecurityModule, certificates: list[x509.Certificate]) -> None:
    for slot, certificate in zip(Group.WAN.slots, certificates, strict=True):
        module.install(slot.next, certificate)
    module.activate()
    assert [module.certificate(slot) for slot in Group.WAN.slots] == certificates


def test_from_the_factory_to_a_renewal(workshop: Any, packages: Any, new_keys: Any, vault: Vault) -> None:
    administrator = new_keys()
    _, sig, _ = issue(workshop, packages.make("Verwalter.GWA", OU="Verwalter", keys=administrator))
    authority = Signer(administrator.sig, sig)
    with SecurityModule(vault) as module:

        def make_keys() -> None:
            for slot in Group.WAN.slots:
                module.generate(slot.next)

        # Guetesiegel
        make_keys()
        package = build_initial_package(subject(GATEWAY, "Hersteller", 0), module.next_triple(), NO_NAMES)
        change(module, issue(workshop, package))
        # Wirk, its administrator's word around it
        make_keys()
        package = build_initial_package(subject(GATEWAY, "Verwalter.GWA", 1), module.next_triple(), NO_NAMES)
        change(module, issue(workshop, build_authorised_package(package, authority)))
        wirk = module.certificate(Slot.WAN_SIG)
        # renewed in time by the key that is still current; the administrator has renewed meanwhile
        workshop.now += timedelta(days=365 * 2 - 30)
        previous = Signer(module.key(Slot.WAN_SIG), wirk)
        make_keys()
        package = build_renewal_package(wirk.subject, module.next_triple(), NO_NAMES, previous)
        change(module, issue(workshop, build_authorised_package(package, authority)))
        module.retire()

        signature = module.sign(Slot.WAN_SIG, b"reading")
        public_key = module.certificate(Slot.WAN_SIG).public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        public_key.verify(signature, b"reading", ec.ECDSA(hashes.SHA256()))
        assert module.certificate(Slot.WAN_SIG).serial_number != wirk.serial_number
        assert module.state(Slot.WAN_SIG_NEXT) is SlotState.EMPTY
        assert len(vault.keys()) == 3
