"""What can't be done now, and may be later."""

from smpki.errors import SmpkiError


class TryAgain(SmpkiError):
    """A step can't be taken now.

    :param to: go back to this step
    """

    def __init__(self, code: str, message: str, *, where: str = "", hint: str = "", to: str | None = None) -> None:
        super().__init__(code, message, where=where, hint=hint)
        self.to = to
