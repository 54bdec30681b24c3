"""What runs inside the machine with Linux 6.1: the layers of a user namespace are idmapped in a mount namespace."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benches import Bench, bench_with_subids
from vm.cgroup2_cases import steps
from vm.older_kernel_cases import execute
from wardian.home import Home

FIRST = 300000


@pytest.fixture(scope="module")
def shared_bench(new_home: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench_with_subids(new_home(), tmp_path_factory.mktemp("subids"), f"containers:{FIRST}:200000") as bench:
        yield bench


def test_files_of_a_mapped_container(bench: Bench) -> None:
    script = "cat /proc/self/uid_map; echo x > /new; chown 7:8 /bin/busybox; stat -c %u:%g / /new /bin/busybox"
    identity = bench.start("busybox", "sh", "-c", script, UsernsMode="auto")
    assert bench.finish(identity) == 0, bench.output(identity)
    assert bench.output(identity).split() == ["0", str(FIRST), "65536", "0:0", "0:0", "7:8"]
    upper = Path(bench.home.data_root) / "containers" / identity / "upper"
    assert ((upper / "new").stat().st_uid, (upper / "bin/busybox").stat().st_gid) == (FIRST, FIRST + 8)
    assert [step for step in steps(bench, identity) if "by mount(2), layers over" in step]
    assert bench.said("stat", "-c", "%u", "/bin/busybox").strip() == "0"


def test_its_exec_and_its_network(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", UsernsMode="auto", NetworkMode="bridge")
    said, code = execute(
        bench, identity, "sh", "-c", "id -u; cat /proc/self/uid_map; ls /sys/class/net; cat /proc/self/cgroup"
    )
    assert code == 0 and said.split() == ["0", "0", str(FIRST), "65536", "eth0", "lo", "0::/"]
