"""Handlers of /images: pull, import, load and what is known of images."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.server.messages import Answer, Request, Streamed, json_answer
from wardian.server.progress import Emit, progress_lines
from wardian.server.uploads import spooled


async def index(request: Request) -> Answer:
    query = request.query
    filters = query.filters()
    if query.text("filter"):  # a name; its own parameter up to API 1.40
        filters.setdefault("reference", []).append(query.text("filter"))
    return json_answer(request.engine.images.list(filters, query.flag("all"), query.flag("shared-size")))


async def inspect(request: Request) -> Answer:
    platform = _platform(request)
    if platform and request.query.flag("manifests"):
        message = "conflicting options: manifests and platform options cannot both be set"
        raise WardianError(INVALID, message, operation="inspect image")
    return json_answer(request.engine.images.inspect(_name(request), platform))


async def history(request: Request) -> Answer:
    return json_answer(request.engine.images.history(_name(request), _platform(request)))


async def tag(request: Request) -> Answer:
    repo = request.query.text("repo")
    if not repo:
        raise WardianError(INVALID, "repository name must have at least one component", operation="tag")
    await request.engine.images.tag(_name(request), repo, request.query.text("tag"))
    return Answer(201)


async def remove(request: Request) -> Answer:
    query = request.query
    platforms = [text for text in query.texts("platforms") if text]
    if len(platforms) > 1:
        raise WardianError(INVALID, "multiple platforms are not supported", operation="remove image")
    platform = _read_platform(platforms[0]) if platforms else ""
    images = request.engine.images
    return json_answer(await images.remove(_name(request), query.flag("force"), query.flag("noprune"), platform))


async def prune(request: Request) -> Answer:
    return json_answer(await request.engine.images.prune(request.query.filters()))


async def create(request: Request) -> Streamed:
    """Pull (`fromImage`) or import (`fromSrc=-`, the body is the archive)."""
    if request.query.text("fromImage"):
        return _pull(request)
    source = request.query.text("fromSrc")
    if source == "-":
        return _import(request)
    if source:
        raise WardianError(NOT_IMPLEMENTED, "import from a URL is not built yet in Wardian", subject=source)
    raise WardianError(INVALID, "neither fromImage nor fromSrc says what to create", operation="create image")


def _pull(request: Request) -> Streamed:
    query = request.query
    auth = decode_auth(request.headers.get("x-registry-auth", ""))

    async def run(emit: Emit) -> None:
        await request.engine.images.pull(query.text("fromImage"), query.text("tag"), query.text("platform"), auth, emit)

    return Streamed(progress_lines(run, "pull"), eager=False)


def _import(request: Request) -> Streamed:
    query = request.query

    async def run(emit: Emit) -> None:
        async with spooled(request.body, request.engine.home.data_root) as file:
            await request.engine.images.import_(
                file,
                query.text("repo"),
                query.text("tag"),
                query.text("message"),
                query.texts("changes"),
                query.text("platform"),
                emit,
            )

    return Streamed(progress_lines(run, "import"), eager=False)


async def load(request: Request) -> Streamed:
    platform = _platform(request)

    async def run(emit: Emit) -> None:
        async with spooled(request.body, request.engine.home.data_root) as file:
            await request.engine.images.load(file, emit, platform)

    return Streamed(progress_lines(run, "load", errors_are_lines=True), eager=False)


async def push(request: Request) -> Streamed:
    auth = decode_auth(request.headers.get("x-registry-auth", ""))
    reference = request.engine.images.to_push(_name(request), request.query.text("tag"))

    async def run(emit: Emit) -> None:
        await request.engine.images.push(reference, _platform(request), auth, emit)

    return Streamed(progress_lines(run, "push", errors_are_lines=True), eager=False)


async def save(request: Request) -> Streamed:
    """Of one image by its path, or of those that `names` lists."""
    names = [request.parameters["name"]] if "name" in request.parameters else request.query.texts("names")
    pieces = await request.engine.images.save([name for name in names if name], _platform(request))
    return Streamed(pieces, "application/x-tar", eager=False)


def _platform(request: Request) -> str:
    """`platform` as JSON, in which docker's CLI gives it to all but pull, or as os/arch[/variant]."""
    return _read_platform(request.query.text("platform"))


def _read_platform(text: str) -> str:
    if not text.startswith("{"):
        return text
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise WardianError(INVALID, f"failed to parse platform: {error}", operation="read the query") from error
    parts = [str(value.get(key) or "") for key in ("os", "architecture", "variant")]
    return "/".join(filter(None, parts))


def decode_auth(header: str) -> dict[str, Any] | None:
    """X-Registry-Auth: base64url of JSON; None when the client has none. Raises WardianError when malformed."""
    if not header:
        return None
    try:
        value = msgspec.json.decode(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        message = f"invalid X-Registry-Auth header: {error}"
        raise WardianError(INVALID, message, operation="decode credentials") from error
    return value if isinstance(value, dict) and value else None


def _name(request: Request) -> str:
    return request.parameters["name"]
