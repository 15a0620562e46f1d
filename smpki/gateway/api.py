"""What a gateway says with its administrator and its market participants: paths, and bodies in JSON.

The form of the paths is that of table 6.4 of the Detailspezifikationen zur TR-03109-1. The role ``gwa``, the names of
types and actions, and the bodies are our own: those of the main document are not public.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from smpki.gateway.api_types import Address, Body, Certificate, HttpsUrl, Measured, Meter, Moment, Octets, Register
from smpki.gateway.log_entry import Level, Log, Outcome
from smpki.gateway.slots import Slot

BASE: Final = "/smgw/gwa/v1"
"""The gateway's resources on MANAGEMENT."""

COMMUNICATION_PROFILES: Final = f"{BASE}/rts/CommunicationProfile/"
METER_PROFILES: Final = f"{BASE}/rts/MeterProfile/"
EVALUATION_PROFILES: Final = f"{BASE}/rts/EvaluationProfile/"
CERTIFICATES: Final = f"{BASE}/rts/Certificate/"
"""Below it by slot: :class:`smpki.gateway.slots.Slot`. A certificate is put into a next slot only."""
ADMINISTRATOR: Final = f"{BASE}/rts/Administrator/gwa"
STATUS: Final = f"{BASE}/rts/Status/gateway"
PREPARE_WAN_KEYS: Final = f"{BASE}/fas/PrepareWanKeys"
ACTIVATE_WAN_KEYS: Final = f"{BASE}/fas/ActivateWanKeys"
RETIRE_WAN_KEYS: Final = f"{BASE}/fas/RetireWanKeys"
SELF_TEST: Final = f"{BASE}/fas/SelfTest"
REPORT_NOW: Final = f"{BASE}/fas/ReportNow"
LOGS: Final = f"{BASE}/exp/Log/"
"""Below it ``system`` and ``calibration``; q.fromtime, q.totime, q.type, q.count, q.level."""

NOTIFY: Final = "/gwa/v1/fas/Notify"
"""At the administrator, on ADMIN-SERVICE: POST of a :class:`Notification`."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""What a profile is called; upper and lower case are different (Detailspezifikationen 6.7)."""


class CommunicationProfile(Body):
    """A market participant, and how deliveries get to them (WAN-Kommunikationsprofil).

    :param url: where deliveries are posted
    :param tls: the certificate that the participant's server has to show, this very one
    :param sig: the participant's SIG certificate; nothing that comes from there is signed as yet
    :param enc: deliveries are encrypted for its key
    :param suite: ``gcm`` or ``cbc-cmac``, see :class:`smpki.gateway.content_suite.Suite`
    :param compress: before encryption
    :param kdf_info: SharedInfo of the key derivation, see :class:`smpki.gateway.content_suite.KdfInfo`
    :param schedule_seconds: a delivery is made at each multiple of it since 1970, UTC
    :param enabled: while it is not, deliveries are neither made nor sent
    """

    name: Name
    url: HttpsUrl
    tls: Certificate
    sig: Certificate | None = None
    enc: Certificate
    suite: Literal["gcm", "cbc-cmac"] = "gcm"
    compress: bool = False
    kdf_info: Literal["rfc5753", "none"] = "rfc5753"
    schedule_seconds: Annotated[int, Field(ge=1, le=31 * 86_400)] = 86_400
    enabled: bool = True


class MeterProfile(Body):
    """A meter, and what of it is stored (Zaehlerprofil).

    :param obis: its registers
    :param unit: COSEM code; readings in another unit are not taken
    :param scaler: likewise
    :param registration_period_seconds: distance of the readings that are stored (Registrierperiode)
    """

    meter: Meter
    obis: Annotated[tuple[Register, ...], Field(min_length=1, max_length=100)]
    unit: Annotated[int, Field(ge=0, le=255)] | None = None
    scaler: Annotated[int, Field(ge=-128, le=127)] | None = None
    registration_period_seconds: Annotated[int, Field(ge=1, le=86_400)] = 900


class EvaluationProfile(Body):
    """Who gets which readings of a meter (Auswertungsprofil).

    :param taf: the tariff use case (Tarifanwendungsfall): TAF7, readings of quarter-hours or longer periods; TAF14,
        of shorter ones
    :param recipients: names of communication profiles
    :param start: readings from then on
    :param end: readings before then; ``None``: without end
    """

    name: Name
    meter: Meter
    obis: Annotated[tuple[Register, ...], Field(min_length=1, max_length=100)]
    taf: Literal["TAF7", "TAF14"] = "TAF7"
    recipients: Annotated[tuple[Name, ...], Field(min_length=1, max_length=20)]
    start: Moment
    end: Moment | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "EvaluationProfile":
        if self.end is not None and self.end <= self.start:
            raise ValueError("it ends before it starts")
        return self


class Administrator(Body):
    """The gateway's administrator (GWA). A change is tried, and undone when the new one can't be reached.

    :param name: CN of their certificates
    :param management: where the gateway connects for MANAGEMENT
    :param admin_service: where it sends notifications
    :param time: where it asks for the time
    :param server_name: to ask for when connecting (SNI)
    :param tls: the certificates that these servers may show
    :param sig: those whose keys may sign wake-ups
    """

    name: Annotated[str, Field(min_length=1, max_length=64)]
    management: Address
    admin_service: Address
    time: Address
    server_name: str | None = None
    tls: Annotated[tuple[Certificate, ...], Field(min_length=1, max_length=4)]
    sig: Annotated[tuple[Certificate, ...], Field(min_length=1, max_length=4)]


class SlotCertificate(Body):
    """A certificate of the gateway's own."""

    pem: Certificate


class WantedSubject(Body):
    """What is to be different from the subject of the gateway's present certificates.

    :param OU: CN of the administrator for certificates of operation (Wirkzertifikate)
    """

    OU: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    serialNumber: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")] | None = None  # as X.520 spells it


class PrepareWanKeys(Body):
    """Make three keys in the next WAN slots, and a request package for them.

    Asked again in the same words, the gateway gives the same package again.

    :param kind: ``initial``: for another type or administrator, without the gateway's signature; ``renewal``: signed
        by its present SIG key
    :param subject: for ``initial``
    :param anew: give up keys that were prepared before, and their certificates
    """

    kind: Literal["initial", "renewal"]
    subject: WantedSubject = WantedSubject()
    anew: bool = False

    @model_validator(mode="after")
    def _same_subject(self) -> "PrepareWanKeys":
        if self.kind == "renewal" and self.subject != WantedSubject():
            raise ValueError("a renewal has the subject of the present certificates")
        return self


class WanKeys(Body):
    """What was prepared.

    :param package: DER, to be authorised by the administrator
    """

    package: Octets


class ReportNow(Body):
    """Make and send deliveries now, those that were refused included.

    :param recipient: name of a communication profile; ``None``: all
    """

    recipient: Name | None = None


class Check(Body):
    """One part of the self-test."""

    name: str
    passed: bool
    text: str


class SelfTest(Body):
    """The self-test's result (Selbsttest)."""

    passed: bool
    checks: tuple[Check, ...]


class LogRecord(Body):
    """An entry of a log."""

    record_number: int
    timestamp: Moment
    level: Level
    event: str
    outcome: Outcome
    text: str


class LogExport(Body):
    """A part of a log."""

    log: Log
    entries: tuple[LogRecord, ...]


class SlotStatus(Body):
    """How far a slot of the security module is.

    :param fingerprint: SHA-256 of the certificate, hexadecimal
    """

    state: Literal["empty", "key", "ready"]
    subject: str | None = None
    not_before: Moment | None = None
    not_after: Moment | None = None
    fingerprint: str | None = None


class TimeStatus(Body):
    """The gateway's clock.

    :param maximum_error: seconds; ``None`` while the time is not to be trusted
    """

    now: Moment
    trusted: bool
    set_at: Moment | None
    maximum_error: float | None


class DeliveryCounts(Body):
    """How many deliveries of one participant there are."""

    open: int = 0
    acknowledged: int = 0
    refused: int = 0


class Status(Body):
    """What the gateway says about itself.

    :param gateway: its device id, in lower case
    :param wan_keys: ``trial``: new keys are being tried, the former ones are current still; ``confirmed``: the former
        ones are kept until RetireWanKeys
    :param profiles: versions by path below ``rts/``, such as ``MeterProfile/1abc0012345678``
    :param deliveries: by communication profile
    :param logs: the number of the last entry, by log
    """

    gateway: Meter
    software: str
    started_at: Moment
    time: TimeStatus
    slots: dict[Slot, SlotStatus]
    wan_keys: Literal["settled", "trial", "confirmed"]
    administrator: str
    profiles: dict[str, int]
    deliveries: dict[str, DeliveryCounts]
    logs: dict[Log, int]


class Notification(Body):
    """Something that the administrator is to know; sent until it is answered, so perhaps twice.

    :param number: rises; names the notification. It is the number of the entry in the system log
    :param event: short stable name of what happened, such as an error's code
    """

    number: int
    event: str
    level: Level
    text: str
    at: Moment


class Delivery(Body):
    """Readings for a market participant; the content of a protected message.

    :param delivery_id: each delivery's own; the same one again is the same delivery again
    :param gateway: device id in lower case
    :param recipient: name of the communication profile
    """

    delivery_id: Annotated[str, Field(min_length=1, max_length=64)]
    gateway: Meter
    recipient: Name
    created_at: Moment
    readings: Annotated[tuple[Measured, ...], Field(min_length=1)]

    def to_json(self) -> bytes:
        """The body as it is sent; pydantic would take four times as long for readings."""
        head = self.model_dump_json(exclude={"readings"})
        return f'{head[:-1]},"readings":[{",".join(one.to_json() for one in self.readings)}]}}'.encode()


class Problem(Body):
    """Why a request was refused; the body of answers from 400 on.

    :param code: dotted, stable name of the rule
    """

    code: str
    message: str
    where: str = ""
    hint: str = ""
