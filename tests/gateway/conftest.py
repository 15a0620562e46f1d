"""What the gateway's tests share."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Group, Slot
from smpki.hsm.software_vault import SoftwareVault
from smpki.hsm.token_vault import TokenVault
from smpki.hsm.vault import Vault
from smpki.requests.model import Purpose

SIG_USES = ("digital_signature",)
_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@pytest.fixture(scope="session")
def make_certificate() -> Callable[..., x509.Certificate]:
    """Makes an end-entity certificate of any key: by default a SIG certificate of 2010 to 2040, signed by nobody known.

    ``make_certificate(public_key, uses=("digital_signature",), extended=None, not_before=..., not_after=...,
    name=...)``
    """
    issuer_key = ec.generate_private_key(ec.BrainpoolP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Aussteller.CA")])

    def make(
        public_key: ec.EllipticCurvePublicKey,
        uses: tuple[str, ...] = SIG_USES,
        extended: x509.ExtendedKeyUsage | None = None,
        not_before: datetime = datetime(2010, 1, 1, tzinfo=UTC),
        not_after: datetime = datetime(2040, 1, 1, tzinfo=UTC),
        name: str = "Verwalter.GWA",
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
        builder = builder.not_valid_before(not_before).not_valid_after(not_after)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        if uses:
            builder = builder.add_extension(x509.KeyUsage(**{name: name in uses for name in _USES}), critical=True)
        if extended:
            builder = builder.add_extension(extended, critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    return make


TLS_PURPOSES = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ExtendedKeyUsageOID.SERVER_AUTH])


@dataclass(frozen=True)
class VaultHome:
    """Where a security module's keys are: in a token, or in memory.

    :param token_home: ``None`` for memory
    """

    memory: SoftwareVault
    token_home: Any = None

    @contextmanager
    def open(self) -> Iterator[Vault]:
        """The vault; what was in it the last time is there again."""
        if self.token_home is None:
            yield self.memory
        else:
            with self.token_home.open() as token:
                yield TokenVault(token)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Nothing more can be stored meanwhile."""
        if self.token_home is None:
            self.memory.capacity = 0
            yield
            self.memory.capacity = None
        else:
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
            yield
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    @contextmanager
    def removed(self) -> Iterator[None]:
        """What is in the vault can't be seen meanwhile."""
        if self.token_home is None:
            contents = self.memory.__dict__
            kept = {name: contents[name] for name in ("_keys", "_objects")}
            contents.update(_keys={}, _objects=[])
            yield
            contents.update(kept)
        else:
            tokens = self.token_home.softhsm.tokens
            away = tokens.rename(tokens.with_name("away"))
            yield
            away.rename(tokens)


@pytest.fixture(params=["token", "memory"])
def vault_home(request: pytest.FixtureRequest) -> VaultHome:
    """An empty vault; the test runs with each kind."""
    return VaultHome(SoftwareVault(), request.getfixturevalue("token_home") if request.param == "token" else None)


@pytest.fixture
def vault(vault_home: VaultHome) -> Iterator[Vault]:
    with vault_home.open() as vault:
        yield vault


@pytest.fixture
def module(vault: Vault) -> Iterator[SecurityModule]:
    """An empty security module."""
    with SecurityModule(vault) as module:
        yield module


@pytest.fixture(scope="session")
def certificate_for(make_certificate: Callable[..., x509.Certificate]) -> Callable[..., x509.Certificate]:
    """``certificate_for(slot, public_key, name=...)``: a certificate as the slot wants it."""

    def make(
        slot: Slot, public_key: ec.EllipticCurvePublicKey, name: str = "EABC0000000001.SMGW", **changes: Any
    ) -> x509.Certificate:
        uses = ("key_agreement", "key_encipherment") if slot.purpose is Purpose.ENC else ("digital_signature",)
        extended = TLS_PURPOSES if slot.purpose is Purpose.TLS else None
        return make_certificate(public_key, **{"uses": uses, "extended": extended, "name": name, **changes})

    return make


@pytest.fixture(scope="session")
def fill_next(certificate_for: Callable[..., x509.Certificate]) -> Callable[..., None]:
    """``fill_next(module, group=WAN, name=...)``: make new keys in the next slots and install certificates for them."""

    def fill(module: SecurityModule, group: Group = Group.WAN, name: str = "EABC0000000001.SMGW") -> None:
        for slot in group.slots:
            module.install(slot.next, certificate_for(slot, module.generate(slot.next), name))

    return fill
