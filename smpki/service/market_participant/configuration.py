"""A market participant's configuration file: what stands in it, and how it is read."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StrictInt, model_validator

from smpki.errors import GatewayError
from smpki.gateway.api import Name
from smpki.gateway.api_types import Address, Meter, split_address
from smpki.gateway.configuration import FilePath, Seconds, Text, TokenConfiguration, read_configuration
from smpki.policy.document import Wording
from smpki.policy.model import Strict

_WORDING = Wording(
    GatewayError,
    "configuration",
    hint="mend this line; docs/market-participant.md describes the file",
    start="take the example of docs/market-participant.md",
)


def _entity(path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or not path.isascii() or not path.isprintable():
        raise ValueError("write it like /readings, without / at its end")
    if any(sign in path for sign in " ?#%"):
        raise ValueError("choose a path without blanks, ?, # and %")
    return path


class Trust(Strict):
    """Chains that lead gateways in.

    :param anchors: files with the trusted roots
    :param authorities: files with Sub-CAs, link certificates and CRL signers, as far as gateways don't send them
    :param crl_folder: revocation lists (``*.crl``) and their signers (``*.cer``), as ``smpki crl publish`` leaves them;
        read again when one changes
    """

    anchors: Annotated[tuple[FilePath, ...], Field(min_length=1)]
    authorities: tuple[FilePath, ...] = ()
    crl_folder: FilePath


class Rights(Strict):
    """What a gateway may deliver.

    :param meters: readings of these only; ``None``: of any
    """

    meters: tuple[Meter, ...] | None = None


class SendersConfiguration(Strict):
    """Who may deliver.

    :param trust: gateways in operation whose chain holds; ``None``: only those of ``certificates``, exactly
    :param certificates: folder of gateways' certificates, ``*.pem``, read again when it changes. With ``trust`` they
        are needed only for messages that don't enclose the one they are signed with.
    :param administrators: CNs; only gateways of these administrators; empty: of any
    :param gateways: only these, by device id; ``None``: any
    """

    trust: Trust | None = None
    certificates: FilePath | None = None
    administrators: tuple[Text, ...] = ()
    gateways: dict[Meter, Rights] | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.trust is None and self.certificates is None:
            raise ValueError("give trust, certificates or both")
        return self


class OutputConfiguration(Strict):
    """The files of readings.

    :param octets_per_file: a file that has so many is followed by another
    """

    octets_per_file: Annotated[StrictInt, Field(ge=1)] = 100_000_000


class LimitsConfiguration(Strict):
    """How much is taken.

    :param body_octets: of a request
    :param content_octets: of a delivery that was compressed
    :param connections: at a time
    """

    body_octets: Annotated[StrictInt, Field(ge=1)] = 1 << 20
    content_octets: Annotated[StrictInt, Field(ge=1)] = 16 << 20
    connections: Annotated[StrictInt, Field(ge=1, le=100_000)] = 1_000


class TimesConfiguration(Strict):
    """How long peers are waited for.

    :param handshake_seconds: for TLS
    :param request_seconds: for a request's head, and again for its body
    :param answer_seconds: for the answer to be made, and to be taken (REQ.Webservice.HttpServer.190)
    :param idle_seconds: for the next request
    """

    handshake_seconds: Seconds = 20
    request_seconds: Seconds = 60
    answer_seconds: Seconds = 20
    idle_seconds: Seconds = 300


class Configuration(Strict):
    """A market participant's configuration.

    :param listen: address and port
    :param path: where gateways post to
    :param recipients: what the administrators of gateways call us: names of communication profiles
    :param triples: folders with our certificates, the newest first. TLS shows the first; what was encrypted for the
        others is opened still.
    :param token: has the keys that are in no file beside their certificates
    :param password_file: of encrypted key files, mode 0600
    :param data: folder of readings and database
    """

    listen: Address
    path: Annotated[str, AfterValidator(_entity)] = "/readings"
    recipients: Annotated[tuple[Name, ...], Field(min_length=1)]
    triples: Annotated[tuple[FilePath, ...], Field(min_length=1)]
    token: TokenConfiguration | None = None
    password_file: FilePath | None = None
    senders: SendersConfiguration
    data: FilePath
    output: OutputConfiguration = OutputConfiguration()
    limits: LimitsConfiguration = LimitsConfiguration()
    times: TimesConfiguration = TimesConfiguration()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen at."""
        return split_address(self.listen)


def load_configuration(file: Path) -> Configuration:
    """Read a configuration file.

    :raises GatewayError: ``configuration.*``; ``where`` is ``file:line: path``
    """
    return read_configuration(file, Configuration, _WORDING)
