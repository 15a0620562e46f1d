"""A Sub-CA somewhere else, as the issuer that a factory asks: by its web service (TR-03129-4)."""

import asyncio
from collections.abc import Sequence

from cryptography import x509

from smpki.errors import RequestError
from smpki.gateway.provisioning import Issuance
from smpki.participant.access import Access
from smpki.participant.granted import check_chain
from smpki.participant.sending import ask_for_triple
from smpki.participant.web_service import WebService

_LINES = 4
"""Connections at a time: the service shares what a batch costs among those that ask at once."""


class RemoteSubCa:
    """A Sub-CA's web service. See :class:`smpki.gateway.provisioning.Issuer`.

    Whether a package was granted before can't be told: its state is ``issued`` in any case.

    :param access: who asks is the manufacturer, with its TLS certificate
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def issue(self, packages: Sequence[bytes]) -> list[Issuance]:
        """See :meth:`Issuer.issue`.

        :raises SmpkiError: as :meth:`smpki.participant.web_service.WebService.request_certificates`
        """
        return asyncio.run(self._issue(packages))

    def chain(self) -> tuple[x509.Certificate, ...]:
        """See :meth:`Issuer.chain`; asked of the service, which has to work.

        :raises SmpkiError: as :meth:`issue`
        """
        return asyncio.run(self._chain())

    async def _issue(self, packages: Sequence[bytes]) -> list[Issuance]:
        async def ask(line: int) -> None:
            async with self._access.open() as service:
                for place in range(line, len(packages), _LINES):
                    answers[place] = await self._ask(service, packages[place])

        answers: dict[int, Issuance] = {}
        await asyncio.gather(*(ask(line) for line in range(min(_LINES, len(packages)))))
        return [answers[place] for place in range(len(packages))]

    async def _ask(self, service: WebService, package: bytes) -> Issuance:
        try:
            granted = await ask_for_triple(service, package, self._access.ca)
        except RequestError as error:
            return Issuance("refused", error=error)
        if granted is None:
            raise ValueError("nothing that is asked without messageID is answered later")
        return Issuance("issued", granted.certificates, granted.chain)

    async def _chain(self) -> tuple[x509.Certificate, ...]:
        name = str(self._access.ca.name)
        async with self._access.open() as service:
            await service.check_status()
            return check_chain(await service.certificate_chain(name), name, self._access.ca)
