"""An administrator's configuration file: what stands in it, and how it is read."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StrictFloat, StrictInt, model_validator

from smpki.errors import GatewayError
from smpki.gateway.api_types import Address
from smpki.gateway.configuration import Count, FilePath, Seconds, Text, TokenConfiguration, read_configuration
from smpki.policy.document import Wording
from smpki.policy.model import Strict

_WORDING = Wording(
    GatewayError,
    "configuration",
    hint="mend this line; docs/administrator.md describes the file",
    start="take the example of docs/administrator.md",
)
_DAY = 86_400

Days = Annotated[StrictInt, Field(ge=1, le=3_650)]


class Places(Strict):
    """Where gateways connect to: one address for each kind of connection.

    :param management: for MANAGEMENT
    :param admin_service: for ADMIN-SERVICE
    :param time: for the time
    """

    management: Address
    admin_service: Address
    time: Address


class PublicPlaces(Places):
    """How gateways reach these places; they are told when another administrator hands them over.

    :param server_name: to ask for when connecting (SNI)
    """

    server_name: Text | None = None


class TrustConfiguration(Strict):
    """What gateways, and those who deliver them, are checked against.

    :param anchors: files with the trusted roots
    :param authorities: files with Sub-CAs, link certificates and CRL signers, as far as peers don't send them
    :param crl_folder: revocation lists (``*.crl``) and their signers (``*.cer``), as ``smpki crl publish`` leaves them;
        read again when one changes. ``None``: revocation lists are not looked at; for tests
    """

    anchors: Annotated[tuple[FilePath, ...], Field(min_length=1)]
    authorities: tuple[FilePath, ...] = ()
    crl_folder: FilePath | None = None


class IssuerConfiguration(Strict):
    """Who grants packages, and acts on revocation requests and changes of administrator: the Sub-CA of a PKI on this
    computer, or a web service (TR-03129-4), which has to be that of the Sub-CA that issued the own triple.

    :param home: the PKI's folder
    :param sub_ca: CN of the Sub-CA
    :param url: of the web service
    """

    home: FilePath | None = None
    sub_ca: Text | None = None
    url: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        here, there = (self.home is not None, self.sub_ca is not None), self.url is not None
        if here not in ((True, True), (False, False)) or any(here) == there:
            raise ValueError("give home and sub_ca, or url")
        return self


class TimesConfiguration(Strict):
    """How often, and how long. No text has these figures; they are chosen here.

    :param job_seconds: a job that is not done after so long has failed
    :param retry_seconds: pause after the first failure of a step; it doubles each time
    :param longest_retry_seconds: longest such pause
    :param wake_seconds: pause between the first two wake-ups; it doubles each time
    :param longest_wake_seconds: longest such pause
    :param linger_seconds: so long a gateway is kept connected with nothing to do
    :param answer_seconds: how long a gateway may take for its answer (REQ.Webservice.HttpServer.190)
    :param hand_over_seconds: a gateway that stayed away for so long is with its new administrator
    :param look_seconds: pause between looks for certificates that end
    :param renew_before_days: certificates are renewed so long before their end
    :param renew_again_seconds: pause after a renewal that failed
    """

    job_seconds: Seconds = _DAY
    retry_seconds: Seconds = 10
    longest_retry_seconds: Seconds = 600
    wake_seconds: Annotated[StrictInt, Field(ge=2)] = 15
    longest_wake_seconds: Seconds = 900
    linger_seconds: Seconds = 30
    answer_seconds: Seconds = 20
    hand_over_seconds: Seconds = 900
    look_seconds: Seconds = 3_600
    renew_before_days: Days = 60
    renew_again_seconds: Seconds = _DAY

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for first, longest in (("retry", "longest_retry"), ("wake", "longest_wake")):
            if getattr(self, f"{first}_seconds") > getattr(self, f"{longest}_seconds"):
                raise ValueError(f"{first}_seconds is more than {longest}_seconds")
        return self


class LimitsConfiguration(Strict):
    """How much. Chosen here too.

    :param connections: at a time, for each of the three places
    :param handshakes: of one gateway a minute, and as many at once
    :param notifications: of one gateway a minute, and as many at once
    :param notifications_kept: of one gateway, the latest
    :param renewals: jobs at a time that nobody ordered
    """

    connections: Count = 5_000
    handshakes: Count = 60
    notifications: Count = 60
    notifications_kept: Count = 10_000
    renewals: Count = 50


class ClockConfiguration(Strict):
    """What gateways are told of this computer's clock, which is kept right by other means.

    :param stratum: 1 to 15 (RFC 5905 figure 11)
    :param maximum_error_seconds: it is wrong by at most so much
    """

    stratum: Annotated[StrictInt, Field(ge=1, le=15)] = 3
    maximum_error_seconds: Annotated[StrictFloat, Field(ge=0, le=9)] = 0.1


class Configuration(Strict):
    """An administrator's configuration.

    :param own: folder of the own triple: ``tls.pem``, ``sig.pem``, ``enc.pem``, ``chain.pem``, and their keys
    :param token: has the keys that are in no file beside their certificates
    :param password_file: of encrypted key files, mode 0600
    :param database: SQLite
    :param listen: where gateways connect to; port 0 is any free one
    :param public: how gateways get there; by default as in ``listen``
    :param accept_from: CNs of manufacturers (GWH) and administrators (GWA) who may deliver gateways
    :param issuer: ``None``: jobs that need it fail
    """

    own: FilePath
    token: TokenConfiguration | None = None
    password_file: FilePath | None = None
    database: FilePath
    listen: Places
    public: PublicPlaces | None = None
    trust: TrustConfiguration
    accept_from: tuple[Text, ...] = ()
    issuer: IssuerConfiguration | None = None
    clock: ClockConfiguration = ClockConfiguration()
    times: TimesConfiguration = TimesConfiguration()
    limits: LimitsConfiguration = LimitsConfiguration()


def load_configuration(file: Path) -> Configuration:
    """Read a configuration file.

    :raises GatewayError: ``configuration.*``; ``where`` is ``file:line: path``
    """
    return read_configuration(file, Configuration, _WORDING)
