"""What is done about other people's chains, from what nft lists."""

from typing import Any

import pytest

from wardian.network.firewall.former import Dropping, dropping_chains, foreign_handles, foreign_rules, marker


def chain(family: str, table: str, name: str, policy: str, hook: str = "forward") -> dict[str, Any]:
    return {"chain": {"family": family, "table": table, "name": name, "hook": hook, "policy": policy}}


def test_only_ipv4_forward_chains_that_drop_concern_us() -> None:
    listed = [
        chain("ip", "filter", "FORWARD", "drop"),
        chain("ip6", "filter", "FORWARD", "drop"),
        chain("ip", "filter", "INPUT", "drop", hook="input"),
        chain("inet", "mine", "fwd", "drop"),
        chain("inet", "other", "fwd", "accept"),
        {"chain": {"family": "ip", "table": "filter", "name": "DOCKER-USER"}},
    ]
    assert dropping_chains(listed) == [Dropping("ip", "filter", "FORWARD"), Dropping("inet", "mine", "fwd")]
    assert [one.mendable for one in dropping_chains(listed)] == [True, False]


def rule(handle: int, *expressions: dict[str, Any], comment: str = "") -> dict[str, Any]:
    body: dict[str, Any] = {"handle": handle, "expr": list(expressions)}
    return {"rule": body | ({"comment": comment} if comment else {})}


COUNTER = {"counter": {"packets": 0, "bytes": 0}}


def test_our_rules_are_known_by_their_mark() -> None:
    rules = [rule(3, COUNTER), rule(7, COUNTER, comment=marker("wt0")), rule(9, COUNTER, comment=marker("wt1"))]
    assert foreign_handles(rules, "wt0") == [7]


@pytest.mark.parametrize(
    ("last", "where"),
    [
        ([], "add rule ip filter FORWARD iifname"),
        ([rule(4, COUNTER, {"jump": {"target": "DOCKER-FORWARD"}})], "add rule ip filter FORWARD iifname"),
        ([rule(4, COUNTER, {"drop": None})], "insert rule ip filter FORWARD handle 4 iifname"),
        ([rule(4, {"match": {}}, {"drop": None})], "add rule ip filter FORWARD iifname"),
    ],
)
def test_the_rules_go_to_the_end_but_before_what_stops_all(last: list[dict[str, Any]], where: str) -> None:
    text = foreign_rules(last, "wt0")
    assert text.startswith(where)
    assert text.count("accept") == 2
    assert 'oifname "wt0"' in text
