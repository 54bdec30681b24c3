"""What people type and what the engine takes are two tables, as the command line imports nothing of the engine: every
flag of `run` and `create` has its row in the engine's, and every row that names a flag has that flag."""

import pytest

from wardian.cli.pflag import Flag
from wardian.cli.run_flags import CREATE_FLAGS, RUN_FLAGS
from wardian.engine.options.table import ENDPOINTS, HOST, ROWS, TABLE

FLAGS = {flag.name: flag for flag in (*RUN_FLAGS, *CREATE_FLAGS)}

# Flags that are parts of a larger option with others: the row that they end in.
PARTS = {
    "env-file": "Env",
    "env-host": "Env",
    "health-interval": "Healthcheck",
    "health-retries": "Healthcheck",
    "health-start-interval": "Healthcheck",
    "health-start-period": "Healthcheck",
    "health-timeout": "Healthcheck",
    "ip": ENDPOINTS,
    "ip6": ENDPOINTS,
    "label-file": "Labels",
    "link-local-ip": ENDPOINTS,
    "log-driver": HOST + "LogConfig",
    "log-opt": HOST + "LogConfig",
    "network-alias": ENDPOINTS,
    "no-healthcheck": "Healthcheck",
    "unsetenv": "Env",
}
# What is no option of the container: which image, its name, how the command itself goes on.
NO_OPTIONS = frozenset(
    "detach detach-keys disable-content-trust name platform pull quiet replace sig-proxy use-api-socket".split()
)


@pytest.mark.parametrize("flag", [flag for flag in FLAGS.values() if not flag.same_as], ids=lambda flag: flag.name)
def test_each_flag_has_its_row(flag: Flag) -> None:
    rows = [row for row in TABLE if row.flag == f"--{flag.name}"]
    if flag.name in NO_OPTIONS:
        assert not rows
        assert not flag.path
    elif flag.name in PARTS:
        assert PARTS[flag.name] in ROWS
        assert not flag.path or flag.path.startswith(PARTS[flag.name])
    else:
        assert rows, f"no row of engine/options/table.py names --{flag.name}"
        if flag.path:
            assert ROWS[flag.path].flag == f"--{flag.name}"


def test_each_row_has_its_flag() -> None:
    """A row without one is what only the API has; IMAGE and COMMAND are the arguments."""
    named = {row.flag for row in TABLE if row.flag}
    assert named - {f"--{name}" for name in FLAGS} == {"IMAGE", "COMMAND"}


def test_names_that_stand_for_others_exist() -> None:
    assert all(flag.same_as in FLAGS for flag in FLAGS.values() if flag.same_as)
    assert set(PARTS) <= set(FLAGS)
