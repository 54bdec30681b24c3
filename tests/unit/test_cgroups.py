"""OCI resources as files of control groups, and records of exits that an earlier Wardian wrote."""

import json

import pytest

from wardian.kernel.cgroups import Setting, device_program, v1_settings
from wardian.runtime.exitrecord import lost_exit, parse_exit


@pytest.mark.parametrize(
    ("resources", "want"),
    [
        ({"memory": {"swappiness": 0}}, [Setting("memory.swappiness", "0")]),
        ({"memory": {"swappiness": None, "limit": 0, "disableOOMKiller": False}}, []),
        ({"memory": {"limit": 1024, "disableOOMKiller": True}},
         [Setting("memory.limit_in_bytes", "1024"), Setting("memory.oom_control", "1")]),
    ],
)  # fmt: skip
def test_a_zero_is_a_value_where_it_means_one(resources: dict[str, dict[str, int]], want: list[Setting]) -> None:
    assert v1_settings(resources, frozenset({"memory"})) == want


def test_an_unbuffered_device_is_a_character_device() -> None:
    rules = [{"allow": False}, {"allow": True, "type": "c", "major": 1, "minor": 3}]
    assert device_program([rules[0], {**rules[1], "type": "u"}]) == device_program(rules)


def test_a_record_without_a_later_field_is_read() -> None:
    fields = lost_exit()._asdict()
    del fields["log_lost"]
    assert parse_exit(json.dumps(fields).encode()).log_lost == 0
