"""What a database driver complains of, as a StoreError.

A driver's own words stay out: they can hold values and connection settings. Its error code goes into the message.
"""

import sqlite3

from sqlalchemy import exc

from smpki.errors import StoreError

_SQLITE = (
    ("SQLITE_FULL", "store.full"),
    ("SQLITE_READONLY_DBMOVED", "store.unreachable"),
    ("SQLITE_READONLY", "store.readonly"),
    ("SQLITE_BUSY", "store.busy"),
    ("SQLITE_LOCKED", "store.busy"),
    ("SQLITE_CANTOPEN", "store.unreachable"),
    ("SQLITE_PERM", "store.unreachable"),
    ("SQLITE_NOTADB", "store.corrupt"),
    ("SQLITE_CORRUPT", "store.corrupt"),
    ("SQLITE_IOERR", "store.io"),
    ("SQLITE_CONSTRAINT", "store.conflict"),
)

# PostgreSQL Appendix A, "Error Codes": five characters, the first two are the class.
_SQLSTATE = (
    ("53100", "store.full"),
    ("25006", "store.readonly"),
    ("42501", "store.readonly"),
    ("55P03", "store.busy"),
    ("40", "store.busy"),
    ("53", "store.busy"),
    ("57014", "store.busy"),
    ("57P", "store.unreachable"),
    ("08", "store.unreachable"),
    ("28", "store.unreachable"),
    ("3D", "store.unreachable"),
    ("42P01", "store.version"),
    ("42703", "store.version"),
    ("23", "store.conflict"),
    ("58", "store.io"),
    ("XX", "store.corrupt"),
)

_EXPLAINED = {
    "store.full": ("the disk of the database is full", "free some space, then try again; nothing was half-written"),
    "store.readonly": ("the database refuses to write", "check the owner and mode of the file and its folder"),
    "store.busy": ("another process holds the database", "try again; look for a process that hangs if it lasts"),
    "store.unreachable": ("the database cannot be reached", "check its address, its folder and the right to log in"),
    "store.corrupt": ("the database is damaged or is no database", "restore the last good copy"),
    "store.io": ("the database cannot read or write its files", "check the disk"),
    "store.conflict": ("the database holds a row that excludes this one", ""),
    "store.version": ("the database lacks tables or columns", "bring it up to date with `smpki init`"),
    "store.failed": ("the database failed", ""),
}


def store_error(error: exc.SQLAlchemyError, where: str) -> StoreError:
    """Explain a failure of the database.

    :param error: what SQLAlchemy raised
    :param where: the database's address without secrets
    :returns: the error to raise, ``from None``
    """
    code, vendor = _classify(error)
    message, hint = _EXPLAINED[code]
    return StoreError(code, f"{message} ({vendor})" if vendor else message, where=where, hint=hint)


def _classify(error: exc.SQLAlchemyError) -> tuple[str, str]:
    if isinstance(error, exc.TimeoutError):  # no connection of the pool came free
        return "store.busy", ""
    cause = error.orig if isinstance(error, exc.DBAPIError) else None
    if isinstance(cause, sqlite3.Error):
        name = getattr(cause, "sqlite_errorname", "") or ""
        if name == "SQLITE_ERROR" and "no such" in str(cause):
            return "store.version", name
        return next((code for start, code in _SQLITE if name.startswith(start)), "store.failed"), name
    state = getattr(cause, "sqlstate", None) or ""
    if not state and isinstance(error, exc.OperationalError | exc.InterfaceError):
        return "store.unreachable", ""  # the connection failed before the server could give a reason
    return next((code for start, code in _SQLSTATE if state.startswith(start)), "store.failed"), state
