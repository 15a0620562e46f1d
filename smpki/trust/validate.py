"""Does this chain hold?"""

from functools import partial

from smpki.errors import TrustError
from smpki.trust.holder import check_holder, check_issuer
from smpki.trust.question import Path, PolicyInputs, Question, Reason, Revocation, Verdict, reason, unreadable


def validate(question: Question) -> Verdict:
    """Answer a question about a certificate (RFC 5280 section 6, with the SM-PKI's own rules).

    Chains are built from a trusted root over ``untrusted`` to the certificate, over link certificates too, so that who
    knows an old root only gets to the certificates below a new one. A chain holds when RFC 5280 6.1 says so, every
    certificate of it is valid at the moment in question (shell model), each below the root is neither revoked nor
    suspended, and the last one fits ``role`` and ``use``. Nothing is fetched. What is malformed is a reason, never an
    exception, and the work is bounded: by constants for certificates, by their size for revocation lists.

    :raises TrustError: ``trust.question.roots`` without a trusted root, ``trust.question.at`` without a time zone
    """
    _check_question(question)
    # pyhanko-certvalidator takes a fifth of a second to import: only who validates pays for that
    from smpki.trust.paths import PathSearch, readable
    from smpki.trust.pkix import check_path
    from smpki.trust.status import StatusCheck

    certificate = question.certificate
    if not readable(certificate):
        return Verdict((), (unreadable(certificate),))
    helpers = [one for one in question.untrusted if readable(one)]
    roots = [one for one in question.roots if readable(one)]
    check = partial(check_path, at=question.at, algorithms=question.algorithms)
    statuses = StatusCheck(
        question.crls,
        {*helpers, certificate},
        question.at,
        question.algorithms,
        question.revocation,
        partial(check, policies=PolicyInputs()),
    )

    def judge(path: Path) -> tuple[int, list[Reason]]:
        """How far a chain comes (0: a signature is wrong, 2: all but revocation and issuer), and what is wrong."""
        broken = check(path, policies=question.policies)
        if broken is not None:
            return int(broken.code != "trust.certificate.signature"), [broken]
        found = check_issuer(path, question.role)
        if question.revocation is not Revocation.IGNORED:
            found += filter(None, (statuses.check(path[:length]) for length in range(2, len(path) + 1)))
        return 2, found

    search = PathSearch(certificate, helpers, roots)
    chain: Path = ()
    reasons: list[Reason] = []
    furthest = -1
    for path in search:
        rank, found = judge(path)
        if rank > furthest or not found:
            chain, furthest, reasons = path, rank, found
        if not found:
            break
    if not chain:
        reasons = [search.why_none()]
    return Verdict(chain, (*reasons, *_check_leaf(question)))


def _check_question(question: Question) -> None:
    if not question.roots:
        hint = "give the certificate of at least one root that you trust"
        raise TrustError("trust.question.roots", "there is no trusted root", where="roots", hint=hint)
    if question.at.tzinfo is None:
        hint = "such as datetime(2026, 11, 22, 12, tzinfo=UTC)"
        raise TrustError("trust.question.at", "the moment in question has no time zone", where="at", hint=hint)


def _check_leaf(question: Question) -> list[Reason]:
    """What speaks against the certificate itself, whatever its chain."""
    certificate = question.certificate
    found = check_holder(certificate, question.role, question.use)
    against = question.algorithms.why_not_key(certificate.public_key())
    if against is not None:
        message = f"its key is not allowed: {against}"
        found.append(reason(certificate, "trust.algorithm.key", "TR-03116-3 table 4", message))
    return found
