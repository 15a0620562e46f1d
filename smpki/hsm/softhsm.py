"""SoftHSM: a token folder of our own."""

import shutil
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from smpki.errors import TokenError
from smpki.hsm.filelock import exclusive
from smpki.hsm.module import find_softhsm
from smpki.hsm.pin import Pin
from smpki.hsm.token_set_up import SetUp, set_up_once
from smpki.hsm.vendor import refusal

_CONFIGURATION = """\
# Written by smpki.
directories.tokendir = {tokens}
objectstore.backend = file
log.level = ERROR
slots.removable = false
# a forked process begins anew instead of going on in the parent's sessions
library.reset_on_fork = true
"""

_CKR_PIN_LEN_RANGE = 0xA2


class SoftHsm:
    """A folder with SoftHSM tokens, their configuration and their lock file, for this user only.

    :param folder: the folder; :meth:`activate` or :meth:`create_token` makes it
    :param library: SoftHSM's library, where it is not at a usual place
    :param set_up: runs the program that makes tokens
    """

    def __init__(self, folder: Path, *, library: Path | None = None, set_up: SetUp = set_up_once) -> None:
        self.folder = folder.absolute()
        self._library = library
        self._set_up = set_up

    @property
    def configuration(self) -> Path:
        """The configuration file, which SOFTHSM2_CONF names."""
        return self.folder / "softhsm2.conf"

    @property
    def tokens(self) -> Path:
        """Where SoftHSM keeps the tokens; a backup of this folder, with the PIN, is a backup of the keys."""
        return self.folder / "tokens"

    @property
    def lock(self) -> Path:
        """The lock file to open these tokens with, see :meth:`smpki.hsm.token.Token.open`."""
        return self.folder / "lock"

    def activate(self, environ: MutableMapping[str, str]) -> None:
        """Point SoftHSM to this folder, which is made where it is missing, and repaired where it was moved.

        SoftHSM reads the variable by itself when the first token of a process is opened. So it has to be in the
        process's environment, and holds until the last token is closed.

        :param environ: ``os.environ``, or the environment of a process to be started
        :raises TokenError: ``token.folder.unusable``
        """
        if any(sign in str(self.folder) for sign in "\n#"):
            raise self._unusable("its name has a character that SoftHSM's configuration cannot hold")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.tokens.mkdir(mode=0o700, exist_ok=True)
            configuration = _CONFIGURATION.format(tokens=self.tokens)
            if not self.configuration.is_file() or self.configuration.read_text() != configuration:
                # renamed into place, for another process may read it at this moment
                with NamedTemporaryFile("w", dir=self.folder, delete=False) as file:
                    file.write(configuration)
                Path(file.name).replace(self.configuration)
        except OSError as error:
            raise self._unusable(str(error.strerror)) from None
        environ["SOFTHSM2_CONF"] = str(self.configuration)

    def create_token(self, label: str, pin: Pin, so_pin: Pin) -> None:
        """Make a token. This process sees it once it has closed the tokens that it has open.

        :param label: the token's label, up to 32 octets in UTF-8
        :param pin: the user's PIN, 4 to 255 characters
        :param so_pin: the security officer's PIN, 4 to 255 characters
        :raises TokenError: ``token.exists``, ``token.label.length``, ``token.full``, ``token.folder.unusable``,
            ``token.module.*``, ``token.pin.length``, or the vendor's; then no half-made token is left behind
        """
        if not 1 <= len(label.encode()) <= 32:
            raise TokenError(
                "token.label.length", "a token's label has 1 to 32 octets", where=label, hint="choose another label"
            )
        if not 4 <= len(so_pin.reveal().encode()) <= 255:
            # SoftHSM would call it wrong
            raise refusal(_CKR_PIN_LEN_RANGE, "set up the token, the security officer's PIN", label)
        self.activate({})
        library = self._library or find_softhsm()
        with exclusive(self.lock), self._draft() as draft:
            # the PINs are in no variable, lest an error's traceback show them
            answer = self._set_up(
                {
                    "module": str(library),
                    "label": label,
                    "so_pin": so_pin.reveal(),
                    "pin": pin.reveal(),
                    "folder": str(self.configuration),
                    "draft": str(draft.configuration),
                }
            )
            if answer["status"] == "done":
                for token in draft.tokens.iterdir():
                    token.rename(self.tokens / token.name)
        match answer["status"]:
            case "exists":
                raise TokenError(
                    "token.exists",
                    "there is a token with this label",
                    where=label,
                    hint="use it, or choose another label",
                )
            case "refused":
                raise refusal(answer["value"], f"set up the token, {answer['function']}", label)
            case "unloadable" | "crashed":
                raise TokenError(
                    "token.module.invalid",
                    "this is not SoftHSM's library, or not for this machine",
                    where=str(library),
                    hint="reinstall SoftHSM, or give the path of its library",
                )

    @contextmanager
    def _draft(self) -> Iterator["SoftHsm"]:
        """A folder in which a token is made before it is renamed into place whole.

        SoftHSM can neither finish a token whose set-up was interrupted, nor work beside one.
        """
        draft = SoftHsm(self.folder / "draft")
        shutil.rmtree(draft.folder, ignore_errors=True)  # of a set-up that was interrupted
        draft.activate({})
        try:
            yield draft
        finally:
            shutil.rmtree(draft.folder, ignore_errors=True)

    def _unusable(self, reason: str) -> TokenError:
        return TokenError(
            "token.folder.unusable",
            f"the token folder cannot be used: {reason}",
            where=str(self.folder),
            hint="choose a folder that this user may write to",
        )
