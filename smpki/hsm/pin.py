"""PINs: from a file, the environment or a prompt, never from an argument, and never into a message."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from smpki.errors import TokenError
from smpki.hsm.secret_file import ExposedError, read_secret, write_secret

RANDOM_PIN_DIGITS = 16
"""Length of a random PIN; BSI TR-03116-3 chapter 10 asks for at least 10 decimal digits."""


class Pin:
    """A PIN that does not show itself: not in ``repr``, ``str`` or a format, and it cannot be pickled.

    :param value: the PIN, not empty
    :raises TokenError: ``token.pin.empty``
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise TokenError("token.pin.empty", "the PIN is empty", hint="give a PIN of at least 4 characters")
        self._value = value

    def reveal(self) -> str:
        """The PIN itself, for the call that hands it to the token; keep it in no variable that outlives the call."""
        return self._value

    def __repr__(self) -> str:
        return "Pin(***)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TokenError(
            "token.pin.not_picklable",
            "a PIN does not leave its process",
            hint="let the other process read the PIN from its source",
        )


def read_pin(*, file: Path | None, value: str | None, prompt: Callable[[], str] | None) -> Pin:
    """The PIN from the first source that is given: the file, the value, the prompt.

    :param file: a file that only its owner can read; its last line break is not part of the PIN. A file that is
        given but missing is an error, not a reason to try the next source
    :param value: the PIN as the caller found it in the environment; empty counts as not given
    :param prompt: asks a person; None where there is no terminal
    :raises TokenError: ``token.pin.file_missing``, ``token.pin.file_mode``, ``token.pin.file_unreadable``,
        ``token.pin.empty``, ``token.pin.missing``
    """
    if file is not None:
        return _read_file(file)
    if value:
        return Pin(value)
    if prompt is not None:
        return Pin(prompt())
    raise TokenError(
        "token.pin.missing",
        "there is no PIN for the token",
        hint="give a PIN file of mode 0600, set the environment variable, or run in a terminal",
    )


def _read_file(file: Path) -> Pin:
    try:
        content = read_secret(file)
    except ExposedError as error:
        raise TokenError(
            "token.pin.file_mode",
            f"others than its owner can use the PIN file (mode {error.mode:04o})",
            where=str(file),
            hint=f"chmod 600 {file}, and change the PIN if somebody may have read it",
        ) from None
    except FileNotFoundError:
        raise TokenError(
            "token.pin.file_missing", "the PIN file does not exist", where=str(file), hint="check the path"
        ) from None
    except OSError as error:
        raise TokenError(
            "token.pin.file_unreadable",
            f"the PIN file cannot be read: {error.strerror}",
            where=str(file),
            hint="run as the owner of the file",
        ) from None
    try:
        return Pin(content.decode().rstrip("\r\n"))
    except UnicodeDecodeError:
        pass  # leave the handler first: the decoder's error carries the content, and a chain would too
    except TokenError as error:
        raise TokenError(error.code, error.message, where=str(file), hint=error.hint) from None
    raise TokenError(
        "token.pin.file_unreadable", "the PIN file is not text in UTF-8", where=str(file), hint="write it anew"
    )


def write_pin(file: Path, pin: Pin) -> None:
    """Write the PIN to a new file that only its owner can read; see :func:`smpki.hsm.secret_file.write_secret`.

    :raises TokenError: ``token.pin.file_exists`` (a PIN is never overwritten), ``token.pin.file_unwritable`` (then no
        file is left behind)
    """
    try:
        write_secret(file, pin.reveal().encode() + b"\n")
    except FileExistsError:
        raise TokenError(
            "token.pin.file_exists", "the PIN file exists already", where=str(file), hint="move the old file away"
        ) from None
    except OSError as error:
        raise TokenError(
            "token.pin.file_unwritable",
            f"the PIN file cannot be written: {error.strerror}",
            where=str(file),
            hint="check the folder, its owner and the space left on the disk",
        ) from None


def random_pin(randbelow: Callable[[int], int] = secrets.randbelow) -> Pin:
    """A random PIN of 16 decimal digits (BSI TR-03116-3 chapter 10 asks for at least 10).

    :param randbelow: gives a uniform integer from 0 up to, but not including, its argument
    """
    return Pin(f"{randbelow(10**RANDOM_PIN_DIGITS):0{RANDOM_PIN_DIGITS}d}")
