"""The CA that an administrator turns to: it grants packages, and acts on signed requests."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

from cryptography import x509

from smpki.gateway.child_process import ChildProcess
from smpki.service.administrator.store.gateways import Triple

if TYPE_CHECKING:
    from smpki.ca.pki import Pki

OpenPki = Callable[[], AbstractContextManager["Pki"]]

_Granted = tuple[Sequence[bytes], Sequence[bytes]]
"""A triple and the chain above it, in DER, which can cross into another process."""


class Authority(Protocol):
    """A CA, wherever it is. The same octets again are answered as the first time."""

    async def issue(self, package: bytes) -> Triple:
        """Grant an authorised package.

        :param package: DER
        :raises RequestError: it is not granted
        :raises IssuingError: likewise
        :raises SmpkiError: the CA can't work now
        """

    async def process(self, request: bytes) -> None:
        """Act on a signed revocation request or UpdateDeviceAdmin.

        :param request: DER
        :raises RequestError: nothing is done
        :raises RevocationError: likewise
        :raises SmpkiError: the CA can't work now
        """


class LocalAuthority:
    """A PKI on this computer, in a process of its own, so that its token is in nobody's way. See :class:`Authority`.

    It is opened for each call, for its operator may change it in between.

    :param open_pki: opens the PKI there; it crosses into the process
    :param sub_ca: CN of the Sub-CA
    """

    def __init__(self, open_pki: OpenPki, sub_ca: str) -> None:
        self._sub_ca = sub_ca
        self._child = ChildProcess(partial(_given, open_pki), f"PKI of {sub_ca}")
        self._turn = asyncio.Lock()

    def start(self) -> None:
        """Let the process start now, so that the first call need not wait for it."""
        self._child.start()

    async def issue(self, package: bytes) -> Triple:
        """See :meth:`Authority.issue`.

        :raises SmpkiError: ``process.died`` too
        """
        async with self._turn:
            return loaded(await asyncio.to_thread(self._child.call, issue_at, self._sub_ca, package))

    async def process(self, request: bytes) -> None:
        """See :meth:`Authority.process`.

        :raises SmpkiError: ``process.died`` too
        """
        async with self._turn:
            await asyncio.to_thread(self._child.call, process_at, request)

    def close(self) -> None:
        """End the process; a second time does nothing."""
        self._child.close()


def issue_at(open_pki: OpenPki, sub_ca: str, package: bytes) -> _Granted:
    """Grant a package at a PKI.

    :raises SmpkiError: as :meth:`Authority.issue`
    """
    from smpki.ca.chain import chain_above
    from smpki.ca.triples import Order

    with open_pki() as pki:
        (outcome,) = pki.issue([Order("gwa", package)], sub_ca)
        if outcome.error is not None:
            raise outcome.error
        chain = chain_above(pki.store, outcome.certificates[0])
        return [one.der for one in outcome.certificates], [one.der for one in chain]


def process_at(open_pki: OpenPki, request: bytes) -> None:
    """Act on a signed request at a PKI.

    :raises SmpkiError: as :meth:`Authority.process`
    """
    with open_pki() as pki:
        pki.process(request, "gwa")


def loaded(granted: _Granted) -> Triple:
    """What :func:`issue_at` answers, as a triple."""
    certificates, chain = ([x509.load_der_x509_certificate(der) for der in part] for part in granted)
    tls, sig, enc = certificates
    return Triple(tls, sig, enc, tuple(chain))


@contextmanager
def _given(open_pki: OpenPki) -> Iterator[OpenPki]:
    import smpki.ca.opening  # noqa: F401 - takes a while, which no call has to wait for

    yield open_pki
