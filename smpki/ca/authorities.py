"""The CAs of this PKI: found in the store, their keys in the key store."""

from smpki.ca.issuer import Issuer
from smpki.ca.store.records import StoredCertificate
from smpki.ca.store.store import Store
from smpki.ca.unit import load
from smpki.errors import IssuingError
from smpki.hsm.keystore import KeyStore
from smpki.policy.model import CertificateType, EnvironmentName, HashName, Policy
from smpki.policy.names import DistinguishedName

_ISSUING = (CertificateType.ROOT, CertificateType.TLS_SIGNER, CertificateType.SUB_CA)


class Authorities:
    """Finds the CA that is to sign."""

    def __init__(self, policy: Policy, environment: EnvironmentName, store: Store, keys: KeyStore) -> None:
        self._policy = policy
        self._environment = environment
        self._store = store
        self._keys = keys

    def root(self) -> Issuer:
        """The newest root.

        :raises IssuingError: ``issuing.issuer.unknown`` when the PKI has none yet
        """
        return self._newest(CertificateType.ROOT, self._policy.environments[self._environment].root_common_name.value)

    def tls_signer(self) -> Issuer:
        """The newest TLS signer of the root.

        :raises IssuingError: ``issuing.issuer.unknown`` when the PKI has none yet
        """
        return self._newest(CertificateType.TLS_SIGNER, f"{self.root().name.common_name}.TLS-S")

    def sub_ca(self, common_name: str) -> Issuer:
        """The newest Sub-CA of that CN, such as ``ORG.CA``.

        :raises IssuingError: ``issuing.issuer.unknown`` when there is none with its key in our token
        """
        return self._newest(CertificateType.SUB_CA, common_name)

    def _newest(self, kind: CertificateType, common_name: str) -> Issuer:
        found = self._store.authorities(kind=kind.value, cn=common_name)
        if not found:
            raise IssuingError(
                "issuing.issuer.unknown",
                f"there is no {kind} {common_name} here",
                where=common_name,
                hint="see smpki ca list; a Sub-CA is made by smpki issue-sub-ca",
            )
        return self.issuer(found[0])

    def issuer(self, stored: StoredCertificate) -> Issuer:
        """A CA in operation from its stored certificate.

        :raises TokenError: when its key is not in the token
        """
        kind = CertificateType(stored.kind)
        above = self._store.get(stored.issuer_serial) if stored.issuer_serial else None
        return Issuer(
            kind=kind,
            certificate=load(stored),
            key=self._keys.key(key_id=bytes.fromhex(stored.token_key_id or "")),
            hash=self._hash(kind, stored),
            key_use_end=stored.key_use_end or stored.not_after,
            root=DistinguishedName.from_x509(load(above).subject) if above else None,
        )

    def _hash(self, kind: CertificateType, stored: StoredCertificate) -> HashName:
        for window in self._policy.algorithms[self._policy.certificates[kind].algorithm.value]:
            if window.generation == stored.generation:
                return window.hash
        raise IssuingError(
            "issuing.generation.unknown",
            f"the policy has no generation {stored.generation!r} any more",
            where=stored.subject_cn,
            hint="a policy keeps the windows of keys that are still in use",
        )
