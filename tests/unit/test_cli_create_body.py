"""What run sends: recorded from docker's CLI 28.2.2 with a logging proxy, and made from the same flags."""

import json

import pytest

from wardian.cli.create_body import BodyError, create_body
from wardian.cli.pflag import parse
from wardian.cli.run_flags import RUN_FLAGS

# `docker run busybox echo hi`, as it went over the wire.
PLAIN = """{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,"AttachStderr":true,
"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["echo","hi"],"Image":"busybox","Volumes":{},"WorkingDir":"",
"Entrypoint":null,"OnBuild":null,"Labels":{},"HostConfig":{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"",
"Config":{}},"NetworkMode":"default","PortBindings":{},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},
"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[0,0],"CapAdd":null,"CapDrop":null,
"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"",
"Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,
"SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,
"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":[],"BlkioDeviceReadBps":[],"BlkioDeviceWriteBps":[],
"BlkioDeviceReadIOps":[],"BlkioDeviceWriteIOps":[],"CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,
"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,
"MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],
"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null},
"NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,"Links":null,"Aliases":null,"MacAddress":"",
"DriverOpts":null,"GwPriority":0,"NetworkID":"","EndpointID":"","Gateway":"","IPAddress":"","IPPrefixLen":0,
"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":null}}}}"""


def body(*arguments):
    return create_body(RUN_FLAGS, parse(RUN_FLAGS, arguments, False))


def wrong(*arguments):
    with pytest.raises(BodyError) as caught:
        body(*arguments)
    assert caught.value.code == 125
    return caught.value.message


def test_plain_is_what_docker_sends():
    assert body("busybox", "echo", "hi") == json.loads(PLAIN)


def test_many_flags_are_what_docker_sends():
    words = (
        "-d --name c2 --hostname h2 -e A=1 -l k=v -v vol1:/data -v /srv/w:/host:ro --tmpfs /t -p "
        "127.0.0.1:8081:80 -m 64m --cpus 0.5 --pids-limit 50 --cap-add NET_ADMIN --cap-drop MKNOD --restart "
        "on-failure:2 --ulimit nofile=1000:1000 --sysctl net.ipv4.ip_forward=1 --init --read-only --dns "
        "9.9.9.9 --add-host a:1.2.3.4 --log-opt max-size=1m --health-cmd true --health-interval 30s -w /tmp "
        "-u 1000:1000 --security-opt no-new-privileges --device /dev/null:/dev/xnull --shm-size 16m "
        "--stop-signal TERM --group-add 5 busybox sleep 1000"
    )
    sent = body(*words.split())
    host = sent["HostConfig"]
    config = {
        "Hostname": "h2", "User": "1000:1000", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=1"], "WorkingDir": "/tmp",
        "Labels": {"k": "v"}, "StopSignal": "TERM",
    }  # fmt: skip
    assert {key: sent[key] for key in config} == config
    assert sent["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 30000000000}
    recorded = {
        "Binds": ["vol1:/data", "/srv/w:/host:ro"], "LogConfig": {"Type": "", "Config": {"max-size": "1m"}},
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}]},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}, "CapAdd": ["CAP_NET_ADMIN"],
        "CapDrop": ["CAP_MKNOD"], "Dns": ["9.9.9.9"], "ExtraHosts": ["a:1.2.3.4"], "GroupAdd": ["5"],
        "ReadonlyRootfs": True, "SecurityOpt": ["no-new-privileges"], "Tmpfs": {"/t": ""}, "ShmSize": 16777216,
        "Sysctls": {"net.ipv4.ip_forward": "1"}, "Memory": 67108864, "NanoCpus": 500000000,
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/xnull", "CgroupPermissions": "rwm"}],
        "PidsLimit": 50, "Ulimits": [{"Name": "nofile", "Hard": 1000, "Soft": 1000}], "Init": True,
    }  # fmt: skip
    assert {key: host[key] for key in recorded} == recorded


def test_streams():
    assert body("-i", "i")["StdinOnce"]
    only = body("-a", "stdout", "i")
    assert (only["AttachStdin"], only["AttachStdout"], only["AttachStderr"]) == (False, True, False)


def test_entrypoint():
    assert body("--entrypoint", "sh", "i", "-c", "x")["Entrypoint"] == ["sh"]
    assert body("--entrypoint=", "i")["Entrypoint"] == [""]


def test_networks():
    none = body("--network", "none", "i")
    assert none["HostConfig"]["NetworkMode"] == "none"
    assert none["NetworkingConfig"] == {"EndpointsConfig": {}}
    own = body("--network", "n1", "--network-alias", "foo", "--ip", "10.0.0.9", "i")
    endpoint = own["NetworkingConfig"]["EndpointsConfig"]["n1"]
    assert endpoint["Aliases"] == ["foo"]
    assert endpoint["IPAMConfig"] == {"IPv4Address": "10.0.0.9"}


def test_files(tmp_path, monkeypatch):
    monkeypatch.setenv("OURS", "x")
    variables = tmp_path / "env"
    variables.write_text("# comment\n\nA=1 2\n  B=3\nOURS\nNOT_OURS\n")
    labels = tmp_path / "labels"
    labels.write_text("l=1\nbare\n")
    sent = body("--env-file", str(variables), "-e", "C=4", "--label-file", str(labels), "-l", "l=2", "i")
    assert sent["Env"] == ["A=1 2", "B=3", "OURS=x", "C=4"]
    assert sent["Labels"] == {"l": "2", "bare": ""}
    assert wrong("--env-file", "/nope", "i") == "open /nope: no such file or directory"


def test_security_options(tmp_path):
    profile = tmp_path / "p.json"
    profile.write_text('{ "defaultAction": "SCMP_ACT_ALLOW" }')
    host = body("--security-opt", f"seccomp={profile}", "--security-opt", "systempaths=unconfined", "i")["HostConfig"]
    assert host["SecurityOpt"] == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']
    assert host["MaskedPaths"] == [] == host["ReadonlyPaths"]


def test_capabilities():
    host = body("--cap-add", "all", "--cap-add", "x", "--cap-drop", "chown", "--cap-drop", "CAP_KILL", "i")[
        "HostConfig"
    ]
    assert (host["CapAdd"], host["CapDrop"]) == (["ALL"], ["CAP_CHOWN", "CAP_KILL"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--rm", "--restart", "always"], "conflicting options: cannot specify both --restart and --rm"),
        (["-v", ":/x"], "invalid spec: :/x: empty section between colons"),
        (["-p", "x"], "invalid containerPort: x"),
        (["--pid", "foo"], "--pid: invalid PID mode"),
        (["--uts", "x"], "--uts: invalid UTS mode"),
        (["--memory-swappiness", "200"], "invalid value: 200. Valid memory swappiness range is 0-100"),
        (["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-* options"),
        (["--pull", "foo"], 'invalid pull option: \'foo\': must be one of "always", "missing" or "never"'),
        (["--mac-address", "x"], "x is not a valid mac address"),
    ],
)
def test_words_for_what_is_wrong(arguments, text):
    assert wrong(*arguments, "i") == text


@pytest.mark.parametrize("root", ["", ":O"])
def test_a_root_without_a_directory_is_not_the_current_one(root):
    assert wrong("--rootfs", root, "true") == "--rootfs needs a directory in the image's place"
