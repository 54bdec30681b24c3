"""Handlers of a container's files: archive (cp), changes (diff), export, commit."""

from __future__ import annotations

import base64

import msgspec

from wardian.engine import CommitAsked
from wardian.server.messages import Answer, Request, Streamed, json_answer

_TAR = "application/x-tar"
# While a container's files are read it cannot be started: who stopped reading does not hold it for ever.
_PATIENCE = 60.0


async def stat(request: Request) -> Answer:
    found = await request.engine.files.stat(_ref(request), request.query.text("path"))
    return Answer(200, headers=(_stat_header(found),))


async def download(request: Request) -> Streamed:
    found = await request.engine.files.download(_ref(request), request.query.text("path"))
    return Streamed(found.pieces, _TAR, eager=False, headers=(_stat_header(found.stat),), patience=_PATIENCE)


async def upload(request: Request) -> Answer:
    query = request.query
    await request.engine.files.upload(
        _ref(request),
        query.text("path"),
        aiter(request.body),
        owned_by_user=query.flag("copyUIDGID"),
        keep_kinds=query.flag("noOverwriteDirNonDir"),
    )
    return Answer(200)


async def changes(request: Request) -> Answer:
    return json_answer(await request.engine.files.changes(_ref(request)))


async def export(request: Request) -> Streamed:
    return Streamed(
        await request.engine.files.export(_ref(request)), "application/octet-stream", eager=False, patience=_PATIENCE
    )


async def commit(request: Request) -> Answer:
    query = request.query
    config = await request.json()
    asked = CommitAsked(
        container=query.text("container"),
        repo=query.text("repo"),
        tag=query.text("tag"),
        comment=query.text("comment"),
        author=query.text("author"),
        pause=query.flag("pause", True),
        changes=query.texts("changes"),
        config=config,
    )
    return json_answer(await request.engine.commits.commit(asked), 201)


def _stat_header(found: dict[str, object]) -> tuple[str, str]:
    return "X-Docker-Container-Path-Stat", base64.b64encode(msgspec.json.encode(found)).decode()


def _ref(request: Request) -> str:
    return request.parameters["id"]
