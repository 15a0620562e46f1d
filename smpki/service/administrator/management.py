"""What the administrator asks of a gateway on MANAGEMENT, where the gateway is the HTTP server."""

from urllib.parse import quote, urlencode

from smpki.errors import GatewayError
from smpki.gateway import api
from smpki.gateway.api_types import Body
from smpki.gateway.http_client_rules import Answer, Caller, NoAnswer, Outcome
from smpki.gateway.http_message import Model
from smpki.gateway.media_type import JSON
from smpki.gateway.slots import Slot
from smpki.policy.text import visible
from smpki.service.administrator.again import TryAgain


class RefusedByGateway(GatewayError):
    """The gateway does not do what it was asked for; asked again, it would not either. ``gwa.gateway.refused``.

    :param status: of its answer
    :param problem: what it says; with an empty code when it says nothing
    """

    def __init__(self, status: int, problem: api.Problem, where: str) -> None:
        message = f"the gateway refuses it ({status}): {problem.message}"
        super().__init__("gwa.gateway.refused", message, where=where, hint=problem.hint)
        self.status = status
        self.problem = problem.code


class Management:
    """One gateway. All methods raise :class:`NoAnswer`, :class:`RefusedByGateway` and :class:`TryAgain`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def status(self) -> api.Status:
        """What it says about itself."""
        return await self._get(api.STATUS, api.Status)

    async def put(self, path: str, body: Body) -> None:
        """Set a resource; the same again changes nothing.

        :param path: percent-encoded
        """
        await self._ask("PUT", path, body)

    async def prepare(self, wanted: api.PrepareWanKeys) -> bytes:
        """Let it make keys.

        :returns: a request package for them, DER
        """
        return (await self._ask("POST", api.PREPARE_WAN_KEYS, wanted)).json(api.WanKeys).package

    async def install(self, slot: Slot, certificate: api.SlotCertificate) -> None:
        """Give it a certificate for a next slot."""
        await self.put(f"{api.CERTIFICATES}{slot.value}", certificate)

    async def activate(self) -> None:
        """Let it try the next keys, from its next connection on."""
        await self._ask("POST", api.ACTIVATE_WAN_KEYS)

    async def retire(self) -> None:
        """Let it destroy the former keys."""
        await self._ask("POST", api.RETIRE_WAN_KEYS)

    async def self_test(self) -> api.SelfTest:
        """Let it test itself."""
        return (await self._ask("POST", api.SELF_TEST)).json(api.SelfTest)

    async def report(self, wanted: api.ReportNow) -> None:
        """Let it deliver now."""
        await self._ask("POST", api.REPORT_NOW, wanted)

    async def log(self, name: str, query: dict[str, str]) -> api.LogExport:
        """A part of a log.

        :param query: parameters of table 6.5
        """
        parameters = f"?{urlencode(query, quote_via=quote)}" if query else ""
        return await self._get(f"{api.LOGS}{quote(name, safe='')}{parameters}", api.LogExport)

    async def _get(self, path: str, model: type[Model]) -> Model:
        return (await self._ask("GET", path)).json(model)

    async def _ask(self, method: str, path: str, body: Body | None = None) -> Answer:
        if body is None:
            answer = await self._caller.ask(method, path)
        else:
            answer = await self._caller.ask(method, path, body.to_json(), JSON)
        if answer.outcome is Outcome.DONE:
            return answer
        problem = _problem(answer)
        if answer.outcome is Outcome.REFUSED:
            raise RefusedByGateway(answer.status, problem, path)
        message = f"the gateway can't do it now ({answer.status}): {problem.message}"
        raise TryAgain("gwa.gateway.later", message, where=path, hint="it is tried again")


def _problem(answer: Answer) -> api.Problem:
    """Why, as far as the gateway says it; shortened, for it goes into logs."""
    try:
        told = answer.json(api.Problem)
    except NoAnswer:
        return api.Problem(code="", message="it does not say why")
    text = f"{told.where}: {told.message}" if told.where else told.message
    return api.Problem(
        code=visible(told.code)[:100], message=visible(f"{text} [{told.code}]")[:500], hint=visible(told.hint)[:200]
    )
