"""The firewall beside others on a host of its own: chains that drop, flushes, a Docker's own rules, what is exposed."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import needs
from own_host import ip, nft, own_host
from wardian.errors import WardianError
from wardian.kernel import netns
from wardian.kernel.nftables import LibraryNftables
from wardian.network.firewall import BACKENDS, Firewall, Watch, open_firewall
from wardian.network.firewall.chains import MADE
from wardian.network.values import NetworkRules, PortRule, PortWant

BRIDGE = "wtfa0"
MARK = f'comment "wardian: {BRIDGE}"'
ONE = NetworkRules(BRIDGE, ("172.30.1.0/24", "fd30:1::/64"))
PORT = PortRule("tcp", "0.0.0.0", 8080, "172.30.1.2", 80, BRIDGE)
WANT = PortWant(80, "tcp", "", 8080, 8080)

# What Docker 28 leaves behind its jumps for a bridge docker0, as iptables-restore takes it.
DOCKER = """*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-USER -s 203.0.113.0/24 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 5000 -j DNAT --to-destination 172.17.0.2:80
COMMIT
"""
UFW = """
table ip filter {
    chain ufw-before-forward { ct state established accept
    }
    chain ufw-reject-forward { counter reject
    }
    chain ufw-track-forward {
    }
    chain ufw-user-input { tcp dport 22 accept
    }
    chain INPUT {
        type filter hook input priority filter; policy drop;
        counter jump ufw-user-input
    }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        counter jump ufw-before-forward
        counter jump ufw-reject-forward
        counter jump ufw-track-forward
    }
}
"""
FIREWALLD = """
table inet firewalld {
    chain filter_INPUT {
        type filter hook input priority filter + 10; policy accept;
        ct state established accept
        reject with icmpx admin-prohibited
    }
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state established accept
        ct status dnat accept
        reject with icmpx admin-prohibited
    }
}
"""


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    with own_host():
        yield


@pytest.fixture
def opened(host: None) -> Iterator[Callable[..., Firewall]]:
    made: list[Firewall] = []

    def opening(backend: str = "nftables", respect: bool = False) -> Firewall:
        if backend == "iptables":
            needs.program("iptables-restore")
        made.append(open_firewall(BRIDGE, backend, respect))
        made[-1].apply([ONE], [PORT])
        return made[-1]

    yield opening
    for one in made:
        one.close()


def iptables(*arguments: str, text: str = "") -> str:
    program = needs.program(arguments[0])
    return subprocess.run(
        [program, *arguments[1:]], input=text, capture_output=True, text=True, check=True, timeout=20
    ).stdout


def saved(program: str = "iptables-save") -> list[str]:
    """The rules, in their order."""
    return [line for line in iptables(program).splitlines() if line.startswith("-A") and MADE not in line]


def until(met: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


# ---- chains of others that drop ----


@pytest.mark.parametrize(("program", "family"), [("iptables", "ip"), ("ip6tables", "ip6")])
def test_one_rule_at_the_end_of_a_forward_that_drops(
    opened: Callable[..., Firewall], program: str, family: str
) -> None:
    iptables(f"{program}-restore", text="*filter\n:FORWARD DROP [0:0]\n:MINE - [0:0]\n-A FORWARD -j MINE\nCOMMIT\n")
    before = nft("list", "chain", family, "filter", "FORWARD")
    first, second = opened(), opened()  # the next engine finds it there
    chain = nft("list", "chain", family, "filter", "FORWARD")
    assert chain.count(MARK) == 1
    assert chain.index("MINE") < chain.index(MARK)
    (said,) = second.warnings
    assert f"{family} filter FORWARD" in said
    assert f"wardian: {BRIDGE}" in said
    assert iptables(program, "-S", "FORWARD").count("ACCEPT") == 1, "iptables can still read its table"
    first.remove()
    assert nft("list", "chain", family, "filter", "FORWARD") == before


@pytest.mark.parametrize(
    ("rules", "chain", "before"),
    [
        (UFW, "ip filter FORWARD", "jump ufw-reject-forward"),
        (FIREWALLD, "inet firewalld filter_FORWARD", "reject with"),
    ],
    ids=["ufw", "firewalld"],
)
def test_the_rule_stands_before_what_stops_all_the_rest(
    opened: Callable[..., Firewall], rules: str, chain: str, before: str
) -> None:
    nft(commands=rules)
    untouched = nft("list", "ruleset")
    firewall = opened()
    listed = nft("list", "chain", *chain.split())
    assert listed.index(MARK) < listed.index(before)
    assert listed.index("established") < listed.index(MARK) if "established" in listed else True
    assert any(chain in one for one in firewall.warnings)
    firewall.remove()
    assert nft("list", "ruleset") == untouched


def test_an_engine_that_is_killed_at_any_step_leaves_nothing_that_the_next_one_does_not_take(
    opened: Callable[..., Firewall], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever backend the next one has. Killed: what was to be done from one command on is not done."""
    for program in ("iptables", "ip6tables"):
        iptables(f"{program}-restore", text="*filter\n:FORWARD DROP [0:0]\nCOMMIT\n")
    nft(commands=FIREWALLD)
    before = nft("list", "ruleset")
    run, left = LibraryNftables.run, [0]

    def until_killed(self: LibraryNftables, commands: str) -> str:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return run(self, commands)

    for backend in BACKENDS:
        for steps in range(6):
            left[0] = steps
            monkeypatch.setattr(LibraryNftables, "run", until_killed)
            with contextlib.suppress(KeyboardInterrupt):
                opened().remove()
            killed = left[0] < 0
            monkeypatch.setattr(LibraryNftables, "run", run)
            following = opened(backend)
            assert nft("list", "ruleset").count(MARK) == (3 if backend == "nftables" else 0), steps
            following.remove()
            assert "wardian" not in nft("list", "ruleset"), (backend, steps)
            if backend == "nftables":
                assert nft("list", "ruleset") == before
        assert not killed, "it was let live to its end at last"


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_put_back_once_all_was_taken_back(opened: Callable[..., Firewall], backend: str) -> None:
    """A start that was under way may ask for it while the engine ends, and a Docker changes rules meanwhile."""
    iptables("iptables-restore", text=DOCKER)
    firewall = opened(backend)
    firewall.remove()
    iptables("iptables-restore", text=DOCKER)
    assert not firewall.mend()
    assert "wardian" not in nft("list", "ruleset").lower()


def test_respect_only_reports_and_takes_back_what_was_there(opened: Callable[..., Firewall]) -> None:
    nft(commands=UFW)
    untouched = nft("list", "chain", "ip", "filter", "FORWARD")
    opened()
    assert MARK in nft("list", "chain", "ip", "filter", "FORWARD")
    firewall = opened(respect=True)
    assert nft("list", "chain", "ip", "filter", "FORWARD") == untouched
    (said,) = firewall.warnings
    assert "--respect-host-firewall" in said
    assert "ip filter FORWARD" in said


def test_a_chain_that_comes_before_ours_is_named(opened: Callable[..., Firewall]) -> None:
    nft(commands="table inet walls { chain early { type filter hook forward priority -200; policy drop; }\n}\n")
    (said,) = opened().warnings
    assert "inet walls early" in said
    assert MARK not in nft("list", "table", "inet", "walls")


def test_the_mark_is_of_what_we_accepted_only(opened: Callable[..., Firewall]) -> None:
    """What our own table drops does not get past another's chain by our rule there: there is one bit for both."""
    iptables("iptables-restore", text=DOCKER)
    opened()
    rule = next(line for line in nft("list", "chain", "ip", "filter", "FORWARD").splitlines() if MARK in line)
    assert "mark" in rule
    assert BRIDGE not in rule.replace(MARK, ""), "by no link's name"


# ---- flushes ----


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("how", ["flush ruleset", "one element", "iptables -F", "delete chain"])
def test_what_somebody_flushed_is_back_within_a_second(opened: Callable[..., Firewall], backend: str, how: str) -> None:
    iptables("iptables-restore", text=DOCKER)
    firewall = opened(backend)
    wanted = state(backend)

    def flush() -> None:
        if how == "flush ruleset":
            nft("flush", "ruleset")
            iptables("iptables-restore", text=DOCKER)
        elif how == "iptables -F":
            iptables("iptables", "-F", "FORWARD")
            iptables("iptables-restore", text=DOCKER)
        elif backend == "nftables":
            what = "element inet wardian-wtfa0 wardian-any4 { tcp . 8080 }" if how == "one element" else ""
            nft("-f", "-", commands=f"delete {what}\n" if what else "flush chain inet wardian-wtfa0 wardian-raw\n")
        elif how == "one element":
            rule = next(one for one in saved() if "--dport 8080" in one and "-A DOCKER" in one)
            iptables("iptables-restore", "--noflush", text=f"*nat\n-D{rule[2:]}\nCOMMIT\n")
        else:
            iptables("iptables", "-t", "raw", "-F")

    async def story() -> None:
        with ThreadPoolExecutor(1) as thread:
            loop = asyncio.get_running_loop()
            watch = Watch(firewall, lambda work: loop.run_in_executor(thread, work))
            watch.start()
            await asyncio.sleep(0.1)
            await asyncio.to_thread(in_this_host(flush))
            begun = time.monotonic()
            while state(backend) != wanted and time.monotonic() < begun + 1:
                await asyncio.sleep(0.02)
            assert state(backend) == wanted
            await asyncio.sleep(0.5)
            assert watch.mended >= 1
            settled = watch.mended
            await asyncio.sleep(0.5)
            assert watch.mended == settled, "what was put back is left alone"
            await watch.stop()

    asyncio.run(story())


def in_this_host(work: Callable[[], None]) -> Callable[[], None]:
    """For another thread, which would be in the machine's namespace or, made later, in this one. To be called once."""
    here = netns.current()

    def inside() -> None:
        try:
            netns.run_inside(here, work)
        finally:
            os.close(here)

    return inside


def state(backend: str) -> list[str]:
    """All that there is of ours."""
    if backend == "iptables":
        return sorted(line for save in ("iptables-save", "ip6tables-save") for line in saved(save) if "wardian" in line)
    own = nft("-s", "list", "table", "inet", "wardian-wtfa0") if "wardian-wtfa0" in nft("list", "tables") else ""
    forward = (
        nft("-s", "list", "chain", "ip", "filter", "FORWARD") if "table ip filter" in nft("list", "tables") else ""
    )
    return [own, forward]


@pytest.mark.parametrize("backend", BACKENDS)
def test_our_own_changes_and_a_dockers_cause_no_work(opened: Callable[..., Firewall], backend: str) -> None:
    iptables("iptables-restore", text=DOCKER)
    firewall = opened(backend)
    worked: list[bool] = []

    async def story() -> None:
        with ThreadPoolExecutor(1) as thread:
            loop = asyncio.get_running_loop()

            async def work(mend: Callable[[], bool]) -> bool:
                worked.append(await loop.run_in_executor(thread, mend))
                return worked[-1]

            watch = Watch(firewall, work)
            watch.start()
            for number in range(20):
                port = PORT._replace(host_port=9000 + number)
                firewall.add_ports([port])
                firewall.remove_ports([port])
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            assert worked == []
            iptables("iptables", "-A", "DOCKER", "-s", "10.9.9.9", "-j", "ACCEPT")
            iptables("iptables", "-D", "DOCKER", "-s", "10.9.9.9", "-j", "ACCEPT")
            await asyncio.sleep(0.6)
            assert not any(worked), "looked at, and nothing to put back"
            await watch.stop()

    asyncio.run(story())


def test_a_thousand_ports_cost_as_one(opened: Callable[..., Firewall]) -> None:
    firewall = opened()

    def once(number: int) -> float:
        port = PORT._replace(host_port=number)
        begun = time.perf_counter()
        firewall.add_ports([port])
        firewall.remove_ports([port])
        return time.perf_counter() - begun

    alone = sorted(once(20000 + number) for number in range(50))[25]
    firewall.add_ports([PORT._replace(host_port=30000 + number) for number in range(1000)])
    among_many = sorted(once(20000 + number) for number in range(50))[25]
    assert among_many < alone * 3 + 0.001
    assert firewall.mend() is False
    rules = nft("-s", "list", "chain", "inet", "wardian-wtfa0", "wardian-publish")
    assert rules.count("dnat") == 4


# ---- a Docker beside us, by iptables ----


def test_dockers_rules_stay_as_they_are(opened: Callable[..., Firewall]) -> None:
    iptables("iptables-restore", text=DOCKER)
    before, chains = saved(), [line for line in iptables("iptables-save").splitlines() if line.startswith(":DOCKER")]
    firewall = opened("iptables")
    assert [line for line in saved() if "wardian" not in line] == before
    assert [line for line in saved() if "-A DOCKER-USER" in line] == ["-A DOCKER-USER -s 203.0.113.0/24 -j DROP"]
    firewall.remove()
    assert saved() == before
    assert [line for line in iptables("iptables-save").splitlines() if line.startswith(":DOCKER")] == chains


def test_a_docker_that_comes_later_finds_its_chains_and_keeps_them(opened: Callable[..., Firewall]) -> None:
    firewall = opened("iptables")
    iptables("iptables", "-A", "DOCKER-USER", "-s", "203.0.113.0/24", "-j", "DROP")
    iptables("iptables", "-I", "FORWARD", "-j", "DOCKER-FORWARD")
    iptables("iptables", "-A", "DOCKER-FORWARD", "-i", "docker0", "-j", "ACCEPT")
    firewall.remove()
    assert [line for line in saved() if "-t" not in line] == [
        "-A FORWARD -j DOCKER-FORWARD",
        "-A DOCKER-FORWARD -i docker0 -j ACCEPT",
        "-A DOCKER-USER -s 203.0.113.0/24 -j DROP",
    ]


def test_iptables_lists_the_published_port(opened: Callable[..., Firewall]) -> None:
    firewall = opened("iptables")
    listed = iptables("iptables", "-t", "nat", "-L", "-n")
    assert "tcp dpt:8080" in listed
    assert "to:172.30.1.2:80" in listed
    assert "DOCKER" in firewall.describe(PORT)


def test_an_engine_that_changes_its_backend_leaves_nothing_of_the_other(opened: Callable[..., Firewall]) -> None:
    opened("nftables")
    opened("iptables")
    assert "inet wardian" not in nft("list", "tables")
    opened("nftables")
    assert not [line for line in saved() if "wardian" in line.lower()]


def test_two_engines_keep_apart_in_the_same_chains(opened: Callable[..., Firewall]) -> None:
    mine = opened("iptables")
    other = open_firewall("wtfz0", "iptables")
    try:
        other.apply([NetworkRules("wtfz0", ("172.30.9.0/24",))], [])
        mine.remove()
        left = saved()
        assert left
        assert all("wardian: wtfz0" in line for line in left)
        other.remove()
        assert saved() == []
    finally:
        other.close()


# ---- what is exposed ----


@pytest.mark.parametrize(("rules", "name"), [(UFW, "ufw"), (FIREWALLD, "firewalld")])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_exposed_despite_the_hosts_firewall_is_said(
    opened: Callable[..., Firewall], rules: str, name: str, backend: str
) -> None:
    nft(commands=rules)
    firewall = opened(backend)
    (said,) = firewall.exposures([WANT])
    assert "8080/tcp" in said
    assert name in said
    assert "127.0.0.1" in said
    assert firewall.exposures([WANT._replace(host_ip="127.0.0.1")]) == []


def test_with_respect_the_hosts_firewall_decides(opened: Callable[..., Firewall]) -> None:
    nft(commands=UFW)
    (said,) = opened(respect=True).exposures([WANT])
    assert "ufw route allow proto tcp to any port 80" in said


def test_without_another_firewall_nothing_is_said(opened: Callable[..., Firewall]) -> None:
    firewall = opened()
    assert firewall.exposures([WANT]) == []
    assert firewall.warnings == []
    ip("link")


@pytest.mark.parametrize("family", ["0.0.0.0", "::"])
def test_a_port_that_another_has_is_refused_and_nothing_changes(opened: Callable[..., Firewall], family: str) -> None:
    firewall = opened()
    taken = PORT._replace(host_ip=family, host_port=9000, address="fd30:1::2" if family == "::" else "172.30.1.2")
    firewall.add_ports([taken])
    before = state("nftables")
    with pytest.raises(WardianError, match="exists"):
        firewall.add_ports([taken._replace(host_port=9001), taken._replace(port=81)])
    assert state("nftables") == before
    assert firewall.mend() is False
    firewall.remove_ports([taken])
    assert "9000" not in "".join(state("nftables"))


def test_many_ports_at_once(opened: Callable[..., Firewall]) -> None:
    firewall = opened()
    before = state("nftables")
    ports = [PORT._replace(host_port=10000 + number) for number in range(5000)]
    firewall.add_ports(ports)
    assert nft("list", "map", "inet", "wardian-wtfa0", "wardian-any4").count("tcp . ") == 5001
    firewall.remove_ports(ports)
    assert state("nftables") == before


def test_a_drop_that_is_added_later_finds_our_rule_before_it(opened: Callable[..., Firewall]) -> None:
    nft(commands="table inet theirs { chain way { type filter hook forward priority 0; policy accept; }\n}\n")
    firewall = opened()
    assert firewall.warnings == []
    nft("add", "rule", "inet", "theirs", "way", "counter", "drop")
    assert firewall.mend() is True
    listed = nft("list", "chain", "inet", "theirs", "way")
    assert listed.index(MARK) < listed.index("drop")
    assert firewall.warnings
    nft(commands="table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }\n}\n")
    assert firewall.mend() is True
    assert MARK in nft("list", "chain", "ip", "filter", "FORWARD")
    assert firewall.mend() is False


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_flushes_again_and_again_while_ports_come_and_go(opened: Callable[..., Firewall], backend: str) -> None:
    iptables("iptables-restore", text=DOCKER)
    firewall = opened(backend)
    wanted = state(backend)

    def flush() -> None:
        for number in range(25):
            if number % 3 == 0:
                nft("flush", "ruleset")
            if number % 3 == 1:
                iptables("iptables", "-t", "nat", "-F")
            time.sleep(0.02 + number % 5 * 0.01)
        nft("flush", "ruleset")
        iptables("iptables-restore", text=DOCKER)

    async def story() -> None:
        with ThreadPoolExecutor(1) as thread:
            loop = asyncio.get_running_loop()
            watch = Watch(firewall, lambda work: loop.run_in_executor(thread, work))
            watch.start()
            flushing = asyncio.create_task(asyncio.to_thread(in_this_host(flush)))
            number = 0
            while not flushing.done():
                number += 1
                port = PORT._replace(host_port=9000 + number % 50)
                await loop.run_in_executor(thread, firewall.add_ports, [port])
                await asyncio.sleep(0.002)
                await loop.run_in_executor(thread, firewall.remove_ports, [port])
            await flushing
            begun = time.monotonic()
            while state(backend) != wanted and time.monotonic() < begun + 1.5:
                await asyncio.sleep(0.02)
            assert state(backend) == wanted
            await watch.stop()

    asyncio.run(story())
