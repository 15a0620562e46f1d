"""Passwords of key files: never from an argument of a command, and never into a message."""

from pathlib import Path
from typing import NoReturn

from smpki.errors import SmpkiError
from smpki.hsm.secret_file import ExposedError, read_secret


class Password:
    """A password that does not show itself: not in ``repr``, ``str`` or a format, and it cannot be pickled.

    :param value: the password, not empty
    :raises SmpkiError: ``keys.password.empty``
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise _refused("empty", "the password is empty", "", "give a password of a few words")
        self._value = value

    def reveal(self) -> bytes:
        """The password itself, for the call that uses it; keep it in no variable that outlives the call."""
        return self._value.encode()

    def __repr__(self) -> str:
        return "Password(***)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a password does not leave its process")


def read_password(file: Path) -> Password:
    """Read a password from a file that only its owner can use; its last line break is not part of it.

    :raises SmpkiError: ``keys.password.exposed``, ``keys.password.unreadable``, ``keys.password.empty``
    """
    try:
        content: str | None = read_secret(file).decode().rstrip("\r\n")
    except ExposedError as error:
        message = f"others than its owner can use the password file (mode {error.mode:04o})"
        raise _refused("exposed", message, str(file), f"chmod 600 {file}, and change the password") from None
    except OSError as error:
        raise _refused("unreadable", f"can't be read: {error.strerror}", str(file), "check the path") from None
    except UnicodeDecodeError:
        content = None  # leave the handler first: the decoder's error carries the content, and a chain would too
    if content is None:
        raise _refused("unreadable", "the password file is not text in UTF-8", str(file), "write it anew")
    return Password(content)


def _refused(rule: str, message: str, where: str, hint: str) -> SmpkiError:
    return SmpkiError(f"keys.password.{rule}", message, where=where, hint=hint)
