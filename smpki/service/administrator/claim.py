"""One process at a time is at work with an administrator's database; others look and give orders."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smpki.errors import GatewayError, TokenError
from smpki.hsm.claim import FileClaim


@contextmanager
def at_work(database: Path) -> Iterator[None]:
    """Be the one.

    :raises GatewayError: ``gwa.at_work``: another process is, ``gwa.lock``: the file beside the database can't be used
    """
    try:
        claim = FileClaim(_lock(database), str(database))
    except TokenError as error:
        if error.code != "token.claimed":
            hint = "see to the folder of the database"
            raise GatewayError("gwa.lock", error.message, where=error.where, hint=hint) from None
        message, hint = "another process is at work with this database", "end it, or take another database"
        raise GatewayError("gwa.at_work", message, where=str(database), hint=hint) from None
    try:
        yield
    finally:
        claim.release()


def is_at_work(database: Path) -> bool:
    """Whether a process is; if not, orders wait until one is."""
    try:
        with at_work(database):
            return False
    except GatewayError:
        return True


def _lock(database: Path) -> Path:
    return database.with_name(f"{database.name}.lock")
