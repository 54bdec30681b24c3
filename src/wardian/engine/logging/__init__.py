"""Logs of containers. The supervisor writes one format; everything else is done here, in the engine.

drivers      what --log-driver and --log-opt may say, and what they mean: file, rotation, attributes of each line
attributes   labels, environment and tag of a container, as its log carries them
entries      lines of the file → text to send: many at once, or one by one
chain        the files of one log, oldest to newest, and a place in them that rotation does not move
followers    tasks that send lines elsewhere, with a durable place (journald, syslog, fluentd: what they speak)
targets      which of those a container has
reachable    whether those of this host are there, when it starts
reader       GET /containers/ID/logs
"""

from wardian.engine.logging.attributes import line_attributes
from wardian.engine.logging.drivers import (
    NAMES,
    check_log_config,
    has_file,
    is_readable,
    log_path,
    settle_log_config,
    shown_path,
)
from wardian.engine.logging.drivers import rotation as log_rotation
from wardian.engine.logging.reachable import check_reachable
from wardian.engine.logging.reachable import warnings_of as log_warnings
from wardian.engine.logging.reader import LogOptions, LogReader, LogStream

__all__ = [
    "NAMES",
    "LogOptions",
    "LogReader",
    "LogStream",
    "check_log_config",
    "check_reachable",
    "has_file",
    "is_readable",
    "line_attributes",
    "log_path",
    "log_rotation",
    "log_warnings",
    "settle_log_config",
    "shown_path",
]
