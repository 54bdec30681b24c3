"""Options as rows: decoding, refusal by name, the image's part, and what they write into the spec."""

import ipaddress
import json
import random
from typing import Any

import pytest

from wardian.engine.attach import parse_detach_keys
from wardian.engine.inspect import human_duration, rfc3339
from wardian.engine.life.signals import signal_number, stop_signal
from wardian.engine.life.state import TRANSITIONS, Event, RunState, State
from wardian.engine.logging.entries import nanoseconds
from wardian.engine.options import table as options
from wardian.engine.options.checks import size_bytes
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.decode import decode, merge_image
from wardian.engine.options.endpoints import check_endpoints, wanted
from wardian.engine.options.table import ENDPOINTS
from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.network import NetworkConfig
from wardian.network.values import Subnet

# what docker's CLI 28 sends for `docker run busybox echo hi`
CLI_BODY = json.loads(
    '{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,"AttachStderr":true,"Tty":false,'
    '"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["echo","hi"],"Image":"busybox","Volumes":{},"WorkingDir":"",'
    '"Entrypoint":null,"OnBuild":null,"Labels":{},"HostConfig":{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"",'
    '"Config":{}},"NetworkMode":"default","PortBindings":{},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},'
    '"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[0,0],"CapAdd":null,"CapDrop":null,'
    '"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"",'
    '"Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,'
    '"SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,'
    '"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":[],"BlkioDeviceReadBps":[],"BlkioDeviceWriteBps":[],'
    '"BlkioDeviceReadIOps":[],"BlkioDeviceWriteIOps":[],"CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,'
    '"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,'
    '"MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],'
    '"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null},'
    '"NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,"Links":null,"Aliases":null,"MacAddress":"",'
    '"DriverOpts":null,"GwPriority":0,"NetworkID":"","EndpointID":"","Gateway":"","IPAddress":"","IPPrefixLen":0,'
    '"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":null}}}}'
)


def spec_of(**host: Any) -> dict[str, Any]:
    values = decode({"Image": "i", "Cmd": ["x"], "HostConfig": host})
    return options.write_spec(ContainerConfig(values, "a" * 64, "/d"), "wardian/containers/a")


def test_the_cli_body_sets_only_what_was_asked() -> None:
    assert decode(CLI_BODY) == {
        "AttachStdout": True,
        "AttachStderr": True,
        "Cmd": ["echo", "hi"],
        "Image": "busybox",
        "HostConfig.LogConfig": {"Type": "", "Config": {}},
    }


def test_an_endpoint_is_of_the_containers_own_network() -> None:
    def body(mode: str, *networks: str) -> dict[str, Any]:
        endpoints = {"EndpointsConfig": {name: {} for name in networks}}
        return {"Image": "i", "HostConfig": {"NetworkMode": mode}, "NetworkingConfig": endpoints}

    for mode, network in (("default", "default"), ("default", "bridge"), ("bridge", "bridge"), ("none", "none")):
        assert ENDPOINTS not in decode(body(mode, network))
    assert decode(body("default", "default", "other"))[ENDPOINTS] == {"bridge": {}, "other": {}}
    for mode, network in (("host", "other"), ("none", "bridge"), ("container:x", "other"), ("default", "host")):
        with pytest.raises(WardianError) as caught:
            decode(body(mode, network))
        assert caught.value.kind == INVALID


@pytest.mark.parametrize("mode", [None, "", "default", "bridge", "third"])
def test_who_names_networks_joins_these_alone(mode: str | None) -> None:
    """As Docker 28: NetworkMode's network is joined where no endpoint is named."""

    def joined(*networks: str) -> dict[str, Any]:
        host = {} if mode is None else {"NetworkMode": mode}
        endpoints = {"EndpointsConfig": {name: {} for name in networks}}
        return wanted(ContainerConfig(decode({"Image": "i", "HostConfig": host, "NetworkingConfig": endpoints})))

    assert joined("other") == {"other": {}}
    assert joined("other", "another") == {"another": {}, "other": {}}
    assert joined() == {"third" if mode == "third" else "bridge": {}}
    assert joined("default", "other") == {"bridge": {}, "other": {}}
    assert joined("none") == {"none": {}}


def test_the_containers_address_is_that_of_the_modes_network() -> None:
    body = {"Image": "i", "MacAddress": "02:42:00:00:00:aa", "NetworkingConfig": {"EndpointsConfig": {"n": {}}}}
    with pytest.raises(WardianError, match="must match the identity of a network"):
        decode(body)


def test_what_is_asked_of_an_endpoint_is_kept_and_what_was_answered_is_not() -> None:
    asked = {"Aliases": ["a", "a", "b"], "GwPriority": 5, "IPAMConfig": {"IPv4Address": "10.1.2.3"}, "DriverOpts": {}}
    answered = {"NetworkID": "ab", "IPAddress": "10.9.9.9", "DNSNames": ["x"]}
    body = {
        "Image": "i",
        "MacAddress": "02-42-00-00-00-AA",
        "HostConfig": {"NetworkMode": "n"},
        "NetworkingConfig": {"EndpointsConfig": {"n": asked | answered}},
    }
    assert decode(body)[ENDPOINTS] == {
        "n": {
            "Aliases": ["a", "b"],
            "GwPriority": 5,
            "IPAMConfig": {"IPv4Address": "10.1.2.3"},
            "MacAddress": "02:42:00:00:00:aa",
        }
    }
    body["NetworkingConfig"] = {"EndpointsConfig": {"n": {"MacAddress": "02:42:00:00:00:ab"}}}
    with pytest.raises(WardianError, match="must match the endpoint-specific MAC address"):
        decode(body)


def test_addresses_that_are_none_are_told_in_dockers_words() -> None:
    """With all else that is wrong with that network and the others."""
    asked = {"IPAMConfig": {"IPv4Address": "zzz", "IPv6Address": "10.1.1.1", "LinkLocalIPs": ["y"]}}
    values = decode({"Image": "i", "NetworkingConfig": {"EndpointsConfig": {"n": asked, "bridge": asked}}})
    stored = values[ENDPOINTS]
    mine = (Subnet(ipaddress.ip_network("10.9.0.0/24"), None),)
    networks = [NetworkConfig("1", "n", "bridge", "", mine), NetworkConfig("2", "bridge", "bridge", "", mine)]
    with pytest.raises(WardianError) as caught:
        check_endpoints((network.name, network, stored[network.name]) for network in networks)
    common = ["invalid IPv4 address: zzz", "invalid IPv6 address: 10.1.1.1", "invalid link-local IP address: y",
              "no configured subnet or ip-range contain the IP address zzz",
              "user specified IP address is supported only when connecting to networks with user configured subnets",
    ]  # fmt: skip
    assert caught.value.message.splitlines() == [
        "* invalid config for network n: invalid endpoint settings:",
        *(f"\t* {line}" for line in common),
        "* invalid config for network bridge: invalid endpoint settings:",
        "\t* user specified IP address is supported on user defined networks only",
        *(f"\t* {line}" for line in common),
    ]
    with pytest.raises(WardianError) as caught:
        check_endpoints([("n", networks[0], {"IPAMConfig": {"IPv4Address": "10.1.1.1"}})])
    assert caught.value.message == (
        "invalid config for network n: invalid endpoint settings:\n"
        "no configured subnet or ip-range contain the IP address 10.1.1.1"
    )
    with pytest.raises(
        WardianError, match="invalid config for network later: invalid endpoint settings:\ninvalid IPv4"
    ):
        check_endpoints([("later", None, {"IPAMConfig": {"IPv4Address": "x"}})])
    check_endpoints([("later", None, {"IPAMConfig": {"IPv4Address": "10.1.1.1"}})])


def test_every_row_says_where_it_is() -> None:
    paths = [row.path for row in options.TABLE if row.path]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("HostConfig.PidMode", "container:", INVALID),
        ("HostConfig.NetworkMode", "container", INVALID),
        ("HostConfig.Unheard", 1, NOT_IMPLEMENTED),
        ("HostConfig.UsernsMode", "keep-id:uid=5", NOT_IMPLEMENTED),
        ("HostConfig.UsernsMode", "nonsense", INVALID),
        ("HostConfig.Devices", [{"PathOnHost": "/dev/null", "CgroupPermissions": 1}], INVALID),
        ("HostConfig.Devices", [{"PathOnHost": "/dev/null", "PathInContainer": 1}], INVALID),
        ("HostConfig.Mounts", [{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"Mode": "b"}}], INVALID),
        ("HostConfig.Mounts", [{"Type": "bind", "Source": "/tmp", "Target": "/x", "BindOptions": "x"}], INVALID),
        ("HostConfig.Mounts", [{"Type": "bind", "Source": "/tmp", "Target": "/x", "ReadOnly": 1}], INVALID),
        ("HostConfig.Sysctls", {"kernel.hostname": "x"}, INVALID),
        ("HostConfig.Sysctls", {"vm.swappiness": "1"}, INVALID),
        ("HostConfig.Sysctls", {"net.../kernel/core_pattern": "1"}, INVALID),
        ("HostConfig.Binds", ["volume:/x:shared"], INVALID),
        ("HostConfig.Binds", ["volume:x"], INVALID),
        ("HostConfig.Binds", ["../volume:/x"], INVALID),
        ("HostConfig.Binds", ["volume:/x", "other:/x/"], INVALID),
        ("HostConfig.Binds", ["volume:/x:ro:rw"], INVALID),
        ("HostConfig.Binds", ["::"], INVALID),
        ("HostConfig.VolumesFrom", [""], INVALID),
        ("HostConfig.VolumesFrom", ["c:bad"], INVALID),
        ("HostConfig.Mounts", [{"Type": "volume", "Source": "../x", "Target": "/x"}], INVALID),
        ("HostConfig.Mounts", [{"Type": "volume", "Source": "ab", "Target": "/x", "BindOptions": {"A": 1}}], INVALID),
        ("HostConfig.Mounts", [{"Type": "cluster", "Source": "ab", "Target": "/x"}], NOT_IMPLEMENTED),
        ("HostConfig.Mounts", [{"Type": "fantasy", "Source": "ab", "Target": "/x"}], INVALID),
        ("MountPoints", [{"Type": "bind", "Source": "/etc", "Destination": "/x", "RW": True}], NOT_IMPLEMENTED),
        ("Volumes", {"/": {}}, INVALID),
        ("Volumes", {"/../..": {}}, INVALID),
        ("Volumes", ["/x"], INVALID),
        ("Healthcheck", {"Test": "true"}, INVALID),
        ("Healthcheck", {"Test": ["CMD"]}, INVALID),
        ("Healthcheck", {"Every": 3}, NOT_IMPLEMENTED),
        ("Wardian.HealthOnFailure", "sing", INVALID),
        ("HostConfig.Memory", -5, INVALID),
        ("HostConfig.Memory", 1024, INVALID),
        ("HostConfig.CpusetCpus", "3-1", INVALID),
        ("HostConfig.Ulimits", [{"Name": "nofile", "Soft": 9, "Hard": 1}], INVALID),
        ("HostConfig.SecurityOpt", ["fantasy"], INVALID),
        ("HostConfig.NetworkMode", 7, INVALID),
        ("HostConfig.Dns", [""], INVALID),
        ("HostConfig.Dns", ["9.9.9.9", ""], INVALID),
        ("HostConfig.Dns", ["foo"], INVALID),
        ("HostConfig.Dns", ["1.2.3"], INVALID),
        ("HostConfig.Dns", ["01.2.3.4"], INVALID),
        ("HostConfig.Dns", ["8.8.8.8:53"], INVALID),
        ("HostConfig.Dns", ["fe80::1%a\nsearch b"], INVALID),
        ("HostConfig.LogConfig", {"Type": "json-file", "Config": {"max-size": ""}}, INVALID),
        ("HostConfig.LogConfig", {"Type": "json-file", "Config": {"max-file": ""}}, INVALID),
        ("HostConfig.LogConfig", {"Type": "local", "Config": {"compress": ""}}, INVALID),
        ("HostConfig", [], INVALID),
        ("HostConfig", "x", INVALID),
        ("ExposedPorts", 7, INVALID),
        ("NetworkingConfig", [1], INVALID),
        ("NetworkingConfig.EndpointsConfig", 5, INVALID),
        ("NetworkingConfig.EndpointsConfig", {"bridge": 5}, INVALID),
        ("WorkingDir", "relative", INVALID),
        ("StopSignal", "SIGNONE", INVALID),
        ("StopSignal", "0", INVALID),
        ("Hostname", "two\nlines", INVALID),
        ("Hostname", "é" * 33, INVALID),
        ("HostConfig.Binds", ["volume:/x:ro,rw"], INVALID),
        ("HostConfig.Binds", ["volume:/x:ro,ro"], INVALID),
        ("HostConfig.Binds", ["/a:/x:shared,slave"], INVALID),
        ("HostConfig.Binds", ["/a:/x:,ro"], INVALID),
        ("HostConfig.Binds", ["/a:/x:nocopy"], INVALID),
        ("HostConfig.Mounts", [{"Type": "tmpfs", "Source": "a", "Target": "/x"}], INVALID),
        ("HostConfig.Mounts", [{"Type": "volume", "Target": "/x", "BindOptions": {}}], INVALID),
        ("HostConfig.Mounts", [{"Type": "volume", "Target": "/x", "ImageOptions": {}}], INVALID),
        ("HostConfig.Mounts", [{"Type": "bind", "Source": "/a", "Target": "/x", "VolumeOptions": {}}], INVALID),
        ("HostConfig.BlkioWeight", 70000, INVALID),
        ("HostConfig.CpusetCpus", ",", INVALID),
        ("HostConfig.CpusetCpus", "0,", INVALID),
        ("HostConfig.CpusetMems", "0,,0", INVALID),
        ("HostConfig.Annotations", {"": "x"}, INVALID),
        ("HostConfig.LogConfig", {"Type": "json-file", "Config": {"max-size": "-1"}}, INVALID),
        ("HostConfig.LogConfig", {"Type": "local", "Config": {"max-size": "-1"}}, INVALID),
        ("NetworkingConfig.EndpointsConfig", {"bridge": None}, INVALID),
        ("Tty", "yes", INVALID),
    ],
)
def test_what_cannot_be_is_refused(path: str, value: Any, kind: str) -> None:
    group, _, name = path.rpartition(".")
    body = {group: {name: value}} if group else {name: value}
    with pytest.raises(WardianError) as caught:
        decode(body)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("path", "value", "stored"),
    [
        ("Hostname", "a_b.c d", "a_b.c d"),
        ("StopSignal", "99", "99"),
        ("StopSignal", "-1", "-1"),
        ("StopTimeout", -5, -1),
        ("HostConfig.PidsLimit", -5, -1),
        ("HostConfig.CpuQuota", -5, -1),
        ("HostConfig.MemorySwap", -2, -1),
        ("HostConfig.MemoryReservation", -2, 0),
        ("HostConfig.CapAdd", "ALL", ["ALL"]),
        ("HostConfig.CapDrop", "net_raw", ["CAP_NET_RAW"]),
        ("HostConfig.Dns", ["127.0.0.53", "::1", "fe80::1%eth0"], ["127.0.0.53", "::1", "fe80::1%eth0"]),
        ("HostConfig.LogConfig", {"Type": "local", "Config": {"mode": ""}}, {"Type": "local", "Config": {"mode": ""}}),
        ("HostConfig.Binds", ["volume:/x:ro,nocopy,cached"], ["volume:/x:ro,nocopy,cached"]),
    ],
)
def test_what_docker_takes_is_taken(path: str, value: Any, stored: Any) -> None:
    group, _, name = path.rpartition(".")
    assert decode({group: {name: value}} if group else {name: value})[path] == stored


def test_a_disabled_network_is_none() -> None:
    body = {"NetworkDisabled": True, "MacAddress": "02:42:ac:11:00:02", "HostConfig": {"NetworkMode": "host"}}
    config = ContainerConfig(decode({**body, "NetworkingConfig": {"EndpointsConfig": {"bridge": {}}}}))
    assert wanted(config) == {"none": {}}


@pytest.mark.parametrize("profile", ["{", "[]", '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[1]}'])
def test_a_filter_that_is_no_profile_is_refused(profile: str) -> None:
    with pytest.raises(WardianError) as caught:
        spec_of(SecurityOpt=[f"seccomp={profile}"])
    assert caught.value.kind == INVALID and "Decoding seccomp profile failed" in caught.value.message


def test_command_and_environment_of_the_image() -> None:
    image = {"Entrypoint": ["/entry"], "Cmd": ["serve"], "Env": ["A=1", "B=2"], "Labels": {"l": "1"}, "User": "u"}
    values: dict[str, Any] = {"Env": ["A=9"]}
    merge_image(values, image)
    assert (values["Entrypoint"], values["Cmd"], values["Env"]) == (["/entry"], ["serve"], ["A=9", "B=2"])
    values = {"Cmd": ["other"]}
    merge_image(values, image)
    assert ContainerConfig(values).command() == ["/entry", "other"]
    values = {"Entrypoint": ["/mine"]}
    merge_image(values, image)
    assert ContainerConfig(values).command() == ["/mine"]
    with pytest.raises(WardianError, match="no command specified"):
        merge_image({}, {})


def test_memory_writes_twice_as_much_swap() -> None:
    assert spec_of(Memory=64 << 20)["linux"]["resources"]["memory"] == {"limit": 64 << 20, "swap": 128 << 20}


def test_capabilities_are_added_and_dropped() -> None:
    def held(**host: Any) -> list[str]:
        return list(spec_of(**host)["process"]["capabilities"]["bounding"])

    assert "CAP_NET_ADMIN" in held(CapAdd=["net_admin"])
    assert "CAP_CHOWN" not in held(CapDrop=["CHOWN"])
    assert held(CapDrop=["ALL"], CapAdd=["SYS_TIME"]) == ["CAP_SYS_TIME"]
    assert "CAP_SYS_ADMIN" in held(Privileged=True)


def test_host_network_keeps_the_hosts_sysctls() -> None:
    assert "net.ipv4.ip_unprivileged_port_start" in spec_of()["linux"]["sysctl"]
    assert spec_of(NetworkMode="host")["linux"]["sysctl"] == {}
    with pytest.raises(WardianError, match=r"sysctl 'net\.x' not allowed"):
        spec_of(NetworkMode="host", Sysctls={"net.x": "1"})


def test_the_users_mount_wins() -> None:
    mounts = spec_of(Tmpfs={"/dev/shm": "size=1m"}, Binds=["/a:/etc/hosts"])["mounts"]
    targets = [mount["destination"] for mount in mounts]
    assert len(targets) == len(set(targets))
    assert next(mount["source"] for mount in mounts if mount["destination"] == "/etc/hosts") == "/a"


def test_words_of_signals_sizes_keys_and_times() -> None:
    assert [signal_number(text) for text in ("TERM", "sigkill", "9", "RTMIN+3", "SIGRTMAX-1")] == [15, 9, 9, 37, 63]
    assert [stop_signal(text) for text in ("", "INT", "3", "99", "-1")] == [15, 2, 3, 9, 9]
    assert [size_bytes(text, "x") for text in ("10m", "1.5k", "7", "2GiB")] == [10 << 20, 1536, 7, 2 << 30]
    assert parse_detach_keys("ctrl-a,x") == b"\x01x"
    assert parse_detach_keys("") == b"\x10\x11"
    assert parse_detach_keys("DEL,ctrl-@") == b"\x7f\0"
    for text in ("ctrl-é", "é", "ctrl-", "aa", "a,"):
        with pytest.raises(WardianError, match="Invalid detach keys"):
            parse_detach_keys(text)
    assert rfc3339(1_500_000_000_000_000_000) == "2017-07-14T02:40:00Z"
    assert nanoseconds(rfc3339(1_500_000_000_123_456_789)) == 1_500_000_000_123_456_789
    assert [human_duration(n * 10**9) for n in (0, 1, 59, 60, 3600, 86400 * 3)] == [
        "Less than a second", "1 second", "59 seconds", "About a minute", "About an hour", "3 days",
    ]  # fmt: skip


def test_no_sequence_of_events_leaves_the_table() -> None:
    chance = random.Random(7)
    state = RunState()
    for _ in range(2000):
        try:
            state = state.after(chance.choice(list(Event)))
        except WardianError:
            continue
        assert state.state in TRANSITIONS
    assert set(TRANSITIONS) == set(State)


def test_what_an_element_does_not_say_is_zero() -> None:
    host = {"Ulimits": [{"Name": "nofile"}], "Devices": [{"PathOnHost": "/dev/null"}]}
    host["BlkioDeviceReadBps"] = [{"Path": "/dev/sda"}]
    values = decode({"HostConfig": host})
    assert values["HostConfig.Ulimits"] == [{"Name": "nofile", "Hard": 0, "Soft": 0}]
    assert values["HostConfig.Devices"] == [{"PathOnHost": "/dev/null", "PathInContainer": "", "CgroupPermissions": ""}]
    assert values["HostConfig.BlkioDeviceReadBps"] == [{"Path": "/dev/sda", "Rate": 0}]


def test_no_words_of_python_in_a_refusal() -> None:
    for mount in ({}, {"Type": None}):
        with pytest.raises(WardianError, match='invalid mount config for type "": field Target must not be empty'):
            decode({"HostConfig": {"Mounts": [mount]}})
    with pytest.raises(WardianError, match=r"invalid HostConfig.ShmSize true: must be a whole number"):
        decode({"HostConfig": {"ShmSize": True}})
