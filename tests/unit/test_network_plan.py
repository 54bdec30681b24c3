"""Plans of endpoints against their golden texts; `WARDIAN_GOLDEN=write pytest …/test_network_plan.py` writes them."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from wardian.errors import INVALID, WardianError
from wardian.network import plan
from wardian.network.endpoint_options import IFNAME, SYSCTLS, check_endpoint_options, interface_sysctls
from wardian.network.plan import Ready
from wardian.network.steps import Step, Sysctl
from wardian.network.values import Endpoint, EndpointWant, NetworkConfig, Subnet

GOLDEN = Path(__file__).parent / "golden" / "network"
BOTH = (4, 6)
V4 = Subnet(ipaddress.ip_network("10.1.0.0/24"), ipaddress.ip_address("10.1.0.1"))
V6 = Subnet(ipaddress.ip_network("fd00:1::/64"), ipaddress.ip_address("fd00:1::1"))
FREE = Ready("vethw01234567", "eth0")
JOINED = Ready("vethw01234567", "eth0", "br-0123456789ab")


def config(*subnets: Subnet, options: Mapping[str, str] = {}, **more: Any) -> NetworkConfig:
    identity = "0123456789abcdef" * 4
    made = NetworkConfig(identity, "web", "bridge", "", subnets or (V4,), link="br-0123456789ab", options=options)
    return made._replace(**more)


def endpoint(network: NetworkConfig, **more: Any) -> Endpoint:
    v4, v6 = network.v4, network.v6
    made = Endpoint(
        "fedcba9876543210" * 4,
        "sandbox",
        network,
        EndpointWant(network.id),
        "eth0",
        "02:42:0a:01:00:02",
        ipv4="10.1.0.2" if v4 else "",
        prefix4=24 if v4 else 0,
        gateway4=str(v4.gateway) if v4 else "",
        ipv6="fd00:1::2" if v6 else "",
        prefix6=64 if v6 else 0,
        gateway6=str(v6.gateway) if v6 else "",
    )
    return made._replace(**more)


def asking(network: NetworkConfig, **more: Any) -> Endpoint:
    return endpoint(network, want=EndpointWant(network.id, **more))


INTERNAL = config(V4, driver="macvlan", link="dm-0123456789ab", internal=True)
MACVLAN = config(V4, V6, driver="macvlan", link="eth7")
IPVLAN = config(V4, V6, driver="ipvlan", link="eth7")
CASES: Mapping[str, tuple[Step, ...]] = {
    "default-bridge": plan.bridge_endpoint(endpoint(config()), BOTH, ready=JOINED),
    "bridge-from-pool": plan.bridge_endpoint(endpoint(config(V4, V6)), BOTH, ready=FREE),
    "bridge-familiar": plan.bridge_endpoint(endpoint(config(), familiar=True), BOTH, ready=JOINED),
    "bridge-published-without-icc": plan.bridge_endpoint(
        endpoint(config(options={"com.docker.network.bridge.enable_icc": "false"})), BOTH, hairpin=True, ready=FREE
    ),
    "bridge-renamed-with-mtu": plan.bridge_endpoint(
        endpoint(config(options={"com.docker.network.driver.mtu": "1400"}), interface="web0"), BOTH, ready=FREE
    ),
    "bridge-live": plan.bridge_endpoint(endpoint(config(V4, V6), interface="eth1"), ()),
    "bridge-live-ipv4": plan.bridge_endpoint(endpoint(config(), interface="eth1"), (4,), hairpin=True),
    "bridge-ipv6-alone": plan.bridge_endpoint(endpoint(config(V6)), BOTH, ready=FREE),
    "bridge-internal": plan.bridge_endpoint(endpoint(config(V4, V6, internal=True)), BOTH, ready=FREE),
    "bridge-link-local-and-sysctl": plan.bridge_endpoint(
        asking(
            config(V4, V6),
            link_local=("169.254.7.7", "fe80::77"),
            driver_opts={SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.IFNAME.gc_stale_time=9"},
        ),
        (4,),
        ready=FREE,
    ),
    "gateway-outside-its-subnet": plan.bridge_endpoint(
        endpoint(config(V4, V6), gateway4="10.9.0.1", gateway6="fe80::1"), BOTH, ready=FREE
    ),
    "macvlan": plan.macvlan_endpoint(endpoint(MACVLAN), BOTH, "bridge"),
    "macvlan-router-of-the-parent": plan.macvlan_endpoint(endpoint(MACVLAN, gateway6=""), BOTH, "private"),
    "macvlan-ipv4-internal": plan.macvlan_endpoint(endpoint(INTERNAL), BOTH, "vepa"),
    "ipvlan-l2": plan.ipvlan_endpoint(endpoint(IPVLAN), BOTH, "l2", "bridge"),
    "ipvlan-l3": plan.ipvlan_endpoint(endpoint(IPVLAN), BOTH, "l3", "private"),
    "leaving": plan.leaving_bridge(endpoint(config(), interface="eth1")),
    "leaving-parent": plan.leaving_parent(endpoint(MACVLAN, interface="eth1")),
}


@pytest.mark.parametrize("name", CASES)
def test_plan_is_its_golden_text(name: str) -> None:
    text = "".join(f"{step.kind:8} {step.describe()}\n" for step in CASES[name])
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("WARDIAN_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_the_interface_in_a_sysctl_is_written_in_any_case() -> None:
    """Docker's command line makes the values of `--network name=…,driver-opt=…` lower case."""
    for word in ("IFNAME", "ifname", "IfName"):
        asked = {SYSCTLS: f"net.ipv4.conf.{word}.log_martians=1"}
        assert interface_sysctls(asked, "eth3") == [("ipv4/conf/eth3/log_martians", "1")]


@pytest.mark.parametrize(
    "asked",
    [
        "net.ipv4.conf.eth0.log_martians=1",
        "net.ipv4.conf.IFNAME.log_martians",
        "net.ipv4.conf.IFNAME/../../ip_forward=1",
        "net.ipv4.conf.IFNAME.../x=1",
        "net.ipv4.ip_forward=1",
        "kernel.IFNAME.panic=1",
        "net.ipv4.conf.IFNAME.log_martians=1,IFNAME",
    ],
)
def test_only_sysctls_of_the_interface_are_taken(asked: str) -> None:
    with pytest.raises(WardianError, match="invalid interface sysctl") as refused:
        check_endpoint_options(EndpointWant("", driver_opts={SYSCTLS: asked}))
    assert refused.value.kind == INVALID


@pytest.mark.parametrize("name", ["../x", "a/b", "a b", "sixteen-letters-", "lo", "all", "..", "-x", "a%d"])
def test_only_names_that_a_link_can_have_are_taken(name: str) -> None:
    check_endpoint_options(EndpointWant("", driver_opts={IFNAME: "web0.10"}))
    with pytest.raises(WardianError, match="invalid interface name"):
        check_endpoint_options(EndpointWant("", driver_opts={IFNAME: name}))


def test_a_sysctl_without_ipv6_is_never_turned_on() -> None:
    for name, steps in CASES.items():
        on = [step for step in steps if isinstance(step, Sysctl) and step.name.endswith("disable_ipv6")]
        ipv6 = "fd00" in "".join(step.describe() for step in steps)
        assert [step.value for step in on] in ([["0"]] if ipv6 else [[], ["1"]]), name


def test_links_on_the_host_have_names_that_the_kernel_takes() -> None:
    assert plan.port_name(endpoint(config())) == "vethfedcba98765"
    assert len(plan.port_name(endpoint(config()))) <= 15
