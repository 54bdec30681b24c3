"""What each line of a container's log carries beside its text, and the tag by which others know the container.

    --log-opt labels=a,b  labels-regex=^com\\.  env=X  env-regex=^APP_  tag={{.Name}}/{{.ID}}

Tags are Go templates in Docker; here the fields that they are made of are replaced, and anything else is refused.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.patterns import Finds, finder

if TYPE_CHECKING:
    from wardian.engine.options.config import ContainerConfig
    from wardian.engine.store import ContainerRecord

DEFAULT_TAG = "{{.ID}}"
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_FIELDS = {
    "ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "Command", "DaemonName", "FullName",
}  # fmt: skip


def check_tag(template: str) -> None:
    """Raises WardianError for what is no template, and for actions other than a field."""
    for action in _ACTION.findall(template):
        if not action.startswith(".") or not action[1:].isidentifier():
            message = f"log tag: {{{{{action}}}}} is not built yet in Wardian: only fields such as {{{{.Name}}}} are"
            raise WardianError(NOT_IMPLEMENTED, message, operation="create", subject="tag")
        if action[1:] not in _FIELDS:
            message = (
                f'template: log-tag:1:2: executing "log-tag" at <{action}>: '
                f"can't evaluate field {action[1:]} in type *logger.Info"
            )
            raise WardianError(INVALID, message, operation="create", subject="tag")
    if "{{" in _ACTION.sub("", template):
        raise WardianError(INVALID, "template: log-tag:1: unclosed action", operation="create", subject="tag")


def tag_of(record: "ContainerRecord", config: "ContainerConfig", template: str) -> str:
    short = record.image.rpartition(":")[2]
    fields = {
        "ID": record.id[:12],
        "FullID": record.id,
        "Name": record.name,
        "FullName": "/" + record.name,
        "ImageID": short[:12],
        "ImageFullID": record.image,
        "ImageName": record.image_ref,
        "Command": " ".join(config.command()),
        "DaemonName": "wardian",
    }
    return _ACTION.sub(lambda found: fields[found[1][1:]], template)


def extra_attributes(config: "ContainerConfig", options: Mapping[str, str]) -> dict[str, str]:
    """The labels and variables that were asked for."""
    found = _chosen(config["Labels"], options.get("labels", ""), options.get("labels-regex", ""))
    pairs = (item.partition("=") for item in config["Env"] or ())
    variables = {name: value for name, sign, value in pairs if sign}
    return found | _chosen(variables, options.get("env", ""), options.get("env-regex", ""))


def _chosen(values: Mapping[str, str], names: str, pattern: str) -> dict[str, str]:
    found = {name: values[name] for name in names.split(",") if name in values}
    if pattern:
        wanted = _finder(pattern)
        found |= {name: value for name, value in values.items() if wanted(name)}
    return found


def _finder(pattern: str) -> Finds:
    try:
        return finder(pattern)
    except ValueError:  # of an engine that took Python's expressions: such a container still starts
        return lambda name: name == pattern


def line_attributes(record: "ContainerRecord", config: "ContainerConfig", options: Mapping[str, str]) -> dict[str, str]:
    """What a json-file line carries: nothing unless asked for, and with a tag that tag."""
    found = extra_attributes(config, options)
    if options.get("tag"):
        found["tag"] = tag_of(record, config, options["tag"])
    return dict(sorted(found.items()))
