"""Backups of a PKI's home: the database as it is at one moment, the policy and settings; no keys of the token, no PINs.

What is restored is verified before it counts, and says in its audit that it was restored. See ``docs/backup.md``.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from smpki.ca.backup_file import AUDIT_KEY, POLICY, Backup, Made, Manifest, open_backup, write_backup
from smpki.ca.home import Home, Settings
from smpki.ca.store.audit import AuditChain, key_text, read_key
from smpki.ca.store.copies import Restored, put_in_place, snapshot
from smpki.db.engine import open_engine
from smpki.errors import SmpkiError, StoreError
from smpki.hsm.secret_file import replace_secret, write_secret
from smpki.policy.load import load_policy

ACCEPTABLE = ("older", "findings")
"""What a restoration goes on with only when it is told to: see :func:`smpki.ca.store.copies.put_in_place`."""


def back_up(home: Home, file: Path, *, now: datetime, program: str, with_key: bool) -> Manifest:
    """Write a backup of a PKI, while it works.

    :param program: version of this program
    :param with_key: the audit key goes along; whoever has it can forge entries of the chain that no signature covers
    :raises SmpkiError: what home, database or file refuse
    """
    settings = home.settings()
    key = read_key(home.audit_key_file)
    small = {POLICY: home.policy_file.read_bytes()}
    load_policy(small[POLICY].decode())  # a home that can't work is no good to come back to
    if with_key:
        small[AUDIT_KEY] = key_text(key)
    engine = open_engine(home.database_url(settings))
    try:
        with snapshot(engine) as found:
            made = Made(now, program, settings.environment, settings.module, settings.token, found.version, found.head)
            return write_backup(file, made, key, small, ((name, found.lines(name)) for name in found.tables))
    finally:
        engine.dispose()


@dataclass(frozen=True)
class Place:
    """Where a PKI is restored.

    :param database: a SQLAlchemy URL; ``None``: what the home's settings say, else SQLite in the home
    """

    home: Home
    database: str | None


def check_backup(file: Path, home: Home) -> Manifest:
    """Read a backup to its end, and see that it is whole; nothing is restored.

    :param home: has the audit key, unless the backup has it
    :raises StoreError: ``backup.*``
    :raises AuditError: ``audit.key.*``
    """
    with open_backup(file) as backup:
        _check_key(backup, home)
        backup.policy()
        for table in backup.manifest.rows:
            for _ in backup.lines(table):
                pass
        return backup.manifest


def restore(
    file: Path,
    place: Place,
    *,
    clock: Callable[[Settings], tuple[Callable[[], datetime], bool]],
    accept: Collection[str] = (),
) -> tuple[Manifest, Restored]:
    """Restore a PKI in a home that has none, or the database of a home that has lost it. Nothing is overwritten.

    The settings are written last, so that a home where this was broken off has no PKI; then it is begun anew.

    :param clock: the clock for these settings, and whether it was set by the operator
    :param accept: some of :data:`ACCEPTABLE`
    :raises StoreError: ``backup.*``
    :raises AuditError: ``backup.older``, ``backup.findings``, ``audit.*``
    :raises SmpkiError: ``home.*``
    """
    home = place.home
    with open_backup(file) as backup:
        settings = _settings(backup.manifest, place)
        key = _check_key(backup, home)
        policy = backup.policy()
        now, is_test = clock(settings)
        _refuse_leftovers(home, settings)
        with _all_or_nothing(home):
            _make_files(home, key, policy)
            engine = open_engine(home.database_url(settings))
            try:
                restored = put_in_place(
                    engine,
                    AuditChain(key, home.audit_head_file, clock=now, test_clock=is_test),
                    key,
                    backup.manifest.version,
                    backup.lines,
                    accept=frozenset(accept),
                    last=lambda: _write(home.settings_file, yaml.safe_dump(settings.model_dump(), sort_keys=False)),
                )
            finally:
                engine.dispose()
        return backup.manifest, restored


@contextmanager
def _all_or_nothing(home: Home) -> Iterator[None]:
    """Take away again what was not there before, when the block is left by an exception."""
    there = _files(home)
    try:
        yield
    except BaseException:
        for one in _files(home) - there:
            with suppress(OSError):
                one.unlink()
        raise


def _settings(manifest: Manifest, place: Place) -> Settings:
    """The home's, where it has any: it must be the same PKI."""
    if not place.home.settings_file.exists():
        return Settings(
            environment=manifest.environment, database=place.database, module=manifest.module, token=manifest.token
        )
    settings = place.home.settings()
    if settings.environment != manifest.environment or place.database not in (None, settings.database):
        message, hint = "the home was made with other settings", "choose another --home"
        raise StoreError("backup.other", message, where=str(place.home.folder), hint=hint)
    return settings


def _check_key(backup: Backup, home: Home) -> bytes:
    """The audit key: the home's, else the backup's.

    :return: 32 octets
    """
    if home.audit_key_file.exists():
        key = read_key(home.audit_key_file)
    elif backup.has_key:
        key = backup.audit_key()
    else:
        message, hint = (
            "the audit key is neither in the home nor in the backup",
            "put the PKI's audit.key into the home",
        )
        raise StoreError("backup.audit_key", message, where=str(home.audit_key_file), hint=hint)
    backup.check_mac(key)
    return key


def _files(home: Home) -> set[Path]:
    """The files there are of those that are restored."""
    files = (home.settings_file, home.policy_file, home.audit_key_file, home.audit_head_file, _database(home))
    return {file for file in files if file.exists()}


def _database(home: Home) -> Path:
    return home.folder / "smpki.db"


def _make_files(home: Home, key: bytes, policy: str) -> None:
    """What the home lacks of the files that come before the database."""
    try:
        home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.run_folder.mkdir(mode=0o700, exist_ok=True)
        if not home.audit_key_file.exists():
            write_secret(home.audit_key_file, key_text(key))
        if not home.policy_file.exists():
            replace_secret(home.policy_file, policy.encode())
    except OSError as error:
        raise _unwritable(home.folder, error) from None


def _refuse_leftovers(home: Home, settings: Settings) -> None:
    """A write-ahead log without its database would be taken for that of the new one."""
    if settings.database is not None:
        return
    file = _database(home)
    for ending in ("-wal", "-shm", "-journal"):
        beside = file.with_name(file.name + ending)
        if beside.exists() and not file.exists():
            message, hint = "this belongs to the database that is gone", "move it away"
            raise StoreError("backup.leftover", message, where=str(beside), hint=hint)


def _write(file: Path, text: str) -> None:
    try:
        replace_secret(file, text.encode())
    except OSError as error:
        raise _unwritable(file, error) from None


def _unwritable(place: Path, error: OSError) -> SmpkiError:
    message = f"the home can't be written: {error.strerror}"
    return SmpkiError("home.unwritable", message, where=str(place), hint="choose another --home")
