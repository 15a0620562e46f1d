"""A Sub-CA behind its web service, as the CA that an administrator turns to."""

from smpki.errors import IssuingError, RequestError, RevocationError, SmpkiError
from smpki.participant.access import Access
from smpki.participant.refusals import rule_behind
from smpki.participant.sending import ask_for_triple
from smpki.requests.any_request import read_request
from smpki.requests.device_admin import DeviceAdminUpdate
from smpki.service.administrator.store.gateways import Triple


class RemoteAuthority:
    """A CA somewhere else. See :class:`smpki.service.administrator.authority.Authority`.

    A refusal that names the rule of a CA like ours is that CA's error again, so that who asks can tell what to do.

    :param access: as the administrator
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def issue(self, package: bytes) -> Triple:
        """See :meth:`Authority.issue`.

        :raises SmpkiError: ``web_service.*``, ``tls.*``, ``soap.*`` too
        """
        try:
            async with self._access.open() as service:
                granted = await ask_for_triple(service, package, self._access.ca)
        except RequestError as error:
            raise _as_the_ca_says(error) from None
        if granted is None:
            raise ValueError("nothing that is asked without messageID is answered later")
        return Triple(granted.tls, granted.sig, granted.enc, granted.chain)

    async def process(self, request: bytes) -> None:
        """See :meth:`Authority.process`.

        :raises SmpkiError: as :meth:`issue`
        """
        notice = isinstance(read_request(request), DeviceAdminUpdate)
        try:
            async with self._access.open() as service:
                await (service.update_device_admin(request) if notice else service.revoke(request))
        except RequestError as error:
            raise _as_the_ca_says(error) from None


_KINDS = {"issuing": IssuingError, "revocation": RevocationError}


def _as_the_ca_says(error: RequestError) -> SmpkiError:
    rule = rule_behind(error)
    kind = _KINDS.get((rule or "").partition(".")[0])
    return error if kind is None or rule is None else kind(rule, error.message, where=error.where, hint=error.hint)
