"""What docker's command line prints of networks that cannot be had: Docker 28's own words, seen beside it."""

import json
from collections.abc import Iterator

import pytest

from clients_shared import IMAGE, Command
from engines import TestEngine

SET_UP = "failed to set up container networking: "
JOINING = "joining network namespace of container: No such container: "
NOT_CONFIGURED = "user specified IP address is supported only when connecting to networks with user configured subnets"


@pytest.fixture
def net(docker: Command) -> Iterator[Command]:
    """With a network that has a subnet of ours, and one that has not; `up` runs on the first, `made` never ran."""
    docker("network", "create", "--subnet", "10.213.11.0/24", "w-own")
    docker("network", "create", "w-any")
    docker("run", "-d", "--name", "up", "--network", "w-own", IMAGE, "sleep", "100")
    docker("create", "--name", "made", IMAGE, "true")
    yield docker
    docker("rm", "-f", *docker.out("ps", "-aq").split(), status=None)
    docker("network", "rm", "w-own", "w-any")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--network", "nope"), f"{SET_UP}network nope not found"),
        (("--network", "container:nope"), f"{JOINING}nope"),
        (("--network", "container:"), "invalid network mode: invalid container format container:<name|id>"),
        (("--name", "self", "--network", "container:self"), "cannot join own network namespace"),
        (
            ("--network", "container:made"),
            "cannot join network namespace of a non running container: container made is created",
        ),
        (("--network", "name=w-own,ip=10.213.11.1"), f"{SET_UP}Address already in use"),
        (
            ("--ip", "192.0.2.9"),
            "invalid config for network bridge: invalid endpoint settings:\n"
            "* user specified IP address is supported on user defined networks only\n"
            "* no configured subnet or ip-range contain the IP address 192.0.2.9",
        ),
        (
            ("--network", "name=w-any,ip=192.0.2.8", "--network", "name=w-own,ip=192.0.2.9,ip6=fd00::9"),
            f"* invalid config for network w-any: invalid endpoint settings:\n\t{NOT_CONFIGURED}\n"
            "* invalid config for network w-own: invalid endpoint settings:\n"
            "\t* no configured subnet or ip-range contain the IP address 192.0.2.9\n"
            f"\t* {NOT_CONFIGURED}",
        ),
    ],
)  # fmt: skip
def test_run_is_refused_in_dockers_words(net: Command, words: tuple[str, ...], said: str) -> None:
    shown = net("run", "--rm", *words, IMAGE, "true", status=125).stderr.decode()
    assert f": {said}\n" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("disconnect", "-f", "w-own", "nope"), "endpoint nope not found"),
        (("disconnect", "w-own", "nope"), "No such container: nope"),
        (("disconnect", "-f", "nope", "nope"), "network nope not found"),
        (("disconnect", "-f", "nope", "up"), "is not connected to the network nope"),
        (("disconnect", "w-any", "up"), "is not connected to network w-any"),
        (
            ("connect", "--ip", "300.9.9.9", "w-own", "up"),
            "invalid endpoint settings:\n* invalid IPv4 address: 300.9.9.9\n"
            "* no configured subnet or ip-range contain the IP address 300.9.9.9",
        ),
    ],
)  # fmt: skip
def test_network_commands_are_refused_in_dockers_words(net: Command, words: tuple[str, ...], said: str) -> None:
    assert net("network", *words, status=1).stderr.decode().rstrip().endswith(said)


def test_a_start_whose_joined_container_is_gone(net: Command, engine_with_image: TestEngine) -> None:
    net("create", "--name", "joins", "--network", "container:made", IMAGE, "true")
    identity = net.out("inspect", "-f", "{{.Id}}", "made")
    net("rm", "made")
    assert f"{JOINING}{identity}" in net("start", "joins", status=1).stderr.decode()
    answer = engine_with_image.client.request("POST", "/containers/joins/start")
    assert (answer.status, json.loads(answer.body)["message"]) == (500, f"{JOINING}{identity}")
