"""Which target a container's log driver is, and what of the container it is told."""

from wardian.engine.logging.attributes import DEFAULT_TAG, extra_attributes, tag_of
from wardian.engine.logging.fluentd import Fluentd
from wardian.engine.logging.followers import MakeTarget, Target
from wardian.engine.logging.journald import Journal, field_name
from wardian.engine.logging.syslog import Syslog
from wardian.engine.registry import Container
from wardian.home import Home


def targets_of(home: Home) -> MakeTarget:
    def make(container: Container) -> Target:
        record, config = container.record, container.config
        options = config["HostConfig.LogConfig"]["Config"]
        tag = tag_of(record, config, options.get("tag") or DEFAULT_TAG)
        extra = extra_attributes(config, options)
        kind = config["HostConfig.LogConfig"]["Type"]
        if kind == "journald":
            fields = {
                **{field_name(name): value for name, value in extra.items()},
                "CONTAINER_ID": record.id[:12],
                "CONTAINER_ID_FULL": record.id,
                "CONTAINER_NAME": record.name,
                "CONTAINER_TAG": tag,
                "IMAGE_NAME": record.image_ref,
                "SYSLOG_IDENTIFIER": tag,
            }
            return Journal(home.journal_socket, fields)
        if kind == "syslog":
            return Syslog(options, tag)
        return Fluentd(options, tag, {**extra, "container_id": record.id, "container_name": f"/{record.name}"})

    return make
