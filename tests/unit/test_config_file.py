"""The engine's configuration file: Docker's keys, and what is refused."""

import json

import pytest

from wardian.errors import WardianError
from wardian.server import command_line
from wardian.server.config_file import FIXED, KEYS, apply_file


def settled(tmp_path, content, *words):
    path = tmp_path / "daemon.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    arguments = ["--config-file", str(path), *words]
    given = command_line.read(arguments)
    apply_file(given, lambda: command_line.explicit(arguments))
    return given


def test_each_key_is_an_option_of_the_command_line():
    assert {key.dest for key in KEYS.values()} == set(vars(command_line.read([]))) - {"config_file"}
    assert not set(KEYS) & set(FIXED)


def test_what_a_docker_file_says(tmp_path):
    given = settled(
        tmp_path,
        {
            "data-root": "/srv/w", "hosts": ["unix:///run/x.sock"], "log-driver": "local",
            "log-opts": {"max-size": "1m"},
            "default-address-pools": [{"base": "10.9.0.0/16", "size": 24}], "labels": ["a=b"], "live-restore": True,
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 5, "Hard": 9}}, "default-shm-size": "1m",
            "dns": ["1.1.1.1"], "dns-opts": ["ndots:1"], "dns-search": ["x"], "init": True, "debug": True,
            "exec-root": "/run/w", "userns-remap": "default", "metrics-addr": "127.0.0.1:1",
            "storage-driver": "overlay2",
        },
    )  # fmt: skip
    assert (given.data_root, given.run_root, given.init) == ("/srv/w", "/run/w", True)
    assert given.host == ["unix:///run/x.sock"]
    assert (given.log_driver, given.log_opt) == ("local", ["max-size=1m"])
    assert (given.default_address_pool, given.default_ulimit) == (["base=10.9.0.0/16,size=24"], ["nofile=5:9"])
    assert (given.label, given.dns, given.dns_opt, given.dns_search) == (["a=b"], ["1.1.1.1"], ["ndots:1"], ["x"])
    assert (given.default_shm_size, given.debug, given.userns_remap) == ("1m", True, "default")


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        ({"nope": 1, "bip": "x"}, (), "the following directives don't match any configuration option: nope, bip"),
        ({"registry-mirrors": ["x"]}, (), "any configuration option: registry-mirrors"),
        ("{", (), "it is no JSON"),
        ("[]", (), "it is no JSON object"),
        ({"init": "yes"}, (), "init must be true or false"),
        ({"hosts": "unix:///x"}, (), "hosts must be a list of strings"),
        ({"log-opts": ["a=b"]}, (), "log-opts must be an object"),
        ({"live-restore": False}, (), "live-restore is always true in Wardian"),
        ({"userland-proxy": True}, (), "userland-proxy is always false in Wardian"),
        ({"log-driver": "local"}, ("--log-driver", "none"), "log-driver: (from flag: none, from file: local)"),
        ({"hosts": ["unix:///a"]}, ("-H", "unix:///b"), "hosts: (from flag: ['unix:///b'], from file: ['unix:///a'])"),
        ({"debug": False}, ("--debug",), "specified both as a flag and in the configuration file: debug"),
    ],
)
def test_what_is_refused(tmp_path, content, words, said):
    with pytest.raises(WardianError) as caught:
        settled(tmp_path, content, *words)
    assert said in caught.value.message
    assert caught.value.message.startswith(f"unable to configure Wardian with file {tmp_path}/daemon.json: ")


def test_an_empty_file_says_nothing(tmp_path):
    assert settled(tmp_path, "").log_driver == "json-file"


def test_one_that_is_named_must_be_there(tmp_path):
    arguments = ["--config-file", str(tmp_path / "none")]
    with pytest.raises(FileNotFoundError):
        apply_file(command_line.read(arguments), lambda: command_line.explicit(arguments))
