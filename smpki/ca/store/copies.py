"""A whole store, copied while it works, and put in place of a lost one."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Engine, insert, select, update

from smpki.ca.store.audit import AuditChain
from smpki.ca.store.audit_head import Head
from smpki.ca.store.audit_verify import AuditFinding, verify_copy
from smpki.ca.store.records import AuditEntry
from smpki.ca.store.tables import audit_head, crl, intent
from smpki.db.engine import address, make_file, reading, version_of
from smpki.db.portable import bring_up_to_date, count_on, lines_of, make_empty, tables_of, take_lines
from smpki.errors import AuditError, StoreError

_NEWEST = select(audit_head).order_by(audit_head.c.counter.desc()).limit(1)


@dataclass(frozen=True)
class Snapshot:
    """The store at one moment.

    :param version: of its tables
    :param head: the audit chain's end
    :param tables: names of the tables, in the order in which they are to be filled
    :param lines: the rows of one, as :func:`smpki.db.portable.lines_of` writes them
    """

    version: str
    head: Head
    tables: tuple[str, ...]
    lines: Callable[[str], Iterator[bytes]]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What was put in place.

    :param rows: by table
    :param head: the head that the copy ends with
    :param lost: so many transactions came after the copy, by the head that was kept outside the database; ``None``
        where none was kept
    :param abandoned: serial numbers of certificates that were being issued when the copy was made
    :param findings: what does not hold of the copy's audit chain
    """

    rows: Mapping[str, int]
    head: Head
    lost: int | None
    abandoned: tuple[str, ...]
    findings: tuple[AuditFinding, ...]


@contextmanager
def snapshot(engine: Engine) -> Iterator[Snapshot]:
    """Look at a store as it is now, for as long as the block; others go on working.

    :raises StoreError: the database failed, or has no tables of ours (``store.version``)
    """
    with reading(engine) as connection:
        version = version_of(connection)
        if version is None:
            message, hint = "the database has no tables of smpki", "see the home's settings.yaml"
            raise StoreError("store.version", message, where=address(engine), hint=hint)
        tables = {table.name: table for table in tables_of(version)}
        head = Head(**connection.execute(_NEWEST).mappings().one())
        yield Snapshot(version, head, tuple(tables), lambda name: lines_of(connection, tables[name]))


def put_in_place(
    engine: Engine,
    chain: AuditChain,
    key: bytes,
    version: str,
    lines: Callable[[str], Iterator[bytes]],
    *,
    accept: frozenset[str],
    last: Callable[[], None],
) -> Restored:
    """Fill an empty database with a copy, in one transaction, and add an audit entry that says so.

    What the copy says is being issued belongs to processes that are gone: it is closed as abandoned. Where the head
    outside shows that transactions came after the copy, the numbers of CRLs that may have been in them are skipped.

    :param key: the audit key
    :param version: of the copy's tables
    :param lines: the rows of a table of that version
    :param accept: ``older``: transactions are lost; ``findings``: the copy's audit chain does not hold
    :param last: called before all this becomes visible
    :raises StoreError: ``backup.not_empty``, ``backup.version``, ``backup.rows``, or the database failed
    :raises AuditError: ``backup.older``, ``backup.findings``, ``audit.head.replaced``, ``audit.head_file.invalid``
    """
    tables = tables_of(version)
    make_file(engine)
    with chain.taking_over(engine, last) as transaction:
        connection = transaction.connection
        make_empty(connection, version)
        rows = {}
        for table in tables:
            try:
                rows[table.name] = take_lines(connection, table, lines(table.name))
            except ValueError:
                message, hint = "this is no row of the table", "use another copy"
                raise StoreError("backup.rows", message, where=table.name, hint=hint) from None
        count_on(connection, tables)
        bring_up_to_date(connection)
        report = verify_copy(connection, key)
        if report.findings and "findings" not in accept:
            first = report.findings[0]
            message = f"the copy's audit chain does not hold: {first.message} [{first.code}]"
            hint = "use another copy; --accept findings takes it as it is, and notes that"
            raise AuditError("backup.findings", message, where=first.where, hint=hint)
        head = Head(**connection.execute(_NEWEST).mappings().one())
        kept = chain.kept()
        lost = _lost(connection, head, kept, accept)
        abandoned = _close_open(connection, chain)
        _skip_crl_numbers(connection, lost or 0)
        restored = Restored(rows=rows, head=head, lost=lost, abandoned=abandoned, findings=report.findings)
        transaction.append([_entry(restored, kept)])
    return restored


def _lost(connection: Connection, head: Head, kept: Head | None, accept: frozenset[str]) -> int | None:
    """How many transactions came after the copy."""
    if kept is None:
        return None
    if kept.counter > head.counter:
        if "older" not in accept:
            raise AuditError(
                "backup.older",
                f"the copy ends at audit head {head.counter}, but head {kept.counter} was written before: what the "
                f"{kept.counter - head.counter} transactions between did would be lost",
                where=f"head {head.counter + 1}",
                hint="look for a newer copy; --accept older goes on without them, and notes that (docs/backup.md)",
            )
        return kept.counter - head.counter
    twin = select(audit_head.c.mac).where(audit_head.c.counter == kept.counter)
    if connection.execute(twin).scalar() != kept.mac:
        message = f"audit head {kept.counter} of the copy is not the one kept outside: it is the copy of another chain"
        raise AuditError("audit.head.replaced", message, where=f"head {kept.counter}", hint="see docs/backup.md")
    return 0


def _close_open(connection: Connection, chain: AuditChain) -> tuple[str, ...]:
    is_open = intent.c.state == "open"
    serials = tuple(connection.execute(select(intent.c.serial).where(is_open).order_by(intent.c.serial)).scalars())
    closing = update(intent).where(is_open)
    connection.execute(closing.values(state="abandoned", holds=False, closed_at=chain.now()))
    connection.execute(update(crl).where(crl.c.state == "open").values(state="abandoned"))
    return serials


def _skip_crl_numbers(connection: Connection, number: int) -> None:
    """Use up so many numbers of each series: each transaction that was lost can have issued one CRL at most, and a
    number must not come again (RFC 5280 5.2.3)."""
    if not number:
        return
    newest = select(crl).order_by(crl.c.authority, crl.c.kind, crl.c.number)
    rows = {(row["authority"], row["kind"]): dict(row) for row in connection.execute(newest).mappings()}
    for row in rows.values():
        del row["id"]
        changes = {"number": row["number"] + number, "scheduled": False, "state": "abandoned", "der": None}
        connection.execute(insert(crl), row | changes)


def _entry(restored: Restored, kept: Head | None) -> AuditEntry:
    def named(head: Head | None) -> dict[str, object]:
        return {"counter": head.counter, "seq": head.seq, "mac": head.mac} if head else {}

    detail: dict[str, object] = {
        "copy_ends_at": named(restored.head),
        "kept_outside": named(kept),
        "lost": restored.lost,
        "abandoned": list(restored.abandoned),
        "findings": [asdict(one) for one in restored.findings],
    }
    return AuditEntry(action="restore", outcome="done", subject="database", detail=detail)
