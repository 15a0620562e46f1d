"""A gateway's configuration file, ``gateway.yaml``: what stands in it, and how it is read and written."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self, TypeVar
from urllib.parse import urlsplit

import yaml
from cryptography import x509
from pydantic import AfterValidator, Field, PlainSerializer, StrictInt, ValidationInfo, model_validator

from smpki.errors import GatewayError, RequestError
from smpki.gateway.api import Administrator
from smpki.gateway.api_types import Address, Meter, split_address
from smpki.policy.document import Document, Wording
from smpki.policy.model import Strict
from smpki.requests.model import Purpose
from smpki.requests.template import purpose_of
from smpki.trust.files import read_certificates, read_crls

M = TypeVar("M", bound=Strict)

_WORDING = Wording(
    GatewayError,
    "configuration",
    hint="mend this line; docs/gateway.md describes the file",
    start="take the gateway.yaml that `smpki gateway provision` writes",
)
_FOLDER = "folder"
_DAY = 86_400


def _below(path: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get(_FOLDER, Path())
    return folder / path


def _source(value: str, info: ValidationInfo) -> str:
    """``tcp://host:port``, or ``file:`` and a path, which is made absolute."""
    if value.startswith("file:") and value != "file:":
        return f"file:{_below(Path(value.removeprefix('file:')), info)}"
    parts = urlsplit(value)
    if parts.scheme != "tcp" or parts.path or parts.query or parts.fragment:
        raise ValueError("write it like tcp://host:port or file:path")
    split_address(parts.netloc)
    return value


FilePath = Annotated[Path, AfterValidator(_below), PlainSerializer(str)]
"""A path; where it is relative, it is relative to the configuration file's folder."""

Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[StrictInt, Field(ge=1)]
Count = Annotated[StrictInt, Field(ge=1, le=1_000_000)]


class TokenConfiguration(Strict):
    """The token of the security module.

    :param module: PKCS#11 module, see :func:`smpki.hsm.module.find_module`; ``None``: SoftHSM
    :param folder: SoftHSM's (:class:`smpki.hsm.softhsm.SoftHsm`); of another module, where its lock file is
    :param label: the token's
    :param pin_file: of mode 0600
    """

    module: Text | None = None
    folder: FilePath
    label: Text
    pin_file: FilePath


class WakeUpConfiguration(Strict):
    """Where wake-ups come in, the only port that is open to the WAN.

    :param listen: address and UDP port
    :param window_seconds: how far a wake-up's time may be from the gateway's, before and after
    """

    listen: Address
    window_seconds: Annotated[StrictInt, Field(ge=1, le=_DAY)] = 60


class AdministratorConfiguration(Strict):
    """The administrator at first; what the administrator sets later counts before that.

    :param name: CN of the certificates
    :param management: host:port for MANAGEMENT
    :param admin_service: for ADMIN-SERVICE
    :param time: for the time
    :param server_name: to ask for (SNI)
    :param certificates: files with their TLS and SIG certificates; ENC ones may be among them
    """

    name: Text
    management: Address
    admin_service: Address
    time: Address
    server_name: Text | None = None
    certificates: Annotated[tuple[FilePath, ...], Field(min_length=1)]

    def load(self) -> Administrator:
        """The administrator with the certificates of the files.

        :raises GatewayError: ``configuration.certificate``: a file that can't be read, a certificate for no purpose,
            or none for TLS or SIG
        :raises TrustError: a file holds no certificate
        """
        found: dict[Purpose, list[x509.Certificate]] = {purpose: [] for purpose in Purpose}
        for path in self.certificates:
            for certificate in load_certificates(path):
                found[_purpose(certificate, path)].append(certificate)
        for purpose in (Purpose.TLS, Purpose.SIG):
            if not found[purpose]:
                raise _certificate_refused(f"no {purpose.value.upper()} certificate of the administrator is there")
        return Administrator(
            name=self.name,
            management=self.management,
            admin_service=self.admin_service,
            time=self.time,
            server_name=self.server_name,
            tls=tuple(found[Purpose.TLS]),
            sig=tuple(found[Purpose.SIG]),
        )


class MeterConfiguration(Strict):
    """A line that meters send on.

    :param source: ``tcp://host:port`` of an adapter, or ``file:path``
    :param meter: the only one whose telegrams are taken from there; ``None``: whatever comes
    """

    source: Annotated[str, AfterValidator(_source)]
    meter: Meter | None = None

    @property
    def file(self) -> Path | None:
        """The file, if it is one."""
        return Path(self.source.removeprefix("file:")) if self.source.startswith("file:") else None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, if it is no file."""
        return split_address(self.source.removeprefix("tcp://"))


class TrustConfiguration(Strict):
    """What the self-test checks the gateway's own certificates against.

    :param anchors: files with roots
    :param chain: files with the Sub-CA certificates in between; they are shown to TLS peers too
    :param crl_folder: of revocation lists, ``*.crl``; without it revocation is not looked at
    """

    anchors: tuple[FilePath, ...] = ()
    chain: tuple[FilePath, ...] = ()
    crl_folder: FilePath | None = None


class Times(Strict):
    """How often, and how long. No text has these figures; they are chosen here.

    :param management_every_seconds: MANAGEMENT is opened so often without being asked
    :param management_idle_seconds: without a request for so long it is closed
    :param time_every_seconds: the time is asked for so often; the first time at once
    :param retry_seconds: pause after the first failure of a connection to the administrator; it doubles each time
    :param longest_retry_seconds: longest such pause
    :param report_retry_seconds: the same for deliveries
    :param report_longest_retry_seconds: the same
    :param connect_seconds: how long a server may take for the TLS handshake, and the way there before it
    :param answer_seconds: how long a server may take for its answer (REQ.Webservice.HttpServer.190)
    :param notify_every_seconds: pause between notifications at least, after a few at once
    :param trial_attempts: connections that may fail with new keys or a new administrator before the former ones count
        again
    :param self_test_every_seconds: the self-test runs so often by itself
    :param warn_before_seconds: that a certificate ends is told so long before
    """

    management_every_seconds: Seconds = _DAY
    management_idle_seconds: Seconds = 60
    time_every_seconds: Annotated[StrictInt, Field(ge=60)] = 3_600
    retry_seconds: Seconds = 60
    longest_retry_seconds: Seconds = 3_600
    report_retry_seconds: Seconds = 60
    report_longest_retry_seconds: Seconds = 3_600
    connect_seconds: Seconds = 20
    answer_seconds: Seconds = 20
    notify_every_seconds: Seconds = 10
    trial_attempts: Count = 3
    self_test_every_seconds: Seconds = _DAY
    warn_before_seconds: Seconds = 30 * _DAY

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for first, longest in (
            ("retry_seconds", "longest_retry_seconds"),
            ("report_retry_seconds", "report_longest_retry_seconds"),
        ):
            if getattr(self, first) > getattr(self, longest):
                raise ValueError(f"{first} is more than {longest}")
        return self


class Limits(Strict):
    """How much. Chosen here too.

    :param readings_per_delivery: most readings in one delivery
    :param notifications_waiting: so many of the latest wait for the administrator at most; older ones stay in the log
    :param readings_kept_days: readings that everybody has who is to have them are removed after so long
    """

    readings_per_delivery: Count = 1_000
    notifications_waiting: Count = 1_000
    readings_kept_days: Annotated[StrictInt, Field(ge=1, le=36_500)] = 730


class Configuration(Strict):
    """A gateway's configuration.

    :param id: the gateway's device id, in lower case
    :param token: the security module's token
    :param software_keys: a file of mode 0600 instead of a token, with keys that nothing protects: for tests only
    :param data: folder of the database and other state
    """

    id: Meter
    token: TokenConfiguration | None = None
    software_keys: FilePath | None = None
    data: FilePath
    wake_up: WakeUpConfiguration
    administrator: AdministratorConfiguration
    meters: tuple[MeterConfiguration, ...] = ()
    trust: TrustConfiguration = TrustConfiguration()
    times: Times = Times()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.id.is_gateway:
            raise ValueError("id: a gateway's device id begins with e")
        if (self.token is None) == (self.software_keys is None):
            raise ValueError("give token, or software_keys for tests, and not both")
        return self

    @property
    def window(self) -> timedelta:
        """How far the time of a wake-up may be from the gateway's."""
        return timedelta(seconds=self.wake_up.window_seconds)


def load_configuration(file: Path) -> Configuration:
    """Read a configuration file.

    :raises GatewayError: see :func:`read_configuration`
    """
    return read_configuration(file, Configuration, _WORDING)


def read_configuration(file: Path, model: type[M], wording: Wording) -> M:
    """Read the configuration file of any of the services; relative paths in it are made absolute.

    :param model: has the paths as :data:`FilePath`
    :param wording: its area is ``configuration``
    :raises GatewayError: ``configuration.unreadable``, ``configuration.yaml`` or ``configuration.invalid``; ``where``
        is ``file:line: path``
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "this is not UTF-8"
        message = f"the configuration can't be read: {reason}"
        raise GatewayError("configuration.unreadable", message, where=str(file), hint="check the path") from None
    return Document(text, str(file), wording).load(model, context={_FOLDER: file.parent.absolute()})


def dump_configuration(configuration: Configuration) -> str:
    """The text of a configuration file; what is as it would be anyway is left out, paths are as they were given."""
    return yaml.safe_dump(configuration.model_dump(mode="json", exclude_defaults=True), sort_keys=False)


def load_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a file that the configuration names.

    :raises GatewayError: ``configuration.certificate``
    :raises TrustError: the file holds no certificate
    """
    return read_certificates(_content(path), str(path))


def load_crls(path: Path) -> tuple[x509.CertificateRevocationList, ...]:
    """The revocation lists of a file beside the configuration.

    :raises GatewayError: ``configuration.certificate``
    :raises TrustError: the file holds none
    """
    return read_crls(_content(path), str(path))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _certificate_refused(f"can't be read: {error.strerror}", str(path)) from None


def _purpose(certificate: x509.Certificate, path: Path) -> Purpose:
    try:
        return purpose_of(certificate.extensions, "the certificate")
    except RequestError as error:
        raise _certificate_refused(error.message, str(path)) from None
    except ValueError:
        raise _certificate_refused("its extensions can't be read", str(path)) from None


def _certificate_refused(message: str, where: str = "administrator.certificates") -> GatewayError:
    hint = "name the files with the administrator's TLS and SIG certificates"
    return GatewayError("configuration.certificate", message, where=where, hint=hint)
