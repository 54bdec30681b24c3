"""CVE-2022-0185 and its like: a hole in the kernel that only a capability over a user namespace reaches. A container,
in a user namespace of its own or not, makes none and configures no file system, unless it was given that."""

import pytest

from benches import Bench
from security.test_userns_data_root import shared_bench  # noqa: F401

MODES = [{}, {"UsernsMode": "host"}]


@pytest.mark.parametrize("mode", MODES, ids=["mapped", "host"])
def test_no_further_user_namespace(bench: Bench, mode: dict[str, str]) -> None:
    said = bench.said("sh", "-c", "unshare -U true && echo made; unshare -n true && echo made; echo ended", **mode)
    assert "ended" in said and "made" not in said


@pytest.mark.parametrize("mode", MODES, ids=["mapped", "host"])
def test_no_mount(bench: Bench, mode: dict[str, str]) -> None:
    script = (
        "mkdir /m; for t in tmpfs proc sysfs cgroup overlay; do mount -t $t none /m && echo made $t; done; echo ended"
    )
    said = bench.said("sh", "-c", script, **mode)
    assert "ended" in said and "made" not in said


def test_its_root_has_only_docker_s_capabilities(bench: Bench) -> None:
    def effective(**host: str) -> str:
        said = bench.said("grep", "CapEff", "/proc/self/status", **host)
        return said.split()[1]

    assert effective() == effective(UsernsMode="host") == "00000000a80425fb"


def test_with_all_of_them_the_host_is_out_of_reach(bench: Bench) -> None:
    script = (  # opened for writing, and nothing is written: where it could be, this host would suffer
        "(: >> /proc/sys/kernel/core_pattern) && echo wrote; (: >> /proc/sysrq-trigger) && echo wrote;"
        "mknod /dev/sda b 8 0 && echo node; dmesg > /dev/null && echo log; echo ended"
    )
    options = {"CapAdd": ["ALL"], "SecurityOpt": ["seccomp=unconfined", "systempaths=unconfined"]}
    said = bench.said("sh", "-c", script, **options)
    assert "ended" in said and not {"wrote", "node", "log"} & set(said.split()), said
