"""Prepare the renewals that are due, so that only sending is left."""

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from smpki.errors import SmpkiError
from smpki.participant.key_places import KeyPlace, KeySource
from smpki.participant.packages import PACKAGE, sync_folder
from smpki.participant.renewal import names_of, write_renewal
from smpki.participant.signers import signer_of
from smpki.participant.watch import Found, State, Watched
from smpki.policy.model import Policy


@dataclass(frozen=True)
class Prepared:
    """A renewal that is due.

    :param subject: whose
    :param previous: the folder of the triple that is renewed
    :param package: the file to send
    :param made: what was made: files, or labels of keys in a token; empty when it was prepared before
    :param error: why it could not be prepared
    """

    subject: str
    previous: Path
    package: Path
    made: tuple[str, ...] = ()
    error: SmpkiError | None = None

    def as_dict(self) -> dict[str, object]:
        """The renewal as the mapping that ``--json`` prints."""
        error = self.error.as_dict() if self.error else None
        return {"subject": self.subject, "package": str(self.package), "made": list(self.made), "error": error}


def prepare_renewals(
    watched: Sequence[Watched],
    source: KeySource,
    place: Callable[[Path, Found], KeyPlace],
    out: Path,
    policy: Policy,
    now: datetime,
) -> Iterator[Prepared]:
    """Make keys and package for each triple that is due, in a folder of its own; what is there already is left alone.

    A folder is there whole or not at all, keys and package: after a crash there are no keys without the package that
    they are for. Keys in a token may be left over, of which nobody has heard.

    Triples whose SIG key is not at hand are somebody else's to renew, and passed over.

    :param source: has the SIG keys
    :param place: where new keys go, for the folder of a renewal and the SIG certificate that is renewed
    :param out: the folder of the folders
    :param now: timezone-aware
    """
    for each in watched:
        if each.state is not State.DUE or each.found.purpose != "sig":
            continue
        found = each.found
        subject = str(found.subject)
        folder = out / _folder_name(found)
        package = folder / PACKAGE
        previous = found.file.parent
        if package.exists():
            yield Prepared(subject, previous, package)
            continue
        try:
            signer = signer_of(found.certificate, found.file, source)
            names = names_of(found.certificate, _tls_certificate(found, watched))
            made: tuple[str, ...] = ()
            with _turn(out):
                if not package.exists():
                    with _appearing(folder) as draft:
                        made = write_renewal(signer, names, policy, draft, place(draft, found), now)
                    made = tuple(str(folder / Path(one).name) if Path(one).parent == draft else one for one in made)
        except SmpkiError as error:
            if error.code != "keys.missing":
                yield Prepared(subject, previous, package, error=error)
        else:
            yield Prepared(subject, previous, package, made)


@contextmanager
def _turn(out: Path) -> Iterator[None]:
    """One watcher at a time makes folders here."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unwritable(out, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # which gives up the lock too


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A folder that is filled under another name, and gets its own when the block has ended well."""
    draft = folder.with_name(f".{folder.name}")
    try:
        if draft.exists():  # of somebody who died; what is in it has gone nowhere
            shutil.rmtree(draft)
        yield draft
        draft.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> SmpkiError:
    message, hint = f"can't be written: {error.strerror}", "see to the folder and the disk"
    return SmpkiError("output.unwritable", message, where=str(folder), hint=hint)


def _tls_certificate(sig: Found, watched: Sequence[Watched]) -> x509.Certificate | None:
    """The TLS certificate of the same triple: the names of a triple are alike, its number included."""
    for each in watched:
        found = each.found
        if found.purpose == "tls" and found.subject == sig.subject and found.kind is sig.kind:
            return found.certificate
    return None


def _folder_name(found: Found) -> str:
    """``<CN>-<serial>``, with nothing in it that a file system could mistake."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", found.subject.common_name).lstrip(".")
    return f"{name}-{found.certificate.serial_number:x}"
