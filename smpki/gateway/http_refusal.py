"""Why a request gets no more than a status of 400 or above."""

from collections.abc import Mapping

from smpki.errors import GatewayError


class HttpRefusal(GatewayError):
    """A request that is refused; the answer's body is the error as JSON.

    :param status: what the answer says (Detailspezifikationen zur TR-03109-1, table 6.2)
    :param fields: header fields that belong to the status, such as ``allow`` to 405
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        where: str = "",
        hint: str = "",
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, message, where=where, hint=hint)
        self.status = status
        self.fields = dict(fields or {})
