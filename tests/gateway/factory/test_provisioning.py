"""Gateways are made, from the device id to the delivery record; what stands in the way is said, and taken up after."""

import os
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import SmpkiError, StoreError, TokenError
from smpki.gateway.configuration import load_configuration
from smpki.gateway.delivery_check import Trust, check_delivery
from smpki.gateway.delivery_record import read_delivery
from smpki.gateway.factory import Report
from smpki.gateway.factory_folder import FactoryFolder
from smpki.gateway.provisioning import Issuance
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Slot
from smpki.gateway.trust_anchors import AnchorRole
from smpki.hsm.pin import read_pin
from smpki.hsm.softhsm import SoftHsm
from smpki.hsm.token import Token
from smpki.hsm.token_vault import TokenVault
from smpki.service.issuing import LocalSubCa

SUB_CA = "Beispiel.CA"
Devices = Callable[[], Any]


def refused(code: str) -> Any:
    return pytest.raises(SmpkiError, check=lambda error: error.code == code)  # type: ignore[call-overload]


def codes(reports: Sequence[Report]) -> list[str]:
    """What became of each gateway: its state, or why it failed."""
    return [report.error.code if report.error else report.state for report in reports]


def read_pem(file: Path) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(file.read_bytes()))


@contextmanager
def opened(folder: Path) -> Iterator[Token]:
    """A gateway's token, as its configuration says."""
    token = load_configuration(folder / "gateway.yaml").token
    assert token is not None
    softhsm = SoftHsm(token.folder)
    softhsm.activate(os.environ)
    pin = read_pin(file=token.pin_file, value=None, prompt=None)
    with Token.open(token.module, token.label, pin, lock=softhsm.lock) as opened:
        yield opened


def issued(plant: Any, device: Any) -> list[Any]:
    """All certificates that the Sub-CA has for a gateway."""
    with plant.pki() as pki:
        return list(pki.store.page(cn=f"{device}.SMGW", limit=100).certificates)


class Watched:
    """A Sub-CA in whose way something may be.

    :param before: called with the packages, ``after`` when they are granted
    :ivar packages: all that it was given
    """

    def __init__(self, before: Any = None, after: Any = None) -> None:
        self.packages: list[bytes] = []
        self._before, self._after = before, after

    def __call__(self, pki: Any) -> "Watched":
        self._sub_ca = LocalSubCa(pki, SUB_CA)
        return self

    def issue(self, packages: Sequence[bytes]) -> Sequence[Issuance]:
        self.packages += packages
        if self._before:
            self._before()
        answers = self._sub_ca.issue(packages)
        if self._after:
            self._after()
        return answers

    def chain(self) -> tuple[x509.Certificate, ...]:
        return self._sub_ca.chain()


def fail(error: SmpkiError) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


# A gateway


def test_a_gateway_leaves_the_factory_whole(plant: Any, device: Devices) -> None:
    one = device()
    (report,) = plant.make([one])
    assert (report.device, report.state, report.error) == (one, "provisioned", None)
    folder = plant.out / one.dns
    triple = [certificate for use in ("tls", "sig", "enc") for certificate in read_pem(folder / f"{use}.pem")]
    root, sub_ca = read_pem(folder / "chain.pem")
    assert (read_pem(folder / "root.pem"), read_pem(folder / "sub-ca.pem")) == ((root,), (sub_ca,))
    for certificate in triple:
        certificate.verify_directly_issued_by(sub_ca)
        subject = [(part.rfc4514_attribute_name, part.value) for part in certificate.subject]
        assert subject[:2] == [("CN", f"{one}.SMGW"), ("O", "SM-Test-PKI-DE")]
        assert subject[2:4] == [("OU", "Hersteller"), ("C", "DE")]
        assert subject[4][1] == "0"
    with opened(folder) as token, SecurityModule(TokenVault(token)) as module:
        assert [module.certificate(slot) for slot in (Slot.WAN_TLS, Slot.WAN_SIG, Slot.WAN_ENC)] == triple
        signature = module.sign(Slot.WAN_SIG, b"data")
        anchors = {anchor.role: anchor.certificate for anchor in module.anchors()}
        about = token.info()
    triple[1].public_key().verify(signature, b"data", ec.ECDSA(hashes.SHA256()))  # type: ignore[union-attr, call-arg, arg-type]
    files = {role: read_pem(folder / f"{role.value}.pem")[0] for role in AnchorRole}
    assert anchors == files
    assert files[AnchorRole.GWA_TLS] == read_pem(plant.world / "Verwalter.GWA" / "tls.pem")[0]
    record = report.record
    assert record.module.serial == about.serial
    assert record.gwa.name == "Verwalter.GWA"
    delivery = read_delivery((folder / "delivery.json").read_bytes())
    assert delivery.record == record
    manufacturer = plant.manufacturer.certificate
    assert check_delivery(delivery, Trust((root,), plant.now, manufacturer)) == ()


def test_its_configuration_is_complete(plant: Any, device: Devices) -> None:
    one = device()
    plant.make([one])
    folder = plant.out / one.dns
    configuration = load_configuration(folder / "gateway.yaml")
    assert configuration.id == one
    assert configuration.trust.anchors == (folder / "root.pem",)
    administrator = configuration.administrator.load()
    assert (administrator.name, administrator.management, administrator.time) == (
        "Verwalter.GWA",
        "gwa.example:7001",
        "gwa.example:7003",
    )
    assert administrator.sig == read_pem(plant.world / "Verwalter.GWA" / "sig.pem")


def test_nobody_else_can_read_its_secrets(plant: Any, device: Devices) -> None:
    one = device()
    plant.make([one])
    folder = plant.out / one.dns
    assert (folder / "pin").stat().st_mode & 0o777 == 0o600
    assert (folder / "token").stat().st_mode & 0o777 == 0o700
    pin = (folder / "pin").read_text().strip()
    assert len(pin) == 16
    others = [path for path in folder.rglob("*") if path.is_file() and path.name != "pin"]
    assert not any(pin.encode() in path.read_bytes() for path in others)


# Runs


def test_what_is_delivered_is_not_made_again(plant: Any, device: Devices) -> None:
    some = [device() for _ in range(3)]
    first = plant.make(some[:2])
    assert codes(first) == ["provisioned"] * 2
    issuer = Watched()
    second = plant.make(some, issuer=issuer)
    assert {report.device: report.state for report in second} == dict(
        zip(some, ("known", "known", "provisioned"), strict=True)
    )
    assert len(issuer.packages) == 1
    known = {report.device: report.record for report in second if report.state == "known"}
    assert known == {report.device: report.record for report in first}


def test_one_that_fails_keeps_nobody_back(plant: Any, device: Devices) -> None:
    some = [device() for _ in range(3)]
    bench = plant.bench()
    bench.troubles[some[1]] = TokenError("token.removed", "the token is gone")
    reports = plant.make(some, bench=bench)
    assert {report.device: report.state for report in reports} == dict(
        zip(some, ("provisioned", "failed", "provisioned"), strict=True)
    )
    assert codes(plant.make(some)) == ["known", "known", "provisioned"]


def test_more_gateways_than_are_in_the_making_at_once(plant: Any, device: Devices, monkeypatch: Any) -> None:
    monkeypatch.setattr("smpki.gateway.factory._EACH_WORKERS", 2)
    some = [device() for _ in range(5)]
    issuer = Watched()
    reports = plant.make(some, issuer=issuer)
    assert sorted(report.device for report in reports) == some
    assert codes(reports) == ["provisioned"] * 5


# The issuer


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_issuer_that_breaks_down_gets_the_same_package_again(plant: Any, device: Devices, when: str) -> None:
    one = device()
    broken = Watched(**{when: fail(StoreError("store.unreachable", "no database"))})
    with refused("store.unreachable"):
        plant.make([one], issuer=broken)
    whole = Watched()
    assert codes(plant.make([one], issuer=whole)) == ["provisioned"]
    assert whole.packages == broken.packages
    assert len(issued(plant, one)) == 3


def test_what_a_revoked_manufacturer_asks_for_is_asked_for_anew(plant: Any, device: Devices, enrol: Any) -> None:
    one = device()
    with plant.pki() as pki:
        pki.revocations.revoke([f"{plant.manufacturer.certificate.serial_number:032x}"], "cessation_of_operation")
    issuer = Watched()
    assert codes(plant.make([one], issuer=issuer)) == ["request.authorisation.signer.revoked"]
    assert not (plant.out / one.dns / "request.der").exists()
    for file in (plant.world / plant.maker).iterdir():
        file.unlink()
    enrol(plant.world, plant.maker)
    assert codes(plant.make([one], issuer=issuer)) == ["provisioned"]
    assert len(set(issuer.packages)) == 2
    with opened(plant.out / one.dns) as token:
        assert len(token.keys()) == 3


def test_a_sub_ca_that_is_not_there(plant: Any, device: Devices) -> None:
    with refused("issuing.issuer.unknown"):
        plant.make([device()], issuer=lambda pki: LocalSubCa(pki, "Niemand.CA"))


def test_the_sub_ca_gives_its_chain(plant: Any) -> None:
    with plant.pki() as pki:
        root, sub_ca = LocalSubCa(pki, SUB_CA).chain()
    assert (root, sub_ca) == read_pem(plant.world / plant.maker / "chain.pem")


# Other people's things


def test_the_folder_belongs_to_a_manufacturer_and_an_issuer(plant: Any, device: Devices) -> None:
    one = device()
    plant.make([one])
    with refused("provision.out.owner"):
        replace(plant, maker="Anderer.GWH").make([one])
    with (
        refused("provision.out.owner"),
        FactoryFolder(plant.out).used_by({"manufacturer": plant.maker, "issuer": "X.CA"}),
    ):
        pass
    assert codes(plant.make([one])) == ["known"]


def test_another_manufacturer_does_not_get_the_gateways_certificates(plant: Any, device: Devices) -> None:
    one = device()
    plant.make([one])
    other = replace(plant, maker="Anderer.GWH", out=plant.out.with_name("other"))
    assert codes(other.make([one])) == ["request.authorisation.manufacturer"]
    assert len(issued(plant, one)) == 3
    with plant.pki() as pki:
        assert pki.store.revocations.among([each.serial for each in issued(plant, one)]) == {}


def test_a_folder_with_something_else_is_left_alone(plant: Any, device: Devices) -> None:
    plant.out.mkdir()
    (plant.out / "thesis.odt").write_text("years of work")
    with refused("provision.out.foreign"):
        plant.make([device()])
    assert sorted(path.name for path in plant.out.iterdir()) == [".lock", "thesis.odt"]


def test_a_gateways_folder_with_something_else_is_left_alone(plant: Any, device: Devices) -> None:
    one, other = device(), device()
    (plant.out / one.dns).mkdir(parents=True)
    (plant.out / one.dns / "notes").write_text("mine")
    (plant.out / "factory.json").write_text(f'{{"manufacturer":"{plant.maker}","issuer":"{SUB_CA}"}}\n')
    assert codes(plant.make([one, other])) == ["provision.folder.foreign", "provisioned"]
    assert [path.name for path in (plant.out / one.dns).iterdir()] == ["notes"]


def test_two_runs_at_once_are_one_too_many(plant: Any, device: Devices) -> None:
    owner = {"manufacturer": plant.maker, "issuer": SUB_CA}
    with FactoryFolder(plant.out).used_by(owner), refused("provision.out.busy"):
        plant.make([device()])


def test_a_gateway_that_was_delivered_to_somebody_else(plant: Any, device: Devices) -> None:
    one = device()
    plant.make([one])
    before = (plant.out / one.dns / "delivery.json").read_bytes()
    assert codes(replace(plant, receiver="Neu.GWA").make([one])) == ["provision.delivered"]
    assert (plant.out / one.dns / "delivery.json").read_bytes() == before


def test_an_administrator_who_changes_before_the_gateway_is_delivered(plant: Any, device: Devices) -> None:
    one = device()
    plant.make([one])
    (plant.out / one.dns / "delivery.json").unlink()
    assert codes(replace(plant, receiver="Neu.GWA").make([one])) == ["provisioned"]
    with opened(plant.out / one.dns) as token, SecurityModule(TokenVault(token)) as module:
        anchors = {anchor.role: anchor.certificate for anchor in module.anchors()}
        assert len(module.anchors()) == len(anchors) == 4
    assert anchors[AnchorRole.GWA_SIG] == read_pem(plant.world / "Neu.GWA" / "sig.pem")[0]
    assert load_configuration(plant.out / one.dns / "gateway.yaml").administrator.name == "Neu.GWA"
    assert len(issued(plant, one)) == 3


def test_a_damaged_delivery_record(plant: Any, device: Devices) -> None:
    one = device()
    plant.make([one])
    file = plant.out / one.dns / "delivery.json"
    file.write_bytes(file.read_bytes()[:-100])
    assert codes(plant.make([one])) == ["delivery.json"]


# Disk and token


@contextmanager
def full_disk() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("act", ["prepare", "complete"])
def test_a_full_disk_at_the_workbench(plant: Any, device: Devices, act: str) -> None:
    one, bench = device(), plant.bench()
    submit = bench.submit

    def full(function: Any, *arguments: Any) -> Any:
        if function.__name__ != act:
            return submit(function, *arguments)
        with full_disk():
            return submit(function, *arguments)

    bench.submit = full
    (code,) = codes(plant.make([one], bench=bench))
    assert code in ("token.pin.file_unwritable", "token.full")
    assert codes(plant.make([one])) == ["provisioned"]
    assert len(issued(plant, one)) == 3


@pytest.mark.parametrize("file", ["request.der", "delivery.json"])
def test_a_full_disk_in_the_office(plant: Any, device: Devices, file: str, monkeypatch: Any) -> None:
    from smpki.gateway import factory_office

    one = device()
    names = ("write_file", "write_draft")
    own = {name: getattr(factory_office, name) for name in names}
    for name in names:

        def write(path: Path, content: bytes, name: str = name) -> None:
            if path.name != file:
                return own[name](path, content)  # type: ignore[no-any-return]
            with full_disk():
                return own[name](path, content)  # type: ignore[no-any-return]

        monkeypatch.setattr(factory_office, name, write)
    assert codes(plant.make([one])) == ["provision.unwritable"]
    monkeypatch.undo()
    assert codes(plant.make([one])) == ["provisioned"]
    assert len(issued(plant, one)) == 3


def interrupted(plant: Any, one: Any) -> Path:
    """A gateway whose package was authorised, and no more."""
    with refused("store.unreachable"):
        plant.make([one], issuer=Watched(before=fail(StoreError("store.unreachable", "no database"))))
    folder: Path = plant.out / one.dns
    return folder


def test_a_token_of_another_gateway(plant: Any, device: Devices) -> None:
    one, other = device(), device()
    folders = interrupted(plant, one), interrupted(plant, other)
    packages = [folder / "request.der" for folder in folders]
    packages[0].rename(packages[0].with_name("away"))
    packages[1].rename(packages[0])
    packages[0].with_name("away").rename(packages[1])
    assert codes(plant.make([one, other])) == ["provision.package.keys"] * 2


def test_a_package_that_is_gone(plant: Any, device: Devices) -> None:
    one = device()
    plant.make([one])
    (plant.out / one.dns / "delivery.json").unlink()
    (plant.out / one.dns / "request.der").unlink()
    assert codes(plant.make([one])) == ["provision.package.missing"]
    assert len(issued(plant, one)) == 3


def test_half_a_key_pair_is_replaced(plant: Any, device: Devices) -> None:
    from pkcs11 import Attribute, ObjectClass

    one = device()
    folder = interrupted(plant, one)
    (folder / "request.der").unlink()  # as if it had not come so far
    softhsm = SoftHsm(folder / "token")
    softhsm.activate(os.environ)
    pin = read_pin(file=folder / "pin", value=None, prompt=None)
    with Token.open(None, one.dns, pin, lock=softhsm.lock) as token, token.channel("break", changing=True) as channel:
        (half, *_) = channel.session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY})
        half.destroy()
    assert codes(plant.make([one])) == ["provisioned"]
    with opened(folder) as token:
        assert len(token.keys()) == 3


# The parties


def test_the_manufacturer_is_one_and_in_force(plant: Any, device: Devices) -> None:
    with refused("provision.gwh.role"):
        replace(plant, maker="Verwalter.GWA").make([device()])
    with refused("provision.gwh.expired"):
        replace(plant, now=plant.now + timedelta(days=3000)).office()
    (plant.world / plant.maker / "sig.key").write_bytes((plant.world / plant.maker / "tls.key").read_bytes())
    with refused("provision.gwh.key"):
        plant.office()


def test_the_administrator_is_one(plant: Any) -> None:
    with refused("provision.gwa.role"):
        replace(plant, receiver="Hersteller.GWH").office()
    receiver = plant.world / plant.receiver
    (receiver / "enc.pem").write_bytes((plant.world / "Neu.GWA" / "enc.pem").read_bytes())
    with refused("provision.gwa.name"):
        plant.office()
    (receiver / "enc.pem").write_bytes((receiver / "sig.pem").read_bytes())
    with refused("provision.gwa.role"):
        plant.office()
