"""Prometheus' text format, histograms of what operations take, and where metrics may be served."""

import pytest

from wardian.engine import Family, Sample
from wardian.engine.observe.metrics import process_families
from wardian.errors import WardianError
from wardian.server.metrics import BUCKETS, Times, render
from wardian.server.metrics_listener import read_address
from wardian.server.routes import Route

PS = Route("GET", "/containers/json", "containers:index", "read")


def test_text() -> None:
    told = render(
        [
            Family("a_total", "counter", "Things.", [Sample(3, {"name": 'x"y\\z\n'}), Sample(1.5)]),
            Family("b", "gauge", "None of these.", []),
        ]
    )
    assert told == (
        '# HELP a_total Things.\n# TYPE a_total counter\na_total{name="x\\"y\\\\z\\n"} 3\na_total 1.5\n'
        "# HELP b None of these.\n# TYPE b gauge\n"
    )


def test_histogram() -> None:
    times = Times()
    for seconds, status in ((0.0005, 200), (0.001, 200), (0.03, 404), (60.0, 500)):
        times.add(PS, seconds, status)
    lines = render(times.families()).splitlines()
    labels = 'method="GET",operation="/containers/json"'
    assert f'wardian_api_request_seconds_bucket{{{labels},le="0.001"}} 2' in lines
    assert f'wardian_api_request_seconds_bucket{{{labels},le="0.05"}} 3' in lines
    assert f'wardian_api_request_seconds_bucket{{{labels},le="10"}} 3' in lines
    assert f'wardian_api_request_seconds_bucket{{{labels},le="+Inf"}} 4' in lines
    assert f"wardian_api_request_seconds_count{{{labels}}} 4" in lines
    assert f"wardian_api_request_seconds_sum{{{labels}}} 60.0315" in lines
    assert sum("_bucket" in line for line in lines) == len(BUCKETS) + 1
    assert 'wardian_api_requests_total{method="GET",code="200"} 2' in lines


def test_this_process() -> None:
    found = {family.name: family.samples[0].value for family in process_families()}
    assert found["process_resident_memory_bytes"] > 1 << 20
    assert found["process_open_fds"] >= 3 and found["process_start_time_seconds"] > 1e9


def test_addresses() -> None:
    assert read_address("") is None
    assert read_address("127.0.0.1:9323") == ("127.0.0.1", 9323)
    assert read_address("[::1]:9323") == ("::1", 9323)
    assert read_address("localhost:9323") == ("localhost", 9323)
    for text in ("0.0.0.0:9323", "192.168.1.1:9323", "host.example:9323", "[::]:1"):
        with pytest.raises(WardianError, match="loopback address only"):
            read_address(text)
    for text in ("9323", ":9323", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999"):
        with pytest.raises(WardianError, match="invalid address"):
            read_address(text)
