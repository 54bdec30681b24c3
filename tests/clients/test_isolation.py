"""Every flag that shuts a container in or lets it out: looked at from inside, or in the kernel's own files."""

import json
import os
import stat
from pathlib import Path

import pytest

from clients_shared import IMAGE
from images_made import busybox_image, docker_archive

V1 = os.path.isdir("/sys/fs/cgroup/memory")
DEFAULT_SET = "00000000a80425fb"


def _status(docker, *flags: str, key: str) -> str:
    return docker.out("run", "--rm", *flags, IMAGE, "grep", f"^{key}:", "/proc/self/status").split()[1]


def test_capabilities(docker):
    everything = _status(docker, "--privileged", key="CapEff")
    assert _status(docker, key="CapEff") == DEFAULT_SET
    cases = [
        (("--cap-drop", "ALL"), "0"),
        (("--cap-drop", "ALL", "--cap-add", "chown", "--cap-add", "NET_RAW"), "2001"),
        (("--cap-drop", "CHOWN", "--cap-add", "CAP_CHOWN"), DEFAULT_SET),
        (("--cap-add", "ALL"), everything),
        (("--cap-add", "ALL", "--cap-drop", "ALL"), everything),
        (("--privileged", "--cap-drop", "ALL"), everything),
        (("--user", "1000"), "0"),
    ]
    for flags, expected in cases:
        assert int(_status(docker, *flags, key="CapEff"), 16) == int(expected, 16), flags
    assert _status(docker, "--user", "1000", key="CapBnd") == DEFAULT_SET
    done = docker("run", "--rm", "--cap-add", "NOPE", IMAGE, "true", status=125)
    assert b'invalid CapAdd: unknown capability: "CAP_NOPE"' in done.stderr


def test_seccomp_and_no_new_privileges(docker, tmp_path: Path):
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    done = docker("run", "--rm", "--security-opt", f"seccomp={profile}", IMAGE, "mkdir", "/made", status=1)
    assert b"Permission denied" in done.stderr
    assert _status(docker, key="Seccomp") == "2"
    assert _status(docker, "--security-opt", "seccomp=unconfined", key="Seccomp") == "0"
    assert _status(docker, key="NoNewPrivs") == "0"
    assert _status(docker, "--security-opt", "no-new-privileges", key="NoNewPrivs") == "1"
    assert _status(docker, "--security-opt", "no-new-privileges=false", key="NoNewPrivs") == "0"
    docker("run", "--rm", "--security-opt", "no-new-privileges=maybe", IMAGE, "true", status=125)


def test_devices(docker):
    script = "ls -l /dev/other; head -c 1 /dev/other >/dev/null && echo read; : > /dev/other && echo write"
    flag = "/dev/zero:/dev/other"
    assert docker.out("run", "--rm", "--device", flag, IMAGE, "sh", "-c", script).split()[-2:] == ["read", "write"]
    if os.path.exists("/dev/fuse"):
        script = ": < /dev/other && echo read; : > /dev/other && echo write"
        done = docker("run", "--rm", "--device", "/dev/fuse:/dev/other:r", IMAGE, "sh", "-c", script, status=None)
        assert done.stdout == b"read\n"
        script = ": < /dev/fuse && echo read"
        done = docker("run", "--rm", IMAGE, "sh", "-c", f"mknod /dev/fuse c 10 229; {script}", status=None)
        assert done.stdout == b""  # the node alone opens nothing
    done = docker("run", "--rm", "--device", "/dev/nope", IMAGE, "true", status=None)
    assert b'gathering device information while adding custom device "/dev/nope": no such file' in done.stderr


def test_privileged_has_the_host_s_devices_and_may_mount(docker):
    script = "mkdir /m && mount -t tmpfs x /m && echo mounted; test -w /proc/sys/kernel/hostname && echo sys; ls /dev"
    words = docker.out("run", "--rm", "--privileged", IMAGE, "sh", "-c", script).split()
    assert words[:2] == ["mounted", "sys"]
    modes = {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in os.scandir("/dev")}
    ours = {name for name, mode in modes.items() if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and "tty" in name)}
    assert ours <= set(words)


@pytest.mark.parametrize("kind", ["pid", "uts", "ipc", "net"])
def test_the_host_s_namespaces(docker, kind):
    flag = {"net": "network"}.get(kind, kind)
    inside = docker.out("run", "--rm", f"--{flag}", "host", IMAGE, "readlink", f"/proc/self/ns/{kind}")
    assert inside == os.readlink(f"/proc/self/ns/{kind}")
    inside = docker.out("run", "--rm", IMAGE, "readlink", f"/proc/self/ns/{kind}")
    assert inside != os.readlink(f"/proc/self/ns/{kind}")


def test_another_container_s_namespaces(docker):
    docker("run", "-d", "--name", "donor", "--hostname", "h", IMAGE, "sleep", "1000")
    assert "sleep 1000" in docker.out("run", "--rm", "--pid", "container:donor", IMAGE, "ps")
    assert docker.out("run", "--rm", "--network", "container:donor", IMAGE, "hostname") == "h"
    done = docker("run", "--rm", "--ipc", "container:donor", IMAGE, "true", status=125)
    assert b"non-shareable IPC (hint: use IpcMode:shareable for the donor container)" in done.stderr
    docker("run", "-d", "--name", "shareable", "--ipc", "shareable", IMAGE, "sleep", "1000")
    script = "readlink /proc/self/ns/ipc"
    assert docker.out("run", "--rm", "--ipc", "container:shareable", IMAGE, *script.split()) == docker.out(
        "exec", "shareable", *script.split()
    )
    assert b"invalid IPC mode: nonsense" in docker("run", "--ipc", "nonsense", IMAGE, "true", status=125).stderr
    docker("rm", "-f", "donor")
    done = docker("run", "--rm", "--pid", "container:donor", IMAGE, "true", status=125)
    assert b"No such container: donor" in done.stderr


def test_ipc_none_and_cgroup_namespace(docker):
    docker("run", "--rm", "--ipc", "none", IMAGE, "ls", "/dev/shm", status=1)
    groups = docker.out("run", "--rm", "--cgroupns", "private", IMAGE, "cat", "/proc/self/cgroup").splitlines()
    assert {line.split(":", 2)[2] for line in groups} == {"/"}


def test_read_only_tmpfs_and_shm(docker):
    script = "touch /x /etc/hosts 2>/dev/null || echo refused; touch /dev/shm/x /tmp/x && echo written"
    out = docker.out("run", "--rm", "--read-only", "--tmpfs", "/tmp", IMAGE, "sh", "-c", script)
    assert out == "refused\nwritten"
    options = "size=1m,mode=700,exec,uid=5"
    mount = docker.out("run", "--rm", "--tmpfs", f"/a:{options}", IMAGE, "sh", "-c", "grep ' /a ' /proc/mounts")
    assert "noexec" not in mount
    for word in ("nosuid", "nodev", "size=1024k", "mode=700", "uid=5"):
        assert word in mount
    shm = docker.out("run", "--rm", "--shm-size", "10m", IMAGE, "df", "/dev/shm").split()
    assert shm[shm.index("shm") + 1] == "10240"
    for target, text in (("/a:nope", b'invalid tmpfs option "nope"'), ("a", b"invalid mount path: 'a'")):
        assert text in docker("run", "--rm", "--tmpfs", target, IMAGE, "true", status=125).stderr


def test_binds(docker, tmp_path: Path):
    (tmp_path / "file").write_text("host\n")
    script = "cat /m/file; echo new > /m/made && echo written"
    assert docker.out("run", "--rm", "-v", f"{tmp_path}:/m", IMAGE, "sh", "-c", script) == "host\nwritten"
    assert (tmp_path / "made").read_text() == "new\n"
    for flags in (("-v", f"{tmp_path}:/m:ro"), ("--mount", f"type=bind,source={tmp_path},target=/m,readonly")):
        done = docker("run", "--rm", *flags, IMAGE, "sh", "-c", script, status=1)
        assert (done.stdout, b"Read-only file system" in done.stderr) == (b"host\n", True)
    docker("run", "--rm", "-v", f"{tmp_path}/new/dir:/m", IMAGE, "true")
    assert (tmp_path / "new/dir").is_dir()
    done = docker("run", "--rm", "--mount", f"type=bind,source={tmp_path}/no,target=/m", IMAGE, "true", status=125)
    assert b"bind source path does not exist" in done.stderr
    assert b"invalid mode: zz" in docker("run", "-v", f"{tmp_path}:/m:zz", IMAGE, "true", status=125).stderr


def test_users(docker):
    def who(*flags: str) -> str:
        return docker.out("run", "--rm", *flags, IMAGE, "sh", "-c", "echo $(id -u):$(id -g) $(id -G) $HOME")

    assert who() == "0:0 0 /root"
    assert who("--user", "app") == "1000:1000 1000 2000 /home/app"
    assert who("--user", "1000") == "1000:1000 1000 2000 /home/app"
    assert who("--user", "1000:1") == "1000:1 1 /home/app"
    assert who("--user", "app:daemon") == "1000:1 1 /home/app"
    assert who("--user", "4242") == "4242:0 0 /"
    assert who("--user", "4242:4343") == "4242:4343 4343 /"
    assert who("--user", "app", "--group-add", "daemon", "--group-add", "777") == "1000:1000 1000 1 777 2000 /home/app"
    unknown = [
        (("--user", "nobody-here"), b"unable to find user nobody-here: no matching entries in passwd file"),
        (("--user", "app:nogroup"), b"unable to find group nogroup: no matching entries in group file"),
        (("--group-add", "nogroup"), b"unable to find group nogroup: no matching entries in group file"),
        (("--user", "99999999999"), b"uids and gids must be in range 0-2147483647"),
        (("--user", "-5"), b"uids and gids must be in range 0-2147483647"),
    ]
    for flags, text in unknown:
        assert text in docker("run", "--rm", *flags, IMAGE, "true", status=125).stderr


def test_working_directory_names_and_environment(docker):
    shown = docker.out("run", "--rm", "-w", "/made/here", "-u", "app", IMAGE, "sh", "-c", "pwd; stat -c %u .")
    assert shown == "/made/here\n0"
    done = docker("run", "--rm", "-w", "rel", IMAGE, "true", status=125)
    assert b"the working directory 'rel' is invalid, it needs to be an absolute path" in done.stderr
    script = "hostname; cat /proc/sys/kernel/domainname /etc/hostname; grep foo /etc/hosts | cut -f2"
    names = docker.out("run", "--rm", "-h", "foo", "--domainname", "ex.org", IMAGE, "sh", "-c", script)
    assert names.splitlines() == ["foo", "ex.org", "foo", "foo.ex.org foo"]
    assert docker.out("run", "--rm", "--uts", "host", IMAGE, "hostname") == os.uname().nodename
    env = docker.out("run", "--rm", "-e", "A=1", "-e", "B=", "-e", "NOT_SET_HERE", "-e", "HOME=/x", IMAGE, "env")
    assert {"A=1", "B=", "HOME=/x"} <= set(env.splitlines())
    assert "NOT_SET_HERE" not in env


def test_process_limits_and_sysctls(docker):
    flags = ("--ulimit", "nofile=100:200", "--ulimit", "core=0", "--oom-score-adj", "300")
    script = "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj"
    assert docker.out("run", "--rm", *flags, IMAGE, "sh", "-c", script).split() == ["100", "200", "0", "300"]
    with open("/proc/sys/fs/nr_open") as file:
        too_many = int(file.read()) + 1  # above it nobody's limit can be: prlimit(2)
    done = docker("run", "--rm", "--ulimit", f"nofile={too_many}", IMAGE, "true", status=125)
    assert b"limit NOFILE" in done.stderr
    done = docker("run", "--rm", "--oom-score-adj", "3000", IMAGE, "true", status=125)
    assert b"Invalid value 3000, range for oom score adj is [-1000, 1000]" in done.stderr
    flags = ("--sysctl", "net.ipv4.ip_forward=0", "--sysctl", "kernel.shmmax=1000000")
    shown = docker.out(
        "run", "--rm", *flags, IMAGE, "cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/shmmax",
        "/proc/sys/net/ipv4/ip_unprivileged_port_start",
    )  # fmt: skip
    assert shown.split() == ["0", "1000000", "0"]
    for flags in (("--ipc", "host", "--sysctl", "kernel.shmmax=9"), ("--network", "host", "--sysctl", "net.a.b=1")):
        docker("run", "--rm", *flags, IMAGE, "true", status=125)


@pytest.mark.skipif(not V1, reason="names files of cgroup v1; tests/vm looks at those of v2")
@pytest.mark.parametrize(
    ("flags", "files"),
    [
        (("--memory", "64m"), {"memory/memory.limit_in_bytes": 64 << 20}),
        (("--memory", "64m", "--memory-reservation", "32m"), {"memory/memory.soft_limit_in_bytes": 32 << 20}),
        (("--memory", "64m", "--memory-swap", "100m"), {"memory/memory.memsw.limit_in_bytes": 100 << 20}),
        (("--cpus", "0.5"), {"cpu/cpu.cfs_quota_us": 50_000, "cpu/cpu.cfs_period_us": 100_000}),
        (("--cpu-quota", "20000", "--cpu-period", "50000"), {"cpu/cpu.cfs_quota_us": 20_000}),
        (("--cpu-shares", "333"), {"cpu/cpu.shares": 333}),
        (("--cpuset-cpus", "0", "--cpuset-mems", "0"), {"cpuset/cpuset.cpus": 0, "cpuset/cpuset.mems": 0}),
        (("--pids-limit", "33"), {"pids/pids.max": 33}),
    ],
)
def test_limits_are_in_the_kernel_s_files(docker, flags, files):
    paths = [f"/sys/fs/cgroup/{name}" for name in files]
    shown = docker.out("run", "--rm", *flags, IMAGE, "cat", *paths).split()
    assert shown == [str(value) for value in files.values()]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--memory", "1k"), b"Minimum memory limit allowed is 6MB"),
        (("--memory-reservation", "1m"), b"Minimum memory reservation allowed is 6MB"),
        (("--memory", "64m", "--memory-reservation", "65m"), b"can not be less than memory reservation limit"),
        (("--memory-swap", "100m"), b"You should always set the Memory limit"),
        (("--cpus", "5000"), b"range of CPUs is from 0.01 to"),
        (("--cpu-shares", "1"), b"the minimum allowed cpu-shares is 2"),
        (("--cpuset-cpus", "60000"), b"Requested CPUs are not available - requested 60000, available: 0"),
        (("--cpuset-mems", "60000"), b"Requested memory nodes are not available - requested 60000"),
        (("--cpuset-cpus", "x"), b"Invalid value x for cpuset cpus: invalid format: x"),
        (("--cpuset-cpus", "0-99999999999"), b"Invalid value"),
    ],
)
def test_limits_that_cannot_be_are_refused(docker, flags, says):
    assert says in docker("run", "--rm", *flags, IMAGE, "true", status=125).stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--gpus", "all"),
    ],
    ids=lambda flags: flags[0],
)  # fmt: skip
def test_what_is_not_built_is_refused_by_name(docker, flags):
    assert b"is not built yet" in docker("run", *flags, IMAGE, "true", status=125).stderr
    assert docker.out("ps", "-aq") == ""


def test_an_image_s_own_user_and_directory(docker):
    archive = docker_archive({"iso/user:1": busybox_image(User="app:daemon", WorkingDir="/home/app")})
    docker("load", stdin=archive)
    assert docker.out("run", "--rm", "iso/user:1", "sh", "-c", "echo $(id -u):$(id -g) $PWD") == "1000:1 /home/app"
    docker("rmi", "iso/user:1")
