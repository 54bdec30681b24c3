"""Accounts of control groups of both versions, from texts that kernels wrote, to Docker's JSON and beyond it."""

import pytest

from wardian.cli.stats import blocks, cpu_percent, memory_without_cache, traffic
from wardian.engine.observe.stats_body import Sample, body
from wardian.kernel.group_stats import Block, Stall, parse_v1, parse_v2
from wardian.kernel.host_stats import Traffic, parse_processors, parse_traffic

V1 = {
    "cpuacct.usage": "1068023278\n",
    "cpuacct.usage_percpu": "470189819 597833459 \n",
    "cpuacct.stat": "user 100\nsystem 6\n",
    "cpu.stat": "nr_periods 21\nnr_throttled 20\nthrottled_time 843421636\nnr_bursts 0\nburst_time 0\n",
    "memory.usage_in_bytes": "21745664\n",
    "memory.max_usage_in_bytes": "23044096\n",
    "memory.limit_in_bytes": "67108864\n",
    "memory.failcnt": "0\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "memory.stat": "cache 0\nrss 0\nhierarchical_memory_limit 67108864\nhierarchical_memsw_limit 134217728\n"
    "total_cache 20975616\ntotal_rss 61440\ntotal_shmem 4096\ntotal_swap 8192\ntotal_inactive_file 20971520\n",
    "blkio.throttle.io_service_bytes_recursive": "254:0 Read 4096\n254:0 Write 73728\n254:0 Total 77824\nTotal 77824\n",
    "blkio.throttle.io_serviced_recursive": "254:0 Read 1\n254:0 Write 19\n254:0 Total 20\nTotal 20\n",
    "pids.current": "3\n",
    "pids.max": "50\n",
    "cpu.pressure": "some avg10=4.89 avg60=0.88 avg300=0.18 total=558163\n"
    "full avg10=4.80 avg60=0.87 avg300=0.17 total=9\n",
}
V2 = {
    "cpu.stat": "usage_usec 1068023\nuser_usec 1000000\nsystem_usec 68023\nnice_usec 0\ncore_sched.force_idle_usec 0\n"
    "nr_periods 21\nnr_throttled 20\nthrottled_usec 843421\nnr_bursts 0\nburst_usec 0\n",
    "memory.current": "21745664\n",
    "memory.peak": "23044096\n",
    "memory.max": "max\n",
    "memory.swap.current": "8192\n",
    "memory.events": "low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 0\n",
    "memory.stat": "anon 61440\nfile 20975616\nkernel 708608\nkernel_stack 16384\nsock 0\nshmem 4096\nfile_mapped 0\n"
    "inactive_anon 57344\nactive_anon 4096\ninactive_file 20971520\nactive_file 4096\nunevictable 0\nslab 512\n"
    "workingset_refault_anon 3\nworkingset_refault_file 4\npgfault 1730\n",
    "io.stat": "254:0 rbytes=4096 wbytes=73728 rios=1 wios=19 dbytes=0 dios=0\n7:1 \n",
    "pids.current": "3\n",
    "pids.max": "max\n",
    "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
}
HOST = 25276502016


def test_version_1() -> None:
    found = parse_v1(V1)
    assert found.cpu == (1068023278, 1_000_000_000, 60_000_000, (470189819, 597833459), 21, 20, 843421636)
    assert found.bytes == (Block(254, 0, "Read", 4096), Block(254, 0, "Write", 73728), Block(254, 0, "Total", 77824))
    assert (found.pids, found.pids_limit) == (3, 50)
    memory = found.memory
    assert (memory.usage, memory.cache, memory.shared, memory.anonymous) == (21745664, 20971520, 4096, 61440)
    assert (memory.limit, memory.peak, memory.oom_kills, memory.swap) == (67108864, 23044096, 2, 8192)
    assert found.pressure == {"cpu": {"some": Stall(4.89, 0.88, 0.18, 558163), "full": Stall(4.8, 0.87, 0.17, 9)}}


def test_version_2() -> None:
    found = parse_v2(V2)
    assert found.cpu == (1068023000, 1_000_000_000, 68_023_000, (), 21, 20, 843421000)
    assert found.bytes == (
        Block(254, 0, "read", 4096),
        Block(254, 0, "write", 73728),
        Block(7, 1, "read", 0),
        Block(7, 1, "write", 0),
    )
    assert (found.pids, found.pids_limit) == (3, 0)
    memory = found.memory
    assert (memory.usage, memory.cache, memory.kernel, memory.limit) == (21745664, 20971520, 708608, 0)
    assert (memory.failures, memory.oom_kills, memory.swap) == (1, 2, 8192)
    assert list(found.pressure) == ["io"]


@pytest.mark.parametrize("parse", [parse_v1, parse_v2])
def test_a_group_that_is_gone(parse: object) -> None:
    assert parse({}).memory.usage == 0  # type: ignore[operator]
    assert parse({}).pressure == {}  # type: ignore[operator]


def test_no_limit_on_version_1() -> None:
    assert parse_v1({"memory.limit_in_bytes": "9223372036854771712\n"}).memory.limit == 0


def test_host() -> None:
    text = "cpu  10 1 20 300 5 0 2 9 0 0\ncpu0 5 1 10 150 2 0 1 4 0 0\ncpu1 5 0 10 150 3 0 1 5 0 0\nintr 60 0\n"
    assert parse_processors(text) == (338 * 10_000_000, 2)
    traffic = (
        "Inter-|   Receive                            |  Transmit\n face |bytes    packets errs drop ...\n"
        "    lo: 53 1 0 0 0 0 0 0 53 1 0 0 0 0 0 0\n"
        "  eth0: 646 5 1 2 0 0 0 0 84 2 3 4 0 0 0 0\n"
    )
    assert parse_traffic(traffic) == {"eth0": Traffic(646, 5, 1, 2, 84, 2, 3, 4)}


def sample(version: int, read: int = 1_000_000_000, network: bool = True) -> Sample:
    group = parse_v1(V1) if version == 1 else parse_v2(V2)
    return Sample(
        read, group, 54874150000000, 2, HOST, {"eth0": Traffic(646, 5, 0, 0, 84, 2, 0, 0)} if network else None
    )


def test_body_of_version_1() -> None:
    found = body("a" * 64, "web", sample(1, 2_000_000_000), sample(1))
    assert (found["name"], found["id"], found["os_type"], found["num_procs"]) == ("/web", "a" * 64, "linux", 0)
    assert (found["read"], found["preread"]) == ("1970-01-01T00:00:02Z", "1970-01-01T00:00:01Z")
    assert found["pids_stats"] == {"current": 3, "limit": 50}
    assert found["cpu_stats"] == found["precpu_stats"]
    assert found["cpu_stats"]["cpu_usage"]["percpu_usage"] == (470189819, 597833459)
    assert found["blkio_stats"]["io_serviced_recursive"][1] == {"major": 254, "minor": 0, "op": "Write", "value": 19}
    assert found["blkio_stats"]["sectors_recursive"] == []
    assert found["memory_stats"]["stats"]["total_inactive_file"] == 20971520
    assert "failcnt" not in found["memory_stats"]
    assert found["networks"] == {
        "eth0": {
            "rx_bytes": 646,
            "rx_packets": 5,
            "rx_errors": 0,
            "rx_dropped": 0,
            "tx_bytes": 84,
            "tx_packets": 2,
            "tx_errors": 0,
            "tx_dropped": 0,
        }
    }
    own = found["Wardian"]
    assert (own["Memory"]["Used"], own["Memory"]["PageCache"]) == (21745664 - 20971520, 20971520)
    assert own["Throttling"] == {"Periods": 21, "ThrottledPeriods": 20, "ThrottledNanoseconds": 843421636}
    assert own["Pressure"]["cpu"]["some"]["Avg10"] == 4.89


def test_body_of_version_2() -> None:
    found = body("a" * 64, "web", sample(2, network=False), None)
    assert "networks" not in found
    assert found["preread"] == "0001-01-01T00:00:00Z"
    assert found["pids_stats"] == {"current": 3}
    assert "percpu_usage" not in found["cpu_stats"]["cpu_usage"]
    assert found["blkio_stats"]["io_serviced_recursive"] is None
    memory = found["memory_stats"]
    assert (memory["limit"], memory["failcnt"], memory["stats"]["workingset_refault"]) == (HOST, 1, 7)
    assert "max_usage" not in memory


def test_body_of_one_that_does_not_run() -> None:
    """As Docker 28 answers."""
    found = body("a" * 64, "web", None, None)
    assert found["read"] == found["preread"] == "0001-01-01T00:00:00Z"
    assert (found["pids_stats"], found["memory_stats"]) == ({}, {})
    assert set(found["blkio_stats"].values()) == {None}
    nothing = {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}
    none = {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
    assert found["cpu_stats"] == found["precpu_stats"] == {"cpu_usage": nothing, "throttling_data": none}


def test_what_the_table_computes() -> None:
    before = {"cpu_usage": {"total_usage": 1000}, "system_cpu_usage": 10_000, "online_cpus": 4}
    now = {"cpu_usage": {"total_usage": 2000}, "system_cpu_usage": 14_000, "online_cpus": 4}
    assert cpu_percent(before, now) == 100.0
    assert cpu_percent(now, before) == 0.0
    assert cpu_percent({}, {"cpu_usage": {"total_usage": 5, "percpu_usage": [2, 3]}, "system_cpu_usage": 10}) == 100.0
    assert memory_without_cache({"usage": 100, "stats": {"total_inactive_file": 30, "inactive_file": 5}}) == 70
    assert memory_without_cache({"usage": 100, "stats": {"inactive_file": 5}}) == 95
    assert memory_without_cache({"usage": 100, "stats": {"inactive_file": 500}}) == 100
    assert memory_without_cache({}) == 0
    assert traffic({"a": {"rx_bytes": 1, "tx_bytes": 2}, "b": {"rx_bytes": 3, "tx_bytes": 4}}) == (4, 6)
    rows = [
        {"op": "Read", "value": 1},
        {"op": "write", "value": 2},
        {"op": "", "value": 9},
        {"op": "Total", "value": 3},
    ]
    assert blocks({"io_service_bytes_recursive": rows}) == (1, 2)
    assert blocks({"io_service_bytes_recursive": None}) == (0, 0)
