"""A Sub-CA with many revoked certificates, made by the database itself."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

# Times are written as SQLAlchemy writes them; every certificate is revoked at a moment of its own. Serial numbers
# rise, since rows in their order are made much faster.
_REVOKE = """
INSERT INTO revocation (serial, issuer_serial, kind, not_after, since, reason)
WITH RECURSIVE number (n) AS (SELECT :rows + 1 UNION ALL SELECT n + 1 FROM number WHERE n < :total)
SELECT printf('4%07x', n) || lower(hex(randomblob(12))), :issuer, 'emt', :not_after,
       datetime(:first, '+' || (20 * n) || ' seconds') || '.000000',
       CASE n % 4 WHEN 0 THEN 'unspecified' WHEN 1 THEN 'key_compromise' WHEN 2 THEN 'superseded'
       ELSE 'cessation_of_operation' END
FROM number
"""


def revoke_many(database: Path, issuer_serial: str, total: int) -> None:
    """Add rows of revoked certificates until there are so many; the certificates are not needed to build a CRL.

    :param database: an SQLite file of ours
    """
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    values = {
        "total": total,
        "issuer": issuer_serial,
        "first": str(now - timedelta(days=365)),
        "not_after": f"{now + timedelta(days=365)}.000000",
    }
    with closing(sqlite3.connect(database)) as connection, connection:
        (rows,) = connection.execute("SELECT count(*) FROM revocation").fetchone()
        connection.execute(_REVOKE, {**values, "rows": rows})
