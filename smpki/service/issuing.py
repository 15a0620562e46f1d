"""A Sub-CA on this computer, as the issuer that a factory or an administrator asks.

What issues is imported where it issues: who asks a Sub-CA in a process of its own does not load it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from cryptography import x509

from smpki.errors import SmpkiError
from smpki.gateway.child_process import ChildProcess
from smpki.gateway.provisioning import Issuance
from smpki.policy.model import CertificateType

if TYPE_CHECKING:
    from smpki.ca.pki import Pki
    from smpki.ca.store.records import StoredCertificate
    from smpki.ca.triples import Outcome


class LocalSubCa:
    """A Sub-CA whose PKI this process has open. See :class:`smpki.gateway.provisioning.Issuer`.

    :param sub_ca: its CN
    :raises IssuingError: ``issuing.issuer.unknown``
    """

    def __init__(self, pki: "Pki", sub_ca: str) -> None:
        self._counter = _Counter(pki, sub_ca)

    def issue(self, packages: Sequence[bytes]) -> list[Issuance]:
        """See :meth:`Issuer.issue`; the packages of a call share two commits."""
        return [_issuance(answer) for answer in self._counter.issue(packages)]

    def chain(self) -> tuple[x509.Certificate, ...]:
        """See :meth:`Issuer.chain`."""
        return _loaded(self._counter.chain())


class SubCaProcess:
    """A Sub-CA in a process of its own, so that its token is in nobody's way. A context manager, which starts it.

    See :class:`smpki.gateway.provisioning.Issuer`.

    :param open_pki: opens the PKI there; it crosses into the process
    :param sub_ca: the Sub-CA's CN
    """

    def __init__(self, open_pki: "Callable[[], AbstractContextManager[Pki]]", sub_ca: str) -> None:
        self._child = ChildProcess(partial(_open_counter, open_pki, sub_ca), f"Sub-CA {sub_ca}")

    def issue(self, packages: Sequence[bytes]) -> list[Issuance]:
        """See :meth:`LocalSubCa.issue`.

        :raises SmpkiError: ``process.died``
        """
        return [_issuance(answer) for answer in self._child.call(_Counter.issue, packages)]

    def chain(self) -> tuple[x509.Certificate, ...]:
        """See :meth:`LocalSubCa.chain`.

        :raises SmpkiError: ``process.died``
        """
        return _loaded(self._child.call(_Counter.chain))

    def close(self) -> None:
        """End the process; a second time does nothing."""
        self._child.close()

    def __enter__(self) -> Self:
        self._child.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class _Answer:
    """An :class:`Issuance` with certificates in DER, which can cross into another process."""

    state: Literal["issued", "known", "refused"]
    certificates: tuple[bytes, ...] = ()
    chain: tuple[bytes, ...] = ()
    error: SmpkiError | None = None


class _Counter:
    def __init__(self, pki: "Pki", sub_ca: str) -> None:
        self._pki = pki
        self._sub_ca = sub_ca
        self._desk = pki.desk(sub_ca)
        self._chains: dict[str | None, tuple[bytes, ...]] = {}

    def issue(self, packages: Sequence[bytes]) -> list[_Answer]:
        from smpki.ca.triples import Order

        orders = [Order(f"package {number}", package) for number, package in enumerate(packages, 1)]
        return [self._answer(outcome) for outcome in self._desk.issue(orders)]

    def chain(self) -> tuple[bytes, ...]:
        """The Sub-CA's own certificate is the last one."""
        own = self._pki.store.authorities(kind=CertificateType.SUB_CA.value, cn=self._sub_ca)[0]
        return (*self._above(own), own.der)

    def _answer(self, outcome: "Outcome") -> _Answer:
        if outcome.error is not None:
            return _Answer(outcome.state, error=outcome.error)
        certificates = tuple(one.der for one in outcome.certificates)
        return _Answer(outcome.state, certificates, self._chain_of(outcome.certificates[0]))

    def _chain_of(self, certificate: "StoredCertificate") -> tuple[bytes, ...]:
        issuer = certificate.issuer_serial
        if issuer not in self._chains:
            self._chains[issuer] = self._above(certificate)
        return self._chains[issuer]

    def _above(self, certificate: "StoredCertificate") -> tuple[bytes, ...]:
        from smpki.ca.chain import chain_above

        return tuple(one.der for one in chain_above(self._pki.store, certificate))


@contextmanager
def _open_counter(open_pki: "Callable[[], AbstractContextManager[Pki]]", sub_ca: str) -> Iterator[_Counter]:
    with open_pki() as pki:
        yield _Counter(pki, sub_ca)


def _issuance(answer: _Answer) -> Issuance:
    return Issuance(answer.state, _loaded(answer.certificates), _loaded(answer.chain), answer.error)


def _loaded(certificates: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_der_x509_certificate(one) for one in certificates)
