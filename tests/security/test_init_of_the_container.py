"""An init that is the launcher's own code must give the container nothing that its command has not.

It execs nothing: what an exec takes away (capabilities of who is not root, descriptors) it would keep; and the file
behind /proc/1/exe is the host's launcher for as long as the container runs (CVE-2019-5736).
"""

import os
import subprocess

from benches import Bench
from wardian.runtime import LAUNCHER


def test_its_program_is_not_to_be_changed(bench: Bench) -> None:
    before = os.stat(LAUNCHER)
    script = "head -c 1 /proc/1/exe | wc -c; (echo x > /proc/1/exe) 2>&1; chmod 777 /proc/1/exe 2>&1; true"
    for privileged in (False, True):
        said = bench.said("sh", "-c", script, Init=True, Privileged=privileged)
        assert said.count("Read-only file system") + said.count("Text file busy") == 2, said
    after = os.stat(LAUNCHER)
    assert (before.st_size, before.st_mtime_ns, before.st_mode) == (after.st_size, after.st_mtime_ns, after.st_mode)
    assert subprocess.run([LAUNCHER, "hello"], capture_output=True, check=True).stdout


def test_a_plain_user_finds_no_capability_in_it(bench: Bench) -> None:
    script = "grep -E '^Cap(Prm|Eff|Amb)' /proc/1/status"
    said = bench.said("sh", "-c", script, Init=True, CapAdd=["ALL"], fields={"User": "7:8"})
    assert {line.split()[1] for line in said.splitlines()} == {"0" * 16}


def test_it_has_the_container_s_filter_and_no_host_s_descriptor(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", Init=True)
    pid = bench.state(identity)["Pid"]
    with open(f"/proc/{pid}/status") as file:
        assert "Seccomp:\t2" in file.read()
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"]
    assert not [target for fd in "012" if (target := os.readlink(f"/proc/{pid}/fd/{fd}")).startswith("socket:")]


def test_its_root_is_the_container_s(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", Init=True)
    pid = bench.state(identity)["Pid"]
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        child = int(file.read())
    for what in ("root", "cwd", *(f"ns/{name}" for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"))):
        ours, its = os.stat(f"/proc/{pid}/{what}"), os.stat(f"/proc/{child}/{what}")
        assert (ours.st_dev, ours.st_ino) == (its.st_dev, its.st_ino)
