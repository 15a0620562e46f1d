"""Resources, actions and exports behind URIs (Detailspezifikationen zur TR-03109-1, 6.7).

An :class:`Api` says what one role finds below ``/smgw/{role}/{version}/``; :class:`Rest` is a handler for
:class:`smpki.gateway.http_rules.Service` that finds what a request is about. Bodies are JSON.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, unquote

from cryptography import x509
from pydantic import BaseModel

from smpki.gateway.http_message import Request, Response
from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.json_text import canonical_json
from smpki.gateway.media_type import JSON, negotiate
from smpki.gateway.query import Query, parse_query
from smpki.gateway.signed_json import enclose

Content = TypeVar("Content", bound=BaseModel)

Result = BaseModel | Response | None
"""What a handler gives back: a body, or none, for the usual status; or the whole answer, such as ``Response(202)``."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler may want to know beside its arguments.

    :param query: which entries of an export are asked for
    """

    request: Request
    query: Query

    @property
    def peer(self) -> x509.Certificate | None:
        """The certificate of who asks."""
        return self.request.peer[0] if self.request.peer else None


Names = Callable[[Call], Awaitable[Iterable[str]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource(Generic[Content]):
    """``rts/{Type}/`` and what is in it; a handler that is ``None`` is a method that isn't allowed.

    Case matters in ids. Handlers raise :func:`missing` for an id that is not there, and ``HttpRefusal(409, ...)`` for
    one that is there already.

    :param content: the model of what is put and posted
    :param ids: for the listing
    :param read: GET of an id
    :param update: PUT of an id
    :param delete: DELETE of an id
    :param create: POST to the list, whose URI ends with ``/``
    """

    content: type[Content]
    ids: Names
    read: Callable[[Call, str], Awaitable[Result]] | None = None
    update: Callable[[Call, str, Content], Awaitable[Result]] | None = None
    delete: Callable[[Call, str], Awaitable[Result]] | None = None
    create: Callable[[Call, Content], Awaitable[Result]] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Action(Generic[Content]):
    """``fas/{Action}``.

    :param content: the model of what is posted; ``None``: nothing is, and the handler gets ``None``
    :param do: POST
    """

    content: type[Content] | None
    do: Callable[[Call, Any], Awaitable[Result]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """``exp/{Type}/`` and what is in it.

    :param ids: for the listing
    :param read: GET of an id, heeding the call's query
    :param parameters: names of the query parameters that it heeds; others are refused, but for ``q.signed``
    """

    ids: Names
    read: Callable[[Call, str], Awaitable[BaseModel]]
    parameters: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Api:
    """What one role finds.

    :param role: ``con``, ``cls``, ``srv`` (REQ.Webservice.HttpServer.201 to .203), or another
    :param resources: by type
    :param actions: by name
    :param exports: by type
    :param admits: whether who asks has the role; others get 403
    :param sign: makes the detached SignedData that ``q.signed`` asks for, of what it is given; ``None``: there is none
    """

    role: str
    version: str = "v1"
    resources: Mapping[str, Resource[Any]] = field(default_factory=dict)
    actions: Mapping[str, Action[Any]] = field(default_factory=dict)
    exports: Mapping[str, Export] = field(default_factory=dict)
    admits: Callable[[Request], bool] = lambda _: True
    sign: Callable[[bytes], bytes] | None = None

    @property
    def base(self) -> str:
        """Where it begins: ``/smgw/{role}/{version}/``."""
        return f"/smgw/{self.role}/{self.version}/"


_Answer = Callable[[Call], Awaitable[Response]]
_PATH_CHARACTERS = "!$&'()*+,;=:@"  # and the unreserved ones (RFC 3986 3.3)


class Rest:
    """A handler that finds what a URI stands for. Case matters in all of it.

    :param apis: one for each role and version
    """

    def __init__(self, *apis: Api) -> None:
        self._apis = apis

    async def __call__(self, request: Request) -> Response:
        """Answer a request.

        :raises HttpRefusal: 400 ``http.path``, ``http.query.*``, ``http.body.unexpected``; 403 ``http.role``; 404
            ``http.missing``; 405 ``http.method``; 406, 415 and 422 as :func:`negotiate` and :meth:`Request.json`; and
            what the handlers raise
        """
        place = self._place(request)
        if request.method not in place.methods:
            allowed = ", ".join(place.methods)
            message = f"{request.method} is not for this resource"
            raise HttpRefusal(405, "http.method", message, hint=f"use {allowed}", fields={"allow": allowed})
        if request.method in ("GET", "POST"):
            negotiate(request.fields.get("accept"), (JSON,))
        query = parse_query(request.query)
        if not query.names <= place.parameters:
            where = ", ".join(sorted(query.names - place.parameters))
            raise HttpRefusal(
                400, "http.query.idle", "the parameter means nothing here", where=where, hint="leave it out"
            )
        return await place.methods[request.method](Call(request, query))

    def _place(self, request: Request) -> "_Place":
        place = None
        match [_decoded(segment) for segment in request.path.split("/")]:
            case ["", "smgw", ""]:
                place = _folder("/smgw/", *(f"{api.role}/{api.version}/" for api in self._apis if api.admits(request)))
            case ["", "smgw", role, version, *path]:
                for api in self._apis:
                    if (api.role, api.version) == (role, version):
                        if not api.admits(request):
                            raise HttpRefusal(403, "http.role", f"this is for the role {role}", hint="ask as that role")
                        place = _place_below(api, path)
        if place is None:
            raise missing(request.path[:200])
        return place


def missing(what: str) -> HttpRefusal:
    """What to raise for a resource that is not there: 404."""
    return HttpRefusal(404, "http.missing", f"there is no {what}", hint="upper and lower case matter; GET its folder")


@dataclass(frozen=True, slots=True)
class _Place:
    """What can be done where a path leads.

    :param parameters: names of the query parameters that mean something there
    """

    methods: Mapping[str, _Answer]
    parameters: frozenset[str] = frozenset()


def _place_below(api: Api, path: list[str]) -> _Place | None:
    match path:
        case [""]:
            return _folder(api.base, "rts/", "fas/", "exp/")
        case ["rts", ""]:
            return _folder(f"{api.base}rts/", *(f"{kind}/" for kind in api.resources))
        case ["fas", ""]:
            return _folder(f"{api.base}fas/", *api.actions)
        case ["exp", ""]:
            return _folder(f"{api.base}exp/", *(f"{kind}/" for kind in api.exports))
        case ["rts", kind, ""] if kind in api.resources:
            return _resources(api.resources[kind], f"{api.base}rts/{kind}/")
        case ["rts", kind, id] if kind in api.resources:
            return _resource(api.resources[kind], id)
        case ["fas", name] if name in api.actions:
            return _action(api.actions[name])
        case ["exp", kind, ""] if kind in api.exports:
            return _Place({"GET": _list(api.exports[kind].ids, f"{api.base}exp/{kind}/")})
        case ["exp", kind, id] if kind in api.exports:
            return _export(api.exports[kind], id, api.sign)
    return None


def _folder(base: str, *names: str) -> _Place:
    async def get(_: Call) -> Response:
        return Response.of_json(200, [base + name for name in names])

    return _Place({"GET": get})


def _list(ids: Names, base: str) -> _Answer:
    async def get(call: Call) -> Response:
        return Response.of_json(200, [base + quote(id, safe=_PATH_CHARACTERS) for id in await ids(call)])

    return get


def _resources(resource: Resource[Any], base: str) -> _Place:
    methods = {"GET": _list(resource.ids, base)}
    if create := resource.create:
        methods["POST"] = lambda call: _answer(201, create(call, call.request.json(resource.content)))
    return _Place(methods)


def _resource(resource: Resource[Any], id: str) -> _Place:
    methods: dict[str, _Answer] = {}
    if read := resource.read:
        methods["GET"] = lambda call: _answer(200, read(call, id))
    if update := resource.update:
        methods["PUT"] = lambda call: _answer(200, update(call, id, call.request.json(resource.content)))
    if delete := resource.delete:
        methods["DELETE"] = lambda call: _answer(200, delete(call, id))
    return _Place(methods)


def _action(action: Action[Any]) -> _Place:
    def post(call: Call) -> Awaitable[Response]:
        if action.content is not None:
            return _answer(200, action.do(call, call.request.json(action.content)))
        if call.request.body:
            raise HttpRefusal(400, "http.body.unexpected", "this action takes no body", hint="send none")
        return _answer(200, action.do(call, None))

    return _Place({"POST": post})


def _export(export: Export, id: str, sign: Callable[[bytes], bytes] | None) -> _Place:
    async def get(call: Call) -> Response:
        response = Response.of_json(200, await export.read(call, id))
        if call.query.signed is None or sign is None:
            return response
        return Response(200, enclose("content", response.body, sign(canonical_json(response.body))), JSON)

    return _Place({"GET": get}, export.parameters | ({"q.signed"} if sign else set()))


async def _answer(status: int, result: Awaitable[Result]) -> Response:
    """The usual answer to a handler's result; 204 instead of 200 without a body."""
    match await result:
        case Response() as response:
            return response
        case None:
            return Response(204 if status == 200 else status)
        case body:
            return Response.of_json(status, body)


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise HttpRefusal(400, "http.path", "the path is not UTF-8", hint="RFC 3986 2.5") from None
