"""Containers, execs, images and networks as users know them: life cycles, events, state.

    engine = Engine(home)                      opens nothing yet
    await engine.start()                       database, networks, recovery of what still runs
    await engine.close()                       lets go of everything; containers run on

Everything below takes and returns bodies in the shape of Docker's Engine API 1.51 (plain dicts) or raises an error.
`ref` is an id, a unique prefix of one, or a name. Reads are plain calls: they take a snapshot of memory and never wait.

engine.containers
    async create(body, name: str | None = None, platform: str | None = None) -> {"Id", "Warnings"}
    inspect(ref, size: bool = False) -> dict
    list(all: bool = False, limit: int = 0, size: bool = False, filters: Filters | None = None) -> list[dict]
    async start(ref, detach_keys: str | None = None) -> None
    async stop(ref, signal: str | None = None, timeout: int | None = None) -> str
    async restart(ref, signal: str | None = None, timeout: int | None = None) -> str
    async kill(ref, signal: str = "KILL") -> str   a name with or without SIG, or a number
        these three answer what is worth saying to a person ("" mostly): a signal that does nothing, say
    async remove(ref, force: bool = False, volumes: bool = False, link: bool = False) -> None
    async resize(ref, height: int, width: int) -> None
    async rename(ref, name: str) -> None
    async pause(ref) / unpause(ref) -> None
    async update(ref, body) -> {"Warnings"}
    async top(ref, ps_args: str = "-ef") -> {"Titles", "Processes"}
    wait(ref, condition: str = "not-running") -> Awaitable[dict]      404 at once; then {"StatusCode", "Error"?}
    attach(ref, options: AttachOptions) -> AttachSession              raises before any header is sent
        session.tty: bool; await session.hand_over(fd: int, early: bytes) -> None   owns fd from then on
        returns at once when the supervisor has it (or when it is queued for start)
    logs(ref, options: LogOptions) -> LogStream                       tty, chunks
    async prune(filters: Filters | None = None) -> {"ContainersDeleted", "SpaceReclaimed"}
    async plan(body) -> dict                                          what `run` would do; nothing is made
    explain(ref) -> dict                                              what `start` did, with durations
engine.execs
    async create(ref, body) -> {"Id"}
    start(identity, body) -> ExecSession
        session.tty; await session.hand_over(fd, early); await session.run_detached()
    inspect(identity) -> dict
    async resize(identity, height: int, width: int) -> None
engine.files
    async stat(ref, path) -> dict                                     of X-Docker-Container-Path-Stat
    async download(ref, path) -> Download                             stat, pieces (an archive)
    async upload(ref, path, content, *, owned_by_user: bool, keep_kinds: bool) -> None
    async changes(ref) -> list[dict] | None
    async export(ref) -> AsyncIterator[bytes]
engine.commits
    async commit(asked: CommitAsked) -> {"Id"}
engine.images
    async pull(from_image: str, tag: str, platform: str, auth: dict | None, emit: Emit) -> None
    list(filters: Filters | None = None, all: bool = False, digests: bool = False) -> list[dict]
    inspect(ref) -> dict
    history(ref) -> list[dict]
    async tag(ref, repo: str, tag: str) -> None
    async remove(ref, force: bool = False, noprune: bool = False) -> list[dict]
    async prune(filters: Filters | None = None) -> {"ImagesDeleted", "SpaceReclaimed"}
    async push(name: str, tag: str, platform: str, auth: dict | None, emit: Emit) -> None
    async save(names: list[str], platform: str) -> AsyncIterator[bytes]
    async load(file: BinaryIO, emit: Emit) -> None
    async import_(file: BinaryIO, repo: str, tag: str, message: str, changes: list[str], platform: str, emit) -> None
    `emit` is called with one progress message of docker's JSON stream at a time, in the event loop's thread.
engine.registries
    async login(body: dict) -> {"IdentityToken", "Status"}
    async describe(name: str, auth: dict | None) -> {"Descriptor", "Platforms"}
    async search(term: str, limit: int | None, filters: Filters, auth: dict | None) -> list[dict]
engine.networks
    list(filters: Filters | None = None, detailed: bool = False) -> list[dict];  inspect(ref, scope: str = "") -> dict
    async create(body) -> {"Id", "Warning"}
    async remove(ref) -> None
    async prune(filters: Filters | None = None) -> {"NetworksDeleted"}
    async connect(ref, container: str, endpoint: dict | None = None) -> None
    async disconnect(ref, container: str, force: bool = False) -> None
engine.volumes
    list(filters: Filters | None = None) -> {"Volumes", "Warnings"};  inspect(name) -> dict
    async create(body) -> dict;  async remove(name, force: bool = False) -> None
    async prune(filters: Filters | None = None) -> {"VolumesDeleted", "SpaceReclaimed"}
engine.events
    publish(kind, action, identity, attributes) ; subscribe(since, until, filters, after) -> AsyncIterator[dict]
    (subscribe is live from the call itself, not from the first step of the iteration)
engine.stats
    async once(ref, one_shot: bool = False) -> dict ; stream(ref) -> AsyncIterator[dict]
engine.system
    info() -> dict ; version() -> dict ; disk_usage() -> dict ; ping() -> dict[str, str] (headers: Api-Version ...)
    metrics() -> list[Family]

`Filters` is dict[str, list[str]]: the server has turned the API's two spellings of filters into it.
"""

from wardian.engine.attach import AttachOptions
from wardian.engine.engine import Engine
from wardian.engine.files.commit import Asked as CommitAsked
from wardian.engine.filters import Filters
from wardian.engine.logging import LogOptions, LogStream
from wardian.engine.observe.metrics import Family, Sample
from wardian.engine.options.defaults import Defaults, read_defaults

__all__ = [
    "AttachOptions",
    "CommitAsked",
    "Defaults",
    "Engine",
    "Family",
    "Filters",
    "LogOptions",
    "LogStream",
    "Sample",
    "read_defaults",
]
