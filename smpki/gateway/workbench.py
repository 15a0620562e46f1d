"""Where one gateway after another gets its token, its keys and its certificates: the part of a run that is slow.

Each step looks at what is there before it does anything, so that what an interrupted run left is taken up. What it
makes is on disk after :meth:`FactoryFolder.settle`, which the office calls for many gateways at once.
"""

from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import GatewayError
from smpki.gateway.configuration import Configuration, TokenConfiguration, TrustConfiguration, dump_configuration
from smpki.gateway.delivery_record import Module
from smpki.gateway.factory_folder import FactoryFolder, GatewayFolder, read_file, unwritable, write_file
from smpki.gateway.provisioning import Commission
from smpki.gateway.security_module import SecurityModule, SlotState
from smpki.gateway.slots import Group
from smpki.gateway.trust_anchors import AnchorRole, TrustAnchor
from smpki.hsm.pin import random_pin, read_pin, write_pin
from smpki.hsm.softhsm import SoftHsm
from smpki.hsm.token import Token
from smpki.hsm.token_set_up import SetUp, set_up_once
from smpki.hsm.token_vault import TokenVault
from smpki.policy.device_id import DeviceId
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.submission import read_submission

_PARTS = frozenset(
    {
        *("pin", "token", "request.der", "tls.pem", "sig.pem", "enc.pem", "chain.pem", "sub-ca.pem", "root.pem"),
        *("gwa-tls.pem", "gwa-sig.pem", "gwa-enc.pem", "gateway.yaml", "delivery.json"),
    }
)
_WAN = Group.WAN.slots
_ANY = DeviceId(0x0E, "AAA", 0, 0)
"""Stands in the configuration for the gateway's own, so that it is put together once."""


@dataclass(frozen=True)
class Prepared:
    """A gateway with keys.

    :param package: the request package for them
    :param authorised: an earlier run has done so; otherwise it is to be authorised
    """

    package: bytes
    authorised: bool


class Workbench:
    """Makes gateways in a factory's folder; one process's, for SoftHSM's configuration is one per process.

    :param environ: the process's environment; SoftHSM's configuration is set in it
    :param set_up: runs the program that makes tokens
    """

    def __init__(
        self,
        folder: FactoryFolder,
        commission: Commission,
        environ: MutableMapping[str, str],
        set_up: SetUp = set_up_once,
    ) -> None:
        self._set_up = set_up
        self._folder = folder
        self._commission = commission
        self._environ = environ
        self._configuration = dump_configuration(_configuration(commission, _ANY))

    def prepare(self, device: DeviceId) -> Prepared:
        """Make a gateway's token and its keys.

        :raises GatewayError: ``provision.folder.foreign``, ``provision.package.*``, ``provision.unwritable``
        :raises TokenError: what the token refuses
        """
        place = self._folder.gateway(device)
        _make_folder(place)
        label = device.dns
        if not place.pin.exists():
            write_pin(place.pin, random_pin())
        softhsm = SoftHsm(place.token, set_up=self._set_up)
        if not softhsm.tokens.is_dir() or not any(softhsm.tokens.iterdir()):
            # nobody needs to know the security officer's PIN: who has lost the user's makes another gateway
            softhsm.create_token(label, read_pin(file=place.pin, value=None, prompt=None), random_pin())
        with self._opened(place, label) as (_, module):
            if (authorised := read_file(place.package)) is not None:
                _check_package(authorised, module, place.package)
                return Prepared(authorised, authorised=True)
            if any(module.state(slot) is not SlotState.EMPTY for slot in _WAN):
                message = "the gateway has certificates, but the package is gone that they were issued for"
                hint = "put it back, or move the gateway's folder away and start again"
                raise GatewayError("provision.package.missing", message, where=str(place.package), hint=hint)
            module.generate_missing()
            package = build_initial_package(self._subject(device), module.next_triple(), RequestedNames())
            return Prepared(package, authorised=False)

    def complete(self, device: DeviceId, certificates: Sequence[bytes], chain: Sequence[bytes]) -> Module:
        """Give a gateway its certificates and trust anchors, and write its files but the record.

        :param certificates: TLS, SIG and ENC, DER
        :param chain: the CAs above them, from the root down, DER
        :return: what the token says of itself
        :raises GatewayError: ``module.*``: a certificate that does not belong into the gateway;
            ``provision.unwritable``
        :raises TokenError: what the token refuses
        """
        place = self._folder.gateway(device)
        triple, above = _loaded(certificates), _loaded(chain)
        trusted = {AnchorRole.ROOT: above[0]} | {
            role: x509.load_der_x509_certificate(der) for role, der in self._commission.trusted.items()
        }
        with self._opened(place, device.dns) as (token, module):
            anchors = [TrustAnchor(role, anchor) for role, anchor in trusted.items()]
            for former in set(module.anchors()) - set(anchors):  # of a run that was for another administrator
                module.remove_anchor(former)
            if _is_current(module, triple):
                module.add_anchor(*anchors)
            else:
                module.activate(Group.WAN, dict(zip((slot.next for slot in _WAN), triple, strict=True)), anchors)
            about = token.info()
        files = {
            **{f"{slot.purpose.value}.pem": [one] for slot, one in zip(_WAN, triple, strict=True)},
            "chain.pem": above,
            "root.pem": above[:1],
            "sub-ca.pem": above[:0:-1],  # as TLS sends them: the issuer first, the root not at all
            **{f"{role.value}.pem": [one] for role, one in trusted.items() if role is not AnchorRole.ROOT},
        }
        for name, content in files.items():
            write_file(place.path / name, b"".join(one.public_bytes(Encoding.PEM) for one in content))
        write_file(place.path / "gateway.yaml", self._configuration.replace(_ANY.dns, device.dns).encode())
        return Module(
            label=about.label,
            manufacturer=about.manufacturer,
            model=about.model,
            serial=about.serial,
            library=about.library_version,
            firmware=about.firmware_version,
        )

    def _subject(self, device: DeviceId) -> x509.Name:
        """The subject of a quality seal (SM-PKI Certificate Policy annex A; real certificates of 2023 to 2026)."""
        name = DistinguishedName.of(
            CN=f"{device}.SMGW",
            O=self._commission.organisation,
            OU=self._commission.manufacturer,
            C=self._commission.country,
            serialNumber="0",
        )
        return name.to_x509()

    @contextmanager
    def _opened(self, place: GatewayFolder, label: str) -> Iterator[tuple[Token, SecurityModule]]:
        softhsm = SoftHsm(place.token)
        softhsm.activate(self._environ)
        pin = read_pin(file=place.pin, value=None, prompt=None)
        with (
            Token.open(None, label, pin, lock=softhsm.lock) as token,
            SecurityModule(TokenVault(token, durable=False)) as module,
        ):
            yield token, module


def _configuration(commission: Commission, device: DeviceId) -> Configuration:
    return Configuration(
        id=device,
        token=TokenConfiguration(folder=Path("token"), label=device.dns, pin_file=Path("pin")),
        data=Path("data"),
        wake_up=commission.wake_up,
        administrator=commission.administrator,
        trust=TrustConfiguration(anchors=(Path("root.pem"),), chain=(Path("sub-ca.pem"),)),
    )


def _make_folder(place: GatewayFolder) -> None:
    """The folder, with nothing in it but what a run leaves."""
    try:
        place.path.mkdir(exist_ok=True)
        for path in place.path.iterdir():
            if path.name.startswith(f".{place.pin.name}."):
                path.unlink()  # a PIN that was not finished
            elif path.name.removeprefix(".").removesuffix(".draft") not in _PARTS:
                message = f"the gateway's folder holds something else: {path.name}"
                hint = "move it away, or choose another --out"
                raise GatewayError("provision.folder.foreign", message, where=str(place.path), hint=hint)
    except OSError as error:
        raise unwritable(place.path, error) from None


def _check_package(authorised: bytes, module: SecurityModule, file: Path) -> None:
    """The package that is there is for the keys that are there, whether they are current already or not yet."""
    requested = [request.public_key for request in read_submission(authorised).package.requests]
    held = [module.key(slot if module.state(slot.next) is SlotState.EMPTY else slot.next) for slot in _WAN]
    if requested != [key.public_key() for key in held]:
        message = "the request package is not for the keys in the gateway's token"
        hint = "token and package belong together: restore both, or move the gateway's folder away"
        raise GatewayError("provision.package.keys", message, where=str(file), hint=hint)


def _is_current(module: SecurityModule, triple: Sequence[x509.Certificate]) -> bool:
    return all(
        module.state(slot) is SlotState.READY and module.certificate(slot) == certificate
        for slot, certificate in zip(_WAN, triple, strict=True)
    )


def _loaded(certificates: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_der_x509_certificate(one) for one in certificates)
