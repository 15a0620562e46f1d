"""Who may connect to a CA's web service: holders of TLS certificates of its PKI that are in force."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509

from smpki.ca.pki import Pki
from smpki.ca.store.records import serial_text
from smpki.ca.unit import load
from smpki.errors import ServiceError
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.service.watched import Watched, in_folder
from smpki.service.web.store.standing import Standing
from smpki.tls.peers import Alert, PeerCheck, PeerRefused
from smpki.trust.files import read_crls
from smpki.trust.question import Revocation
from smpki.trust.tls_peer import TrustMaterial, all_of, held_by, trusted

_AUTHORITIES = (
    CertificateType.LINK,
    CertificateType.SUB_CA,
    CertificateType.TLS_SIGNER,
    CertificateType.CRL_SIGNER,
)
END_USERS = frozenset({CertificateType.EMT, CertificateType.GWA, CertificateType.GWH})
"""Those of the end users that speak to a CA; gateways don't."""

CLIENTS_OF_ROOT = frozenset({CertificateType.SUB_CA_TLS_ROOT})
CLIENTS_OF_SUB_CA = END_USERS | {CertificateType.ROOT_TLS}


class Peers:
    """Checks peers during the handshake.

    A handshake waits for nobody: it looks at what :meth:`refresh` read last. So while the database is away peers get in
    as before, and are told what is the matter.

    :param crls: folder of revocation lists of a root that is elsewhere (``*.crl``); ``None``: all who may connect have
        certificates of this database
    """

    def __init__(self, pki: Pki, crls: Path | None = None) -> None:
        self._pki = pki
        self._standing = pki.store.beside(Standing)
        self._crls: Callable[[], tuple[x509.CertificateRevocationList, ...]] = tuple
        if crls is not None:
            self._crls = Watched(in_folder(crls, ".crl"), _read, pki.clock)
        self._lock = threading.Lock()
        self._material = TrustMaterial(())
        self._revoked: frozenset[str] = frozenset()
        self.refresh()

    @property
    def authorities(self) -> tuple[x509.Name, ...]:
        """The names of the CAs that certify who may connect, for the handshake."""
        issuing = (*self._material.roots, *self._material.authorities)
        return tuple(dict.fromkeys(one.subject for one in issuing))

    def refresh(self) -> None:
        """See which CAs there are now, and what is revoked or suspended.

        :raises StoreError: the database failed; what was read before goes on to count
        """
        roots = tuple(map(load, self._pki.store.of_kinds([CertificateType.ROOT])))
        authorities = tuple(map(load, self._pki.store.of_kinds(_AUTHORITIES)))
        revoked = self._standing.revoked([kind.value for kind in (*_AUTHORITIES, *CLIENTS_OF_ROOT, *CLIENTS_OF_SUB_CA)])
        material = TrustMaterial(roots, authorities, self._crls())
        with self._lock:
            before = self._material
            if (before.roots, before.authorities, before.crls) != (material.roots, material.authorities, material.crls):
                self._material = material
            self._revoked = revoked

    def check(self, *kinds: CertificateType) -> PeerCheck:
        """A check for holders of certificates of some types."""
        by_chain = trusted(lambda: self._material, now=self._pki.clock, roles=kinds, revocation=Revocation.IF_KNOWN)
        return all_of(by_chain, self._in_force)

    def check_server(self, role: str, subject_key: str) -> PeerCheck:
        """A check for one who asked us, and whose server we connect to with the result.

        :param role: type of the certificate that it asked with
        :param subject_key: see :meth:`smpki.policy.names.DistinguishedName.key`
        """
        kind = CertificateType(role)
        kinds = (kind, CertificateType.SUB_CA_TLS) if kind is CertificateType.SUB_CA_TLS_ROOT else (kind,)
        return all_of(self.check(*kinds), held_by([DistinguishedName.parse(subject_key)]))

    def _in_force(self, chain: tuple[x509.Certificate, ...]) -> None:
        if serial_text(chain[0].serial_number) in self._revoked:
            raise PeerRefused(
                "tls.peer.revoked",
                "the peer's certificate is revoked or suspended",
                alert=Alert.CERTIFICATE_REVOKED,
                where=serial_text(chain[0].serial_number),
                hint="the peer needs a new certificate, or has to be resumed by its CA",
            )


def _read(files: Sequence[Path]) -> tuple[x509.CertificateRevocationList, ...]:
    try:
        return tuple(crl for file in files for crl in read_crls(file.read_bytes(), str(file)))
    except OSError as error:
        message, hint = f"can't be read: {error.strerror}", "name the folder where the root's CRLs are kept"
        raise ServiceError("service.crls", message, where=error.filename or "", hint=hint) from None
