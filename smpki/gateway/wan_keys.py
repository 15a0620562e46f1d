"""How a gateway gets new WAN keys: prepared, certified, tried, confirmed; the former ones count until then.

New keys are first tried on MANAGEMENT alone. When the administrator asks something over a connection that was made
with them, they become current; when none can be made, the former ones, which are current still, go on. So a gateway
that can be reached stays one that can be reached.
"""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smpki.errors import GatewayError
from smpki.gateway.api import PrepareWanKeys, WantedSubject
from smpki.gateway.certificate_names import common_name
from smpki.gateway.security_module import SecurityModule, SlotState
from smpki.gateway.slots import Group, Slot
from smpki.gateway.store.store import GatewayStore
from smpki.policy.device_id import DeviceId
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.build_signed import build_renewal_package
from smpki.requests.keys import Signer

State = Literal["settled", "trial", "confirmed"]

_STATE, _PREPARED = "wan_keys", "WanKeys/prepared"
_NEXT = tuple(slot.next for slot in Group.WAN.slots)
_CLOCKS_DIFFER = timedelta(minutes=1)
"""The CA's clock may be ahead of the gateway's, and a new certificate begins when it is issued."""
_NAMES = RequestedNames()  # a gateway's certificates have no alternative names


class WanKeys:
    """The WAN keys of a gateway and those that are to come; used from one thread.

    :param gateway: its device id
    """

    def __init__(self, module: SecurityModule, store: GatewayStore, gateway: DeviceId) -> None:
        self._module, self._store = module, store
        self._holder = f"{gateway}.SMGW"

    @property
    def state(self) -> State:
        """Whether new keys are being tried, or are current while the former ones are kept."""
        state: State = self._noted()["state"]
        if state == "trial" and self._module.state(Slot.WAN_TLS_NEXT) is SlotState.EMPTY:
            return "confirmed"  # they became current, and that could not be noted any more
        return state

    @property
    def management_slot(self) -> Slot:
        """The slot whose key is shown on MANAGEMENT."""
        return Slot.WAN_TLS_NEXT if self.state == "trial" else Slot.WAN_TLS

    def prepare(self, wanted: PrepareWanKeys, now: datetime) -> bytes:
        """Make keys in the next slots and a request package for them; asked again alike, give the same package.

        :returns: DER
        :raises GatewayError: ``wan_keys.trial``, ``wan_keys.certified``
        """
        self._not_in_trial()
        request = wanted.model_copy(update={"anew": False}).model_dump(mode="json")
        if not wanted.anew:
            if package := self._prepared(request):
                return package
            if any(self._module.state(slot) is SlotState.READY for slot in _NEXT):
                message = "other keys are prepared and have certificates"
                raise _refused("certified", message, "activate them, or prepare anew")
        for slot in _NEXT:
            if wanted.anew or self._module.state(slot) is SlotState.EMPTY:
                self._module.generate(slot)
        package = self._package(wanted)
        text = json.dumps({"request": request, "keys": self._key_ids(), "package": b64encode(package).decode()})
        with self._store.work() as work:
            work.documents.put(_PREPARED, text, now=now)
        return package

    def install(self, slot: Slot, certificate: x509.Certificate) -> None:
        """Put a certificate into a next slot; the same one again does nothing.

        :raises GatewayError: ``wan_keys.holder``, ``module.*``
        """
        if common_name(certificate) != self._holder:
            message = f"the certificate is not for {self._holder}"
            raise _refused("holder", message, "install what was issued for this gateway's package", slot.value)
        self._module.install(slot, certificate)

    def activate(self, now: datetime | None) -> bool:
        """Try the next keys from the next connection on. Keys that are being tried, or are current, are so already.

        :param now: the time, if it can be trusted
        :returns: whether a trial begins with this
        :raises GatewayError: ``wan_keys.unprepared``, ``wan_keys.dates``
        """
        if self.state == "trial":
            return False
        missing = [slot.value for slot in _NEXT if self._module.state(slot) is not SlotState.READY]
        if missing and self.state == "confirmed" and len(missing) == len(_NEXT):
            return False
        if missing:
            hint = "prepare keys and install the certificates of all three"
            raise _refused("unprepared", "there is no key with a certificate", hint, missing[0])
        for slot in _NEXT:
            certificate = self._module.certificate(slot)
            begin = certificate.not_valid_before_utc - _CLOCKS_DIFFER
            if now and not begin <= now <= certificate.not_valid_after_utc:
                message = "the certificate is not valid now"
                raise _refused("dates", message, "compare the clocks; install valid ones", slot.value)
        self._note("trial")
        return True

    def confirm(self) -> bool:
        """The administrator has spoken over a connection with the keys being tried: they become current.

        :returns: whether they were being tried
        :raises GatewayError: ``module.*``: the three certificates don't belong together; the trial is over
        """
        if self.state != "trial":
            return False
        try:
            self._module.activate(Group.WAN)
        except GatewayError:
            self._note("settled")
            raise
        self._note("confirmed")
        return True

    def failed(self, most: int) -> bool:
        """No connection could be made with the keys being tried.

        :param most: so often, then the former ones count again
        :returns: whether that was the last time
        """
        failures = int(self._noted().get("failures", 0)) + 1
        over = failures >= most
        self._note("settled") if over else self._note("trial", failures=failures)
        return over

    def retire(self) -> None:
        """Destroy the former keys.

        :raises GatewayError: ``wan_keys.trial``
        """
        self._not_in_trial()
        self._module.retire(Group.WAN)
        self._note("settled")

    def _not_in_trial(self) -> None:
        if self.state == "trial":
            hint = "ask again over the connection that the gateway makes with the new keys"
            raise _refused("trial", "new keys are being tried", hint)

    def _prepared(self, request: Mapping[str, object]) -> bytes | None:
        with self._store.view() as view:
            document = view.documents.get(_PREPARED)
        if document is None:
            return None
        prepared: dict[str, Any] = json.loads(document.text)
        if prepared["request"] != request or prepared["keys"] != self._key_ids():
            return None
        return b64decode(prepared["package"])

    def _key_ids(self) -> list[str | None]:
        """SHA-256 of the public keys in the next slots."""
        return [self._key_id(slot) for slot in _NEXT]

    def _key_id(self, slot: Slot) -> str | None:
        if self._module.state(slot) is SlotState.EMPTY:
            return None
        info = self._module.key(slot).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(info).hexdigest()

    def _package(self, wanted: PrepareWanKeys) -> bytes:
        keys = self._module.next_triple()
        certificate = self._module.certificate(Slot.WAN_SIG)
        if wanted.kind == "renewal":
            signer = Signer(self._module.key(Slot.WAN_SIG), certificate)
            return build_renewal_package(certificate.subject, keys, _NAMES, signer)
        return build_initial_package(_subject(certificate, wanted.subject), keys, _NAMES)

    def _noted(self) -> dict[str, Any]:
        with self._store.view() as view:
            text = view.state.get(_STATE)
        return json.loads(text) if text else {"state": "settled"}

    def _note(self, state: State, **more: int) -> None:
        with self._store.work() as work:
            work.state.put(_STATE, json.dumps({"state": state, **more}))


def _subject(certificate: x509.Certificate, wanted: WantedSubject) -> x509.Name:
    """The certificate's subject, changed as wanted.

    :raises PolicyError: ``name.*``
    """
    present = dict(DistinguishedName.from_x509(certificate.subject).attributes)
    return DistinguishedName.of(**{**present, **wanted.model_dump(exclude_none=True)}).to_x509()


def _refused(rule: str, message: str, hint: str, where: str = "") -> GatewayError:
    return GatewayError(f"wan_keys.{rule}", message, where=where, hint=hint)
