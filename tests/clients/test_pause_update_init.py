"""pause, unpause, update, --init and limits of devices by docker's command line and ours; Podman's flags by ours."""

import os
import time

import pytest

from clients_shared import IMAGE


def test_pause_and_unpause(docker):
    docker("run", "-d", "--name", "still", IMAGE, "sleep", "1000")
    assert docker.out("pause", "still") == "still"
    assert "(Paused)" in docker.out("ps", "--format", "{{.Status}}")
    assert docker.out("inspect", "-f", "{{.State.Status}} {{.State.Paused}}", "still") == "paused true"
    refused = docker("exec", "still", "true", status=1).stderr
    assert b"Container still is paused, unpause the container before exec" in refused
    assert b"is already paused" in docker("pause", "still", status=1).stderr
    assert docker.out("unpause", "still") == "still"
    assert b"is not paused" in docker("unpause", "still", status=1).stderr
    docker("exec", "still", "true")


def test_several_at_once_and_all_their_errors(docker):
    for name in ("one", "two"):
        docker("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    done = docker("pause", "one", "nobody", "two", status=1)
    assert done.stdout.decode().split() == ["one", "two"]
    assert b"No such container: nobody" in done.stderr
    docker("rm", "-f", "one", "two")


def test_update(docker):
    docker("run", "-d", "--name", "grows", "-m", "32m", IMAGE, "sleep", "1000")
    refused = docker("update", "-m", "640m", "grows", status=1).stderr
    assert b"Memory limit should be smaller than already set memoryswap limit, update the memoryswap" in refused
    assert (
        docker.out("update", "-m", "640m", "--memory-swap", "-1", "--cpus", "0.5", "--pids-limit", "33", "grows")
        == "grows"
    )
    shown = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}"
    assert docker.out("inspect", "-f", shown, "grows") == f"{640 << 20} -1 500000000 33"
    assert (
        docker.out("exec", "grows", "sh", "-c", "cat /sys/fs/cgroup/pids/pids.max || cat /sys/fs/cgroup/pids.max")
        == "33"
    )
    assert b"No such container" in docker("update", "--cpus", "1", "nobody", status=1).stderr


def test_swap_without_a_limit_of_memory(docker):
    docker("run", "-d", "--name", "unlimited", IMAGE, "sleep", "1000")
    shown = ("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}", "unlimited")
    refused = docker("update", "--memory-swap", "32m", "unlimited", status=1).stderr
    assert b"You should always set the Memory limit when using Memoryswap limit, see usage" in refused
    assert docker.out(*shown) == "0 0"
    docker("update", "--memory-swap", "-1", "unlimited")


def test_an_exec_in_no_directory(docker):
    docker("run", "-d", "--name", "placed", IMAGE, "sleep", "1000")
    done = docker("exec", "-w", "/nowhere", "placed", "true", status=127)
    refused = done.stdout + done.stderr
    assert b'chdir to cwd ("/nowhere") set in config.json failed: no such file or directory' in refused
    assert b"step" not in refused


def test_update_without_a_flag(docker):
    assert b"must provide one or more flags when using this command" in docker("update", "any", status=1).stderr


def test_an_update_is_an_event(docker):
    since = str(time.time())
    docker("run", "-d", "--name", "told", IMAGE, "sleep", "1000")
    docker("update", "--cpu-shares", "512", "told")
    docker("pause", "told")
    docker("unpause", "told")
    docker("rm", "-f", "told")
    told = docker.out("events", "--since", since, "--until", str(time.time() + 1), "--format", "{{.Action}}").split()
    assert [word for word in told if word in ("update", "pause", "unpause")] == ["update", "pause", "unpause"]


def test_init(docker):
    script = "tr '\\0' ' ' < /proc/1/cmdline; sh -c 'exit 3'; exit $?"
    done = docker("run", "--rm", "--init", IMAGE, "sh", "-c", script, status=3)
    assert done.stdout.split() == [b"wardian-init"]
    docker("create", "--name", "asked", "--init", IMAGE)
    assert docker.out("inspect", "-f", "{{.HostConfig.Init}}", "asked") == "true"


def test_init_and_a_terminal(docker):
    """Ctrl-C is for the terminal's foreground, which is the command."""
    terminal = docker.terminal("run", "--rm", "-it", "--init", IMAGE, "sh", "-c", "trap 'exit 4' INT; echo up; read x")
    terminal.expect("up")
    terminal.type("\x03")
    assert terminal.wait() == 4


def test_limits_of_a_device(docker):
    (disk, *_) = [name for name in sorted(os.listdir("/sys/block")) if os.path.exists(f"/dev/{name}")] or [""]
    if not disk:
        pytest.skip("no block device")
    flags = ("--device-read-bps", f"/dev/{disk}:1mb", "--device-cgroup-rule", "c 10:229 rw")
    docker("run", "--name", "slow", *flags, IMAGE, "true")
    shown = "{{range .HostConfig.BlkioDeviceReadBps}}{{.Rate}}{{end}} {{.HostConfig.DeviceCgroupRules}}"
    assert docker.out("inspect", "-f", shown, "slow") == "1048576 [c 10:229 rw]"
    refused = docker("run", "--rm", "--device-read-bps", "/dev/nope:1mb", IMAGE, "true", status=127).stderr
    assert b"stat /dev/nope: no such file or directory" in refused


def test_shared_memory_of_another(docker):
    docker("run", "-d", "--name", "donor", "--ipc", "shareable", IMAGE, "sh", "-c", "echo x > /dev/shm/f; sleep 1000")
    assert docker.out("run", "--rm", "--ipc", "container:donor", IMAGE, "cat", "/dev/shm/f") == "x"


def test_podman_s_flags(wardian):
    script = "umask; date +%Z; echo $FROM_HOST-$TERM-$HOME"
    flags = ("--umask", "0077", "--tz", "Asia/Tokyo", "--env-host", "--unsetenv", "HOME")
    said = wardian.out("run", "--rm", *flags, IMAGE, "sh", "-c", script).splitlines()
    assert said[:2] == ["0077", "JST"]
    wardian("run", "--name", "late", "--timeout", "1", IMAGE, "sleep", "1000", status=137)
    assert wardian.out("inspect", "-f", "{{.State.Error}}", "late") == "timeout"
    assert b"unknown time zone No/Where" in wardian("run", "--tz", "No/Where", IMAGE, status=125).stderr


def test_a_variable_of_the_image_is_taken_away(wardian):
    with_path = wardian.out("run", "--rm", IMAGE, "/bin/env").splitlines()
    without = wardian.out("run", "--rm", "--unsetenv", "PATH", IMAGE, "/bin/env").splitlines()
    assert any(line.startswith("PATH=") for line in with_path)
    assert not any(line.startswith("PATH=") for line in without)
