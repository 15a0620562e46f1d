"""Is a certificate revoked or suspended: RFC 5280 section 6.3.3, with the SM-PKI's indirect CRLs.

pyhanko-certvalidator's own check of CRLs is not used. It takes the word of any certificate with cRLSign that the same
CA issued (a Sub-CA's CRL would vouch for the root's CRL signer), asks of no CRL whether its signature algorithm is
allowed, believes the first of several entries for one serial number, and takes removeFromCRL in a full CRL for good.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from smpki.policy.names import comparable
from smpki.trust.algorithms import AllowedAlgorithms, verifies
from smpki.trust.crl import Listed, NameKey, RevocationList, read
from smpki.trust.paths import fingerprint, fits_key, names_issuer, subject_key
from smpki.trust.question import Path, Reason, Revocation, reason
from smpki.trust.scope import ALL_REASONS, Coverage, covers

_RULE = "RFC 5280 6.3.3"
_SERIAL_NUMBER = NameOID.SERIAL_NUMBER.dotted_string


class StatusCheck:
    """Looks certificates up on the revocation lists at hand.

    :param signers: certificates among which CRL signers are looked for, in any order
    :param at: the moment in question: a list counts from its thisUpdate to its nextUpdate
    :param check_path: what is wrong with a chain, revocation aside
    """

    def __init__(
        self,
        crls: Iterable[x509.CertificateRevocationList],
        signers: Iterable[x509.Certificate],
        at: datetime,
        algorithms: AllowedAlgorithms,
        revocation: Revocation,
        check_path: Callable[[Path], Reason | None],
    ) -> None:
        parts = [read(crl) for crl in crls]
        self._crls = [part for part in parts if isinstance(part, RevocationList)]
        self._unusable = [part for part in parts if isinstance(part, Reason)]
        self._signers: dict[NameKey, list[x509.Certificate]] = defaultdict(list)
        for signer in sorted(signers, key=fingerprint):
            self._signers[comparable(signer.subject)].append(signer)
        self._links = [one for those in self._signers.values() for one in those if is_link(one)]
        self._at = at
        self._algorithms = algorithms
        self._revocation = revocation
        self._check_path = check_path

    def check(self, path: Path) -> Reason | None:
        """Why the last certificate of a chain is revoked, suspended or of unknown status; ``None`` when it is good.

        :param path: from the root down; it must hold but for revocation
        """
        return self._check(path, frozenset())

    def _check(self, path: Path, asked: frozenset[bytes]) -> Reason | None:
        """The same for a CRL signer's certificate, while the status of others (``asked``) hangs on it."""
        certificate = path[-1]
        problems: list[Reason] = []
        missing = set(ALL_REASONS)
        for crl, coverage in self._applicable(path, asked, problems):
            try:
                listed = crl.find(certificate)
            except ValueError:
                message = f"{crl.title} has entries that can't be understood"
                problems.append(reason(certificate, "trust.crl.entries", "RFC 5280 5.3", message))
                continue
            if listed is not None:
                return _taken_back(certificate, listed)
            if crl.next_update is None or self._at > crl.next_update:
                message = f"{crl.title} is stale: {_due(crl.next_update)}"
                problems.append(reason(certificate, "trust.crl.stale", f"{_RULE} (a)", message))
            else:
                missing -= coverage.reasons
        if not missing or self._revocation is Revocation.IF_KNOWN:
            return None
        message = "no CRL at hand speaks for it"
        if missing != ALL_REASONS:
            message = "the CRLs at hand don't cover all reasons of revocation"
        missed = reason(certificate, "trust.crl.missing", _RULE, message)
        unusable = [replace(missed, code=one.code, rule=one.rule, message=one.message) for one in self._unusable]
        return [*problems, *unusable, missed][0]

    def _applicable(
        self, path: Path, asked: frozenset[bytes], problems: list[Reason]
    ) -> list[tuple[RevocationList, Coverage]]:
        """The lists that speak for the last certificate, of each signer and scope the newest only."""
        newest: dict[object, list[tuple[RevocationList, Coverage]]] = defaultdict(list)
        for crl in sorted(self._crls, key=lambda one: one.age):
            coverage = covers(crl, path[-1])
            if coverage is None:
                continue
            if crl.this_update > self._at:
                message = f"{crl.title} is newer than the moment in question"
                problems.append(reason(path[-1], "trust.crl.too_new", f"{_RULE} (a)", message))
                continue
            signer = self._signer(crl, coverage, path, asked)
            if isinstance(signer, Reason):
                problems.append(signer)
                continue
            newer = newest[signer, crl.scope]
            if newer and newer[0][0].age < crl.age:
                newer.clear()
            newer.append((crl, coverage))
        return [one for those in newest.values() for one in those]

    def _signer(
        self, crl: RevocationList, coverage: Coverage, path: Path, asked: frozenset[bytes]
    ) -> x509.Certificate | Reason:
        """The certificate whose key signed a list, and that may do so for the last one of the chain."""
        against: list[Reason] = []
        for signing in self._candidates(crl, coverage, path):
            refused = self._refuse_signer(crl, signing, path, asked)
            if refused is None:
                return signing[-1]
            against.append(refused)
        message = f"nobody is known who may sign {crl.title} for it"
        return [*against, reason(path[-1], "trust.crl.signer_unknown", f"{_RULE} (f)", message)][0]

    def _candidates(self, crl: RevocationList, coverage: Coverage, path: Path) -> Iterator[Path]:
        """Chains to those who have the name of a list's issuer: the CAs of the chain, then whom these certified."""
        above = path[:-1]
        for length in range(len(above), 0, -1):
            if comparable(above[length - 1].subject) == crl.issuer and _fits_crl(crl, above[length - 1]):
                yield above[:length]
        signers = [one for one in self._signers.get(crl.issuer, ()) if _fits_crl(crl, one)]
        if coverage.by_delegate:
            signers = [one for one in signers if _is_for_crls(one) and one != path[-1]]
        for certifier in self._certifiers(crl, coverage, path):
            for signer in signers:
                if signer not in certifier and names_issuer(signer, certifier[-1]) and fits_key(signer, certifier[-1]):
                    yield (*certifier, signer)

    def _certifiers(self, crl: RevocationList, coverage: Coverage, path: Path) -> Iterator[Path]:
        """Chains to the CAs whose CRL signers may speak for the last certificate of a chain.

        The CRL signers of all generations of a root have one name. What tells their lists apart is the distribution
        point that the list itself names. Such a list may also come from the signer of another generation, reached over
        link certificates, for an older root's own signer ends before the root; a list without it does not reach beyond
        a link. Never may a Sub-CA certify a signer for what is not its own: names are not its to give away.
        """
        above = path[:-1]
        yield above
        if coverage.by_delegate:
            return
        names_point = crl.scope is not None and bool(crl.scope.full_name or crl.scope.relative_name)
        for length in range(len(above) - 1, 0, -1):
            if is_link(above[length]) and not names_point:
                return
            yield above[:length]
        if names_point:
            yield from self._over_links(path)

    def _over_links(self, path: Path) -> Iterator[Path]:
        """Chains that leave another one for a link certificate, and go on over others; no link vouches for itself."""
        ends = [path[:length] for length in range(1, len(path))]
        left = [link for link in self._links if link not in path]
        while ends:
            end = ends.pop()
            for link in [one for one in left if names_issuer(one, end[-1]) and fits_key(one, end[-1])]:
                left.remove(link)
                ends.append((*end, link))
                yield ends[-1]

    def _refuse_signer(self, crl: RevocationList, signing: Path, path: Path, asked: frozenset[bytes]) -> Reason | None:
        """Steps (f) and (g): may this signer sign CRLs, does its own chain hold, does the signature verify."""
        signer = signing[-1]
        shared = next((n for n in range(len(signing)) if signing[: n + 1] != path[: n + 1]), len(signing))
        is_above = shared == len(signing)
        usage = _key_usage(signer)
        if not (is_above if usage is None else usage.crl_sign):
            message = f"its key signed {crl.title}, but may not sign CRLs (cRLSign)"
            return reason(signer, "trust.crl.key_usage", f"{_RULE} (f)", message)
        if not is_above and (refused := self._check_path(signing)):
            return refused
        algorithm = crl.source.signature_algorithm_oid.dotted_string
        key = signer.public_key()
        against = self._algorithms.why_not_signature(algorithm, key)
        if against is not None:
            message = f"{crl.title} is not signed as allowed: {against}"
            return reason(signer, "trust.algorithm.signature", "TR-03116-3 table 5", message)
        if not verifies(key, algorithm, crl.source.signature, crl.source.tbs_certlist_bytes):
            message = f"the signature of {crl.title} does not verify under its key"
            return reason(signer, "trust.crl.signature", f"{_RULE} (g)", message)
        # a CRL may list its own signer, who is then judged by what it says: nothing in RFC 5280 forbids that
        asked |= {fingerprint(path[-1])}
        unknown = [signing[: n + 1] for n in range(shared, len(signing)) if fingerprint(signing[n]) not in asked]
        return next(filter(None, (self._check(one, asked) for one in unknown)), None)


def is_link(certificate: x509.Certificate) -> bool:
    """Whether a CA certifies itself anew in it: a link certificate, whose names differ in serialNumber at most."""
    own, above = (
        [rdn for rdn in comparable(name) if all(oid != _SERIAL_NUMBER for oid, _ in rdn)]
        for name in (certificate.subject, certificate.issuer)
    )
    return own == above


def _fits_crl(crl: RevocationList, signer: x509.Certificate) -> bool:
    return None in (crl.authority_key, subject_key(signer)) or crl.authority_key == subject_key(signer)


def _key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _is_for_crls(certificate: x509.Certificate) -> bool:
    usage = _key_usage(certificate)
    return usage is not None and usage.crl_sign and not usage.key_cert_sign


def _due(next_update: datetime | None) -> str:
    if next_update is None:
        return "it promises no next one"
    return f"the next one was due on {next_update:%Y-%m-%d %H:%M:%S}"


def _taken_back(certificate: x509.Certificate, listed: Listed) -> Reason:
    if listed.suspended:
        message = f"it is suspended (certificateHold) since {listed.since:%Y-%m-%d %H:%M:%S} UTC"
        return reason(certificate, "trust.certificate.suspended", "RFC 5280 6.1.3 (a)(3), 5.3.1", message)
    message = f"it was revoked on {listed.since:%Y-%m-%d %H:%M:%S} UTC: {listed.reason.value}"
    return reason(certificate, "trust.certificate.revoked", "RFC 5280 6.1.3 (a)(3)", message)
