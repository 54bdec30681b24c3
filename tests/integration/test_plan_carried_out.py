"""Plans carried out by the real launcher on this kernel: what the container sees, and that a failure leaves nothing."""

import asyncio
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import planned
from wardian.kernel.mounts import Mount, attach_detached
from wardian.runtime import (
    Attacher,
    ExecTarget,
    HostFacts,
    Launched,
    LaunchError,
    Placement,
    Plan,
    Supervision,
    defaults,
    launch,
    plan,
    plan_exec,
    probe_host,
    read_root_facts,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
APPLETS = ("sh", "cat", "id", "mount", "hostname", "true", "sleep", "ls", "tty", "touch", "ps", "grep", "readlink",
            "chmod", "cut")  # fmt: skip


class Box(NamedTuple):
    """A root of busybox and the directories around it."""

    path: Path
    rootfs: Mount
    placement: Placement
    host: HostFacts

    def plan(self, spec: dict[str, Any], user: str = "", **supervision: Any) -> Plan:
        process = spec["process"]
        process["env"] = ["PATH=/bin"]
        view = attach_detached(self.rootfs)
        try:
            facts = read_root_facts(view, user, process["args"], process["env"], process["cwd"])
        finally:
            os.close(view)
        watch = Supervision("c1", str(self.path / "run"), **supervision)
        return plan(spec, self.host, facts, self.rootfs, watch, self.placement)  # type: ignore[arg-type]

    async def start(self, made: Plan, directory: str = "run") -> "tuple[Launched, socket.socket]":
        ours, theirs = socket.socketpair()
        attacher = Attacher(theirs.fileno(), b"", stdin=False, stdout=True, stderr=True, framed=False, detach_keys=b"")
        with theirs:
            launched = await launch(made, {}, [attacher], str(self.path / directory))
        return launched, ours

    def run(self, spec: dict[str, Any], user: str = "", **supervision: Any) -> tuple[int, str]:
        """Exit code and output."""

        async def whole() -> tuple[int, str]:
            launched, ours = await self.start(self.plan(spec, user, **supervision))
            return await finish(launched, ours)

        return asyncio.run(whole())

    def left(self) -> list[str]:
        return [path for path in groups(self.host) if os.path.exists(f"{path}/{self.placement.cgroup}")]


async def finish(launched: Launched, ours: socket.socket) -> tuple[int, str]:
    record = await asyncio.wait_for(launched.supervisor.wait_exit(), 20)
    ours.settimeout(5)
    text = b""
    with ours:
        while data := ours.recv(65536):
            text += data
    assert record is not None
    return record.exit_code, text.decode()


def groups(host: HostFacts) -> list[str]:
    return [mount for _, mount in host.cgroup_mounts] + ([host.cgroup2] if host.cgroup2 else [])


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    for name in ("lower/bin", "lower/etc", "lower2", "upper", "work", "run"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", tmp_path / "lower/bin/busybox")
    for applet in APPLETS:
        (tmp_path / "lower/bin" / applet).symlink_to("busybox")
    (tmp_path / "lower/etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n")
    (tmp_path / "lower/etc/group").write_text("web:x:34:\nlog:x:40:web\n")
    base = f"wardian-test/{secrets.token_hex(4)}"
    lowers = (str(tmp_path / "lower2"), str(tmp_path / "lower"))
    rootfs = Mount("overlay", lowers=lowers, upper=str(tmp_path / "upper"), work=str(tmp_path / "work"))
    host = probe_host()
    box = Box(tmp_path, rootfs, Placement(f"{base}/containers/c1", f"{base}/supervisors"), host)
    try:
        yield box
        assert not box.left()
    finally:
        for mount in groups(host):
            for name in ("containers/c1", "containers", "supervisors", ""):
                for _ in range(50):
                    try:
                        os.rmdir(f"{mount}/{base}/{name}")
                    except FileNotFoundError:
                        break
                    except OSError:
                        asyncio.run(asyncio.sleep(0.01))
                    else:
                        break


def shell(script: str, **linux: Any) -> dict[str, Any]:
    return planned.spec("sh", "-c", script, **linux)


def test_exit_code_and_output(box: Box) -> None:
    assert box.run(shell("echo hello; echo $$; hostname; exit 7")) == (7, "hello\n1\nwardian\n")


def test_a_user_has_its_ids_groups_home_and_no_capabilities(box: Box) -> None:
    code, text = box.run(shell("id; echo $HOME; grep Cap /proc/self/status"), user="web")
    assert code == 0
    assert text.startswith("uid=33(web) gid=34(web) groups=34(web),40(log)\n/srv\n")
    assert "CapEff:\t0000000000000000" in text
    assert "CapBnd:\t00000000a80425fb" in text


def test_mounts_masks_and_devices(box: Box) -> None:
    source = box.path / "data"
    source.mkdir()
    (source / "file").write_text("bound\n")
    spec = shell(
        "cat /data/file; touch /data/x; touch /proc/sys/kernel/domainname; cat /proc/timer_list; ls /sys/firmware;"
        " echo x > /dev/null; ls -l /dev/ptmx; cat /proc/sys/net/ipv4/ip_forward",
        sysctl={"net.ipv4.ip_forward": "1"},
    )
    spec["mounts"].append({"destination": "/data", "type": "bind", "source": str(source), "options": ["rbind", "ro"]})
    code, text = box.run(spec)
    lines = text.splitlines()
    assert code == 0
    assert lines[0] == "bound"
    assert "touch: /data/x: Read-only file system" in lines
    assert "touch: /proc/sys/kernel/domainname: Read-only file system" in lines
    assert lines[-1] == "1"
    assert lines[-2].endswith("/dev/ptmx -> pts/ptmx")


def test_root_of_a_container_cannot_change_the_hosts_null_device(box: Box) -> None:
    before = os.stat("/dev/null").st_mode
    try:
        script = "for at in /proc/self/fd/0 /proc/version; do chmod 664 $at; echo x > $at; done; true"
        code, output = box.run(shell(script, maskedPaths=["/proc/version"]))
        bare = shell(script, maskedPaths=["/proc/version"])
        bare["mounts"] = [mount for mount in bare["mounts"] if not mount["destination"].startswith("/dev")]
        bare["linux"]["devices"] = []
        (box.path / "lower/dev").mkdir()
        (box.path / "lower/dev/null").write_text("")
        bare_code, bare_output = box.run(bare)
        assert os.stat("/dev/null").st_mode == before
    finally:
        os.chmod("/dev/null", before & 0o7777)
    assert (code, output.count("Read-only file system")) == (0, 1)  # its own /dev/null is its to change
    assert (bare_code, bare_output.count("Read-only file system")) == (0, 2)


def test_stdin_without_a_client_is_the_containers_null_device(box: Box) -> None:
    script = "readlink /proc/self/fd/0; ls -l /dev/null | cut -c1; chmod 640 /proc/self/fd/0; ls -l /dev/null; cat"
    code, text = box.run(shell(script))
    name, kind, changed = text.splitlines()
    assert (code, name, kind, changed[:10]) == (0, "/dev/null", "c", "crw-r-----")


def test_stdin_is_no_file_that_an_image_calls_null(box: Box) -> None:
    """With the host's processes in sight, a link by /proc would lead to the host's files."""
    secret = box.path / "secret"
    secret.write_text("of the host\n")
    (box.path / "lower/dev").mkdir()
    (box.path / "lower/dev/null").symlink_to(f"/proc/1/root{secret}")
    spec = shell("cat; readlink /proc/self/fd/0", namespaces=planned.namespaces("mount", "uts"))
    spec["mounts"] = [mount for mount in spec["mounts"] if not mount["destination"].startswith("/dev")]
    spec["linux"]["devices"] = []
    assert box.run(spec) == (0, "/\n")


def test_limits_are_in_the_groups(box: Box) -> None:
    spec = planned.limited()
    spec["process"]["args"] = ["sh", "-c", "cat /proc/self/cgroup"]
    code, text = box.run(spec)
    assert code == 0
    assert text.count(box.placement.cgroup) == len(groups(box.host))


def test_seccomp_and_terminal(box: Box) -> None:
    spec = shell("tty; grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp")
    spec["linux"]["seccomp"] = defaults.default_seccomp(defaults.DEFAULT_CAPABILITIES)
    code, text = box.run(spec, terminal=True, console_size=(24, 80))
    assert code != 0
    assert text.startswith("/dev/pts/0\r\nSeccomp:\t2\r\n")


@pytest.mark.parametrize("quiet", [False, True], ids=["filter-first", "filter-last"])
def test_a_profile_need_not_allow_what_the_launcher_does(box: Box, quiet: bool) -> None:
    """Descriptors, signals and the last look at the channel come before the filter, whose answer is death."""
    spec = planned.spec("cat", "/proc/self/status")
    spec["process"]["noNewPrivileges"] = quiet
    names = ["close_range", "rt_sigprocmask", "recvfrom", "setsid"]
    forbidden = {"names": names, "action": "SCMP_ACT_KILL_PROCESS"}
    spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [forbidden]}
    code, text = box.run(spec)
    assert (code, "Seccomp:\t2" in text) == (0, True)


def test_user_namespace(box: Box) -> None:
    for path in (box.path, *box.path.rglob("*")):
        os.chown(path, 100000, 100000, follow_symlinks=False)
    for path in [box.path, *box.path.parents][:3]:
        path.chmod(0o755)
    spec = planned.user_namespace()
    spec["process"]["args"] = ["sh", "-c", "id -u; cat /proc/self/uid_map; echo x > /dev/null; hostname; touch /made"]
    code, text = box.run(spec)
    assert (code, text.split()) == (0, ["0", "0", "100000", "65536", "wardian"])
    assert (box.path / "upper/made").stat().st_uid == 100000


def test_legacy_overlay_of_old_kernels(box: Box) -> None:
    old = box._replace(host=box.host._replace(kernel=(5, 15)))
    assert old.run(shell("echo from $(readlink /bin/sh)")) == (0, "from busybox\n")


def test_exec_joins_the_container(box: Box) -> None:
    async def whole() -> tuple[int, str]:
        first, ours = await box.start(box.plan(planned.spec("sleep", "100")))
        root = os.open(f"/proc/{first.pid}/root", os.O_PATH)
        script = "hostname; readlink /proc/self/fd/0; ps; cat /proc/self/cgroup; exit 3"
        command = planned.spec("sh", "-c", script)["process"]
        facts = read_root_facts(root, "", command["args"], ["PATH=/bin"], "/")
        os.close(root)
        (box.path / "exec").mkdir()
        target = ExecTarget(first.pid, first.start_time, box.placement.cgroup, box.placement.supervisor_cgroup)
        made = plan_exec(command, box.host, facts, target, Supervision("e1", str(box.path / "exec")))
        second, output = await box.start(made, directory="exec")
        result = await finish(second, output)
        os.kill(first.pid, 9)
        await finish(first, ours)
        return result

    code, text = asyncio.run(whole())
    assert code == 3
    assert text.startswith("wardian\n/dev/null\n")
    assert "sleep 100" in text
    assert text.count(box.placement.cgroup) == len(groups(box.host))


def test_exec_into_another_process_with_that_pid_is_refused(box: Box) -> None:
    made = plan_exec(
        planned.spec("true")["process"],
        box.host,
        planned.ROOT,
        ExecTarget(os.getpid(), 1),
        Supervision("e1", str(box.path / "run")),
    )
    with pytest.raises(LaunchError) as caught:
        asyncio.run(launch(made, {}, (), str(box.path / "run")))
    assert caught.value.op.startswith("hold process")
    assert caught.value.errno == 3


def test_a_failure_at_any_step_leaves_nothing(box: Box) -> None:
    spec = planned.limited()
    spec["process"]["args"] = ["sleep", "100"]
    made = box.plan(spec)

    async def fail_each() -> None:
        for step in range(len(made.ops)):
            with pytest.raises(LaunchError) as caught:
                await launch(made, {}, (), str(box.path / "run"), fail_step=step)
            assert (caught.value.step, caught.value.errno) == (step, 125), made.ops[step].describe()
            assert caught.value.op == made.ops[step].describe()
            assert not box.left(), made.ops[step].describe()
            assert not os.listdir(box.path / "run"), made.ops[step].describe()

    asyncio.run(fail_each())
    assert str(box.path) not in Path("/proc/self/mountinfo").read_text()
    assert box.run(planned.spec("true")) == (0, "")


def test_the_failing_step_is_named(box: Box) -> None:
    spec = planned.spec("true")
    spec["mounts"].append({"destination": "/x", "type": "bind", "source": "/nowhere/at/all", "options": ["bind"]})
    with pytest.raises(LaunchError, match="/nowhere/at/all") as caught:
        asyncio.run(launch(box.plan(spec), {}, (), str(box.path / "run")))
    assert caught.value.errno == 2
