"""`images`, `rmi`, `tag`, `history`: the images that the engine has."""

from __future__ import annotations

from wardian.cli.command import Command, Failure
from wardian.cli.pflag import TABLE_FORMAT, Flag
from wardian.cli.ps import ellipsis, short_id
from wardian.cli.table import Listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.cli.record import Record

_NONE = "<none>"
_HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}
_CREATED_BY_WIDTH = 45


def ls(invocation: Invocation) -> int:
    if invocation.flag("tree"):
        return _tree(invocation)
    found, digests = _asked_for(invocation), invocation.flag("digests")
    whole, quiet = invocation.flag("no-trunc"), invocation.flag("quiet")
    form = invocation.text("format") or ("" if quiet else invocation.setting("imagesFormat"))
    rows = [row for image in found for row in _rows(image, digests or ".Digest" in form)]
    records = [image_record(*row, whole) for row in rows]
    table = "Repository Tag Digest ID CreatedSince Size" if digests else "Repository Tag ID CreatedSince Size"
    Listing("*formatter.imageContext", _HEADERS, table, "ID").show(records, form, quiet)
    return 0


def _asked_for(invocation: Invocation, **more: object) -> list[dict[str, Any]]:
    """The images that the filters and the argument mean."""
    from wardian.cli.filters import filters_query

    filters = filters_query(invocation["filter"]) or {}
    if invocation.args:
        filters.setdefault("reference", {})[invocation.args[0]] = True
    query = {"all": invocation.flag("all"), "filters": filters or None, **more}
    found = invocation.client.call("GET", "/images/json", query=query)
    if not isinstance(found, list):
        raise Failure("the engine answered no list of images")
    return found


def _tree(invocation: Invocation) -> int:
    """What each image takes, with its names below each other. One platform of each is here: none has branches."""
    import sys

    from wardian.cli.human import size_text
    from wardian.cli.table import columns

    for name in ("quiet", "no-trunc", "digests", "format"):
        if invocation[name]:
            raise Failure(f"--{name} is not yet supported with --tree")
    lines = ["IMAGE\tID\tDISK USAGE\tCONTENT SIZE\tEXTRA"]
    for image in _asked_for(invocation, manifests=True):
        size, used = size_text(image.get("Size") or 0), "U" if image.get("Containers", 0) > 0 else ""
        for name in image.get("RepoTags") or ["<untagged>"]:
            lines.append(f"{name}\t{short_id(image['Id'])}\t{size}\t{size_text(0)}\t{used}")
    sys.stdout.write(columns(lines))
    return 0


def _rows(image: dict[str, Any], digests: bool) -> Iterator[tuple[dict[str, Any], str, str, str]]:
    """(image, repository, tag, digest) for each name of an image."""
    by_repository: dict[str, str] = {}
    for text in image.get("RepoDigests") or ():
        repository, _, digest = text.partition("@")
        if repository != _NONE:
            by_repository[repository] = digest
    tags = [text for text in image.get("RepoTags") or () if text != f"{_NONE}:{_NONE}"]
    for text in tags:
        repository, _, tag = text.rpartition(":")
        yield image, repository, tag, by_repository.get(repository, _NONE) if digests else _NONE
    if not tags:
        for repository, digest in (by_repository or {_NONE: _NONE}).items():
            yield image, repository, _NONE, digest if digests else _NONE


def image_record(image: dict[str, Any], repository: str, tag: str, digest: str, whole: bool) -> Record:
    from wardian.cli.human import size_text
    from wardian.cli.moments import since, stamp
    from wardian.cli.record import Record

    shared, size = image.get("SharedSize", -1), image.get("Size") or 0
    containers = image.get("Containers", -1)
    fields: dict[str, Callable[..., object]] = {
        "ID": lambda: image["Id"] if whole else short_id(image["Id"]),
        "Repository": lambda: repository,
        "Tag": lambda: tag,
        "Digest": lambda: digest,
        "CreatedSince": lambda: since(image["Created"]),
        "CreatedAt": lambda: stamp(image["Created"]),
        "Size": lambda: size_text(size),
        "Containers": lambda: "N/A" if containers == -1 else str(containers),
        "VirtualSize": lambda: size_text(size, 4),
        "SharedSize": lambda: "N/A" if shared == -1 else size_text(shared, 4),
        "UniqueSize": lambda: "N/A" if shared == -1 else size_text(size - shared, 4),
    }
    return Record("*formatter.imageContext", fields)


def rm(invocation: Invocation) -> int:
    from wardian.cli.lifecycle import for_each
    from wardian.cli.references import platform_query

    platforms = [platform_query(text) for text in invocation.words("platform")]
    query = {"force": invocation.flag("force"), "noprune": invocation.flag("no-prune"), "platforms": platforms}

    def act(name: str) -> str:
        answer = invocation.client.call("DELETE", f"/images/{name}", query=query)
        lines = []
        for row in answer if isinstance(answer, list) else ():
            lines += [f"{word}: {row[word]}" for word in ("Untagged", "Deleted") if row.get(word)]
        return "\n".join(lines)

    return for_each(invocation.args, act)


def tag(invocation: Invocation) -> int:
    from wardian.cli.references import parse_name

    source, target = invocation.args
    said = f'Error parsing reference: "{target}" is not a valid repository/tag: invalid reference format'
    name = parse_name(target, said)
    if name.digest:
        raise Failure("refusing to create a tag with a digest reference")
    query = {"repo": name.repository, "tag": name.tag or "latest"}
    invocation.client.call("POST", f"/images/{source}/tag", query=query)
    return 0


def prune(invocation: Invocation) -> int:
    from wardian.cli.filters import filters_query
    from wardian.cli.human import size_text
    from wardian.cli.prompt import confirmed

    every = invocation.flag("all")
    what = "all images without at least one container associated to them" if every else "all dangling images"
    if not invocation.flag("force") and not confirmed(f"WARNING! This will remove {what}."):
        return 0
    filters = filters_query(invocation["filter"]) or {}
    filters["dangling"] = {"false" if every else "true": True}
    answer = invocation.client.call("POST", "/images/prune", query={"filters": filters})
    assert isinstance(answer, dict)
    lines = [f"{word.lower()}: {row[word]}" for row in answer.get("ImagesDeleted") or () for word in row]
    if lines:
        print("Deleted Images:", *lines, "", sep="\n")
    print(f"Total reclaimed space: {size_text(answer.get('SpaceReclaimed') or 0, 4)}")
    return 0


_HISTORY_HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}


def history(invocation: Invocation) -> int:
    from wardian.cli.references import platform_query

    query = {"platform": platform_query(invocation.text("platform"))}
    found = invocation.client.call("GET", f"/images/{invocation.args[0]}/history", query=query)
    human, whole = invocation.flag("human"), invocation.flag("no-trunc")
    records = [_step(step, human, whole) for step in (found if isinstance(found, list) else ())]
    headers = _HISTORY_HEADERS if human else {**_HISTORY_HEADERS, "CreatedSince": _HISTORY_HEADERS["CreatedAt"]}
    listing = Listing("*formatter.historyContext", headers, "ID CreatedSince CreatedBy Size Comment", "ID")
    listing.show(records, invocation.text("format"), invocation.flag("quiet"))
    return 0


def _step(step: dict[str, Any], human: bool, whole: bool) -> Record:
    from wardian.cli.human import size_text
    from wardian.cli.moments import ago, iso
    from wardian.cli.record import Record

    made_by = str(step.get("CreatedBy") or "").replace("\t", " ")
    fields: dict[str, Callable[..., object]] = {
        "ID": lambda: step["Id"] if whole or step["Id"] == "<missing>" else short_id(step["Id"]),
        "CreatedSince": lambda: ago(step["Created"]) if human else iso(step["Created"]),
        "CreatedAt": lambda: iso(step["Created"]),
        "CreatedBy": lambda: made_by if whole else ellipsis(made_by, _CREATED_BY_WIDTH),
        "Size": lambda: size_text(step["Size"]) if human else str(step["Size"]),
        "Comment": lambda: step.get("Comment") or "",
    }
    return Record("*formatter.historyContext", fields)


_NO_TRUNC = Flag("no-trunc", "", "bool", "", "Do not cut anything short")
_QUIET = Flag("quiet", "q", "bool", "", "Show only ids")
_PLATFORM = Flag("platform", "", "string", "", "Platform of the image (os/arch[/variant])")
LS = Command(
    ls,
    "[OPTIONS] [REPOSITORY[:TAG]]",
    (
        Flag("all", "a", "bool", "", "Show intermediate images, too"),
        Flag("digests", "", "bool", "", "Show digests"),
        Flag("filter", "f", "filter", "", "Show only what fits (name=value)"),
        TABLE_FORMAT,
        _NO_TRUNC,
        _QUIET,
        Flag("tree", "", "bool", "", "Show what images take, and which are in use (U)"),
    ),
    most=1,
)
RM = Command(
    rm,
    "[OPTIONS] IMAGE [IMAGE...]",
    (
        Flag("force", "f", "bool", "", "Remove it though it has other names"),
        Flag("no-prune", "", "bool", "", "Keep parents that have no name"),
        Flag("platform", "", "strings", "", "Remove only this platform of it"),
    ),
    least=1,
)
TAG = Command(tag, "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", least=2, most=2)
HISTORY = Command(
    history,
    "[OPTIONS] IMAGE",
    (
        TABLE_FORMAT,
        Flag("human", "H", "bool", "", "Write sizes and times for people", default=True),
        _NO_TRUNC,
        _PLATFORM,
        _QUIET,
    ),
    least=1,
    most=1,
)
PRUNE = Command(
    prune,
    "[OPTIONS]",
    (
        Flag("all", "a", "bool", "", "Remove all images that no container needs, not just those without a name"),
        Flag("filter", "", "filter", "", "Remove only what fits (label=…, until=…)"),
        Flag("force", "f", "bool", "", "Do not ask"),
    ),
    most=0,
)
