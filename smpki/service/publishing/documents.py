"""What is published over HTTP: the newest CRLs and the certificates of CAs, by their paths."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import unquote, urlsplit

from smpki.ca.crl_series import crl_series
from smpki.ca.published_authorities import certificate_address, published_authorities
from smpki.ca.store.crls import CrlScope
from smpki.ca.store.store import Store
from smpki.errors import StoreError
from smpki.policy.model import CertificateType, EnvironmentName, Policy

_CRL, _CERTIFICATE = "application/pkix-crl", "application/pkix-cert"  # RFC 2585 4
_PAUSE = 1.0

log = logging.getLogger("smpki.publishing")


@dataclass(frozen=True)
class Document:
    """A CRL or certificate as it is published.

    :param version: tells it from others at the same path
    :param modified: in whole seconds; later than that of what was there before
    :param ends: until when one may rely on it
    :param digest: of the content
    """

    content: bytes
    media_type: str
    version: int | str
    modified: datetime
    ends: datetime
    digest: str


@dataclass(frozen=True)
class _Found:
    """A document that is not read yet."""

    media_type: str
    version: int | str
    begins: datetime
    ends: datetime
    read: Callable[[], bytes]


_Source = Callable[[], _Found | None]


class Documents:
    """All that is published, out of the store; threads may share it.

    The octets of a CRL are read once. When the store fails, what was read before goes on to be published.

    :param monotonic: in seconds
    """

    def __init__(
        self,
        store: Store,
        policy: Policy,
        environment: EnvironmentName,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._policy = policy
        self._environment: EnvironmentName = environment
        self._monotonic = monotonic
        self._sources: dict[str, _Source] = {}
        self._looked_at: float | None = None
        self._known: dict[str, Document] = {}
        self._lock = threading.Lock()

    def find(self, path: str) -> Document | None:
        """What is at a path now; ``None``: nothing.

        :param path: decoded
        :raises StoreError: the store failed, and the document was never read
        """
        try:
            source = self._sources.get(path) or self._look_for(path)
            found = source() if source else None
            if source is None or found is None:
                return None
            known = self._known.get(path)
            if known and known.version == found.version:
                return known
            with self._lock:
                return self._read(path, source)
        except StoreError as error:
            if known := self._known.get(path):
                log.error("%s is published as it was: %s", path, error)
                return known
            raise

    def _look_for(self, path: str) -> _Source | None:
        """Whether there is a new CA; not for every wrong path."""
        with self._lock:
            now = self._monotonic()
            if self._looked_at is None or now >= self._looked_at + _PAUSE:
                self._sources = self._all_sources()
                self._looked_at = now
        return self._sources.get(path)

    def _all_sources(self) -> dict[str, _Source]:
        found: dict[str, _Source] = {}
        for series in crl_series(self._store, self._policy, self._environment):
            crl, certificate = series.addresses[0], certificate_address(series.addresses[0])
            found[_path(crl)] = partial(self._crl, series.scope)
            if series.kind is CertificateType.CRL_SIGNER:
                found[_path(certificate)] = partial(self._signer, series.scope)
        for one in published_authorities(self._store, self._policy, self._environment):
            found[_path(one.http)] = partial(self._certificate, one.certificate.serial)
        return found

    def _crl(self, scope: CrlScope) -> _Found | None:
        newest = self._store.crls.newest(scope)
        if newest is None:
            return None
        read = partial(self._store.crls.der, newest)
        return _Found(_CRL, newest.number, newest.this_update, newest.next_update, read)

    def _signer(self, scope: CrlScope) -> _Found | None:
        newest = self._store.crls.newest(scope)
        return self._certificate(newest.signer) if newest else None

    def _certificate(self, serial: str) -> _Found:
        one = self._store.get(serial)
        return _Found(_CERTIFICATE, serial, one.not_before, one.not_after, lambda: one.der)

    def _read(self, path: str, source: _Source) -> Document | None:
        """Read what is new there; one thread at a time, so that no older document takes the place of a newer one."""
        found, known = source(), self._known.get(path)
        if found is None or (known and known.version == found.version):
            return known
        content, modified = found.read(), found.begins.replace(microsecond=0)
        if known:  # several may begin in one second, and whoever asks by time has to get the last
            modified = max(modified, known.modified + timedelta(seconds=1))
        digest = hashlib.sha256(content).hexdigest()
        document = Document(content, found.media_type, found.version, modified, found.ends, digest)
        self._known[path] = document
        return document


def _path(address: str) -> str:
    return unquote(urlsplit(address).path)
