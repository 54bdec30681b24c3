"""Flags of run that nothing else types, each seen from inside the container or in the kernel; and the list of all of
docker's, none of which is without such a test."""

import json
import pathlib
import re
import signal
import time

import pytest

from clients_shared import IMAGE
from wardian.cli.run_flags import RUN_FLAGS

# Docker 29's, but for those of Windows (--cpu-count, --cpu-percent, --io-maxbandwidth, --io-maxiops)
DOCKERS = """
add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile cpu-period
cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach detach-keys device
device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops dns dns-option dns-search
domainname entrypoint env env-file expose group-add health-cmd health-interval health-retries
health-start-interval health-start-period health-timeout hostname init interactive ip ip6 ipc isolation kernel-memory
label label-file link link-local-ip log-driver log-opt mac-address memory memory-reservation memory-swap
memory-swappiness mount name network network-alias no-healthcheck oom-kill-disable oom-score-adj pid pids-limit platform
privileged publish publish-all pull quiet read-only restart rm runtime security-opt shm-size sig-proxy stop-signal
stop-timeout storage-opt sysctl tmpfs tty ulimit user userns uts volume volume-driver volumes-from workdir
""".split()
# known, and refused by name
REFUSED = {"gpus", "use-api-socket"}
HERE = pathlib.Path(__file__).parent

SEEN = [
    (("--add-host", "web:10.1.2.3"), "grep web /etc/hosts", "10.1.2.3\tweb"),
    (("--entrypoint", "echo"), None, "-c"),
    (("--env", "A=b c"), "echo $A", "b c"),
    (("--hostname", "me", "--domainname", "there"), "hostname; cat /proc/sys/kernel/domainname", "me\nthere"),
    (("--volume", "/dev/null:/v"), "stat -c %F /v", "character special file"),
    (("--workdir", "/a/b"), "pwd", "/a/b"),
    (("--user", "7:8", "--group-add", "9"), "id -u; id -G", "7\n8 9"),
    (("--tty",), "test -t 1 && echo terminal", "terminal"),
    (("--mac-address", "02:00:00:00:00:77"), "cat /sys/class/net/eth0/address", "02:00:00:00:00:77"),
    (("--cap-drop", "ALL"), "grep CapEff /proc/self/status", "CapEff:\t0000000000000000"),
    (("--cap-drop", "ALL", "--cap-add", "chown"), "grep CapEff /proc/self/status", "CapEff:\t0000000000000001"),
    (("--oom-score-adj", "123"), "cat /proc/self/oom_score_adj", "123"),
    (("--ulimit", "nofile=50:60"), "ulimit -n; ulimit -Hn", "50\n60"),
    (("--sysctl", "net.ipv4.ip_forward=1"), "cat /proc/sys/net/ipv4/ip_forward", "1"),
    (("--sysctl", "kernel.shmmni=77"), "cat /proc/sys/kernel/shmmni", "77"),
    (("--read-only", "--tmpfs", "/t:size=1m"), "touch /x 2>/dev/null || touch /t/x && ls /t", "x"),
    (("--shm-size", "2m"), "df -k /dev/shm | tail -n1 | awk '{print $2}'", "2048"),
    (("--dns", "192.0.2.1", "--dns-search", "s.test", "--dns-option", "ndots:4", "--network", "none"),
     "grep -E '^(nameserver|search|options)' /etc/resolv.conf | sort",
     "nameserver 192.0.2.1\noptions ndots:4\nsearch s.test"),
    (("--security-opt", "no-new-privileges"), "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"),
    (("--security-opt", "seccomp=unconfined"), "grep Seccomp: /proc/self/status", "Seccomp:\t0"),
    (("--privileged",), "test -w /proc/sys/kernel/printk && echo all", "all"),
    (("--network", "none"), "ls /sys/class/net", "lo"),
    (("--device", "/dev/zero:/dev/mine:r"), "head -c1 /dev/mine | od -An -tx1", "00"),
    (("--storage-opt", "size=100G"), None, None),
]  # fmt: skip


@pytest.mark.parametrize(("words", "script", "shown"), SEEN, ids=lambda value: value[0] if type(value) is tuple else "")
def test_from_inside(docker, words, script, shown):
    if shown is None:
        assert b"storage-opt" in docker("run", "--rm", *words, IMAGE, "true", status=None).stderr.lower()
        return
    command = ("sh", "-c", script) if script is not None else ("-c",)
    assert docker.out("run", "--rm", *words, IMAGE, *command).replace("\r", "") == shown


def test_streams(docker):
    said = docker("run", "--rm", "--attach", "stdout", IMAGE, "sh", "-c", "echo out; echo err >&2")
    assert (said.stdout, said.stderr) == (b"out\n", b"")
    assert docker.out("run", "--rm", "--interactive", IMAGE, "cat", stdin=b"typed") == "typed"
    identity = docker.out("run", "--detach", IMAGE, "sleep", "1000")
    assert docker.out("inspect", "-f", "{{.State.Running}}", identity) == "true"


def test_notes(docker, tmp_path):
    (tmp_path / "labels").write_text("a=1\n# no\nb=two words\n")
    (tmp_path / "env").write_text("FROM_FILE=x y\n")
    words = ("--label-file", tmp_path / "labels", "--label", "c=3", "--annotation", "note=kept", "--expose", "81/udp")
    name = docker.out("create", *words, "--env-file", tmp_path / "env", IMAGE, "sh", "-c", "echo $FROM_FILE")
    found = json.loads(docker.out("inspect", name))[0]
    assert {key: found["Config"]["Labels"][key] for key in "abc"} == {"a": "1", "b": "two words", "c": "3"}
    assert found["HostConfig"]["Annotations"] == {"note": "kept"}
    assert "81/udp" in found["Config"]["ExposedPorts"]
    assert docker.out("start", "-a", name) == "x y"


def test_a_health_check_that_starts(docker):
    """Failures count for nothing while it may still be starting."""
    check = ("--health-cmd", "false", "--health-retries", "1", "--health-interval", "50ms")
    docker("run", "-d", "--name", "starts", *check, "--health-start-period", "1h", IMAGE, "sleep", "1000")
    docker("run", "-d", "--name", "fails", *check, IMAGE, "sleep", "1000")

    def status(name):
        return docker.out("inspect", "-f", "{{.State.Health.Status}}", name)

    while status("fails") != "unhealthy":
        time.sleep(0.02)
    assert status("starts") == "starting"


def test_ports(docker):
    serve = "echo hi > /tmp/x; httpd -f -p 80 -h /tmp"
    docker("run", "-d", "--name", "one", "--publish", "127.0.0.1::80", IMAGE, "sh", "-c", serve)
    docker("run", "-d", "--name", "all", "--publish-all", "--expose", "80", IMAGE, "sh", "-c", serve)
    for name in ("one", "all"):
        host, _, port = docker.out("port", name, "80").splitlines()[0].rpartition(":")
        assert (host == "127.0.0.1") == (name == "one") and int(port) > 0


def test_stops(docker):
    trap = "trap 'exit 7' USR1; while :; do sleep 0.05; done"
    docker("run", "-d", "--name", "asked", "--stop-signal", "USR1", IMAGE, "sh", "-c", trap)
    docker("stop", "asked")
    assert docker.out("inspect", "-f", "{{.State.ExitCode}}", "asked") == "7"
    docker("run", "-d", "--name", "deaf", "--stop-timeout", "0", IMAGE, "sh", "-c", "trap '' TERM; sleep 1000")
    begun = time.monotonic()
    docker("stop", "deaf")
    assert time.monotonic() - begun < 9  # not Docker's ten seconds
    assert docker.out("inspect", "-f", "{{.State.ExitCode}}", "deaf") == str(128 + signal.SIGKILL)


def test_static_addresses(docker):
    docker("network", "create", "--ipv6", "--subnet", "10.213.57.0/24", "--subnet", "fd00:d57::/64", "addressed")
    try:
        words = (
            "--network",
            "addressed",
            "--ip",
            "10.213.57.9",
            "--ip6",
            "fd00:d57::9",
            "--link-local-ip",
            "169.254.5.7",
        )
        said = docker.out("run", "--rm", *words, IMAGE, "ip", "address", "show", "eth0")
        for one in ("10.213.57.9/24", "fd00:d57::9/64", "169.254.5.7/"):
            assert one in said
    finally:
        docker("network", "rm", "addressed")


def test_real_time_is_there_or_refused(docker):
    """A kernel may have none, and a group only gives what its parent has: here as with Docker mostly nothing."""
    words = ("--cpu-rt-period", "1000000", "--cpu-rt-runtime", "1000")
    said = docker("run", "--rm", *words, IMAGE, "cat", "/sys/fs/cgroup/cpu/cpu.rt_runtime_us", status=None)
    if said.returncode == 0:
        assert said.stdout == b"1000\n"
    else:
        assert said.returncode == 125 and re.search(rb"real-time|cpu.rt_runtime_us = 1000", said.stderr)


@pytest.mark.parametrize("words", [("--gpus", "all"), ("--device", "vendor.test/class=one")])
def test_what_is_refused_by_name(docker, words):
    said = docker("run", "--rm", *words, IMAGE, "true", status=None)
    assert said.returncode == 125 and b"not built yet" in said.stderr


def test_use_api_socket(wardian):
    assert b"not built yet" in wardian("run", "--use-api-socket", IMAGE, "true", status=125).stderr


@pytest.fixture(scope="module")
def written():
    files = [*HERE.glob("*.py"), *HERE.parent.glob("integration/*.py")]
    return "\n".join(path.read_text() for path in files)


@pytest.mark.parametrize("name", DOCKERS)
def test_each_flag_has_a_test(written, name):
    """By its name on a command line, or by the field that it fills."""
    flag = {one.name: one for one in RUN_FLAGS}[name]
    names = [f"--{name}"] + ([f"-{flag.short}"] if flag.short else [])
    field = flag.path.rpartition(".")[2]
    asked = "|".join(rf'"{one}["=]' for one in names) + (rf'|\b{field}\b["=]' if field else "")
    assert re.search(asked, written), f"no test asks for --{name}"


def test_the_list_is_whole():
    assert set(DOCKERS) | REFUSED <= {flag.name for flag in RUN_FLAGS}
