"""Networks: who is on which, addresses, links, published ports, names, firewall, and the files that name all that.

What others use, all of it named here (the loop's thread only, as the database is):

    networks = Networks(home, database, namespace)      with SCHEMA among the database's schemas; `namespace` opens the
                                                        network namespace of a living sandbox
    await networks.start()                              links, rules, pools, names; idempotent, keeps what lives
    await networks.recover(live)                        sandbox → SandboxWant: what is not in it is given back
    await networks.stop()                               removes links and rules unless somebody lives on them;
                                                        purge=True or False decides that
    networks.info() -> list[str]                        warnings for `GET /info`

    networks.network(mode) -> NetworkConfig             "default" | a name | an id or its beginning; NOT_FOUND otherwise
    networks.list(filters), inspect(ref, attached)      `GET /networks`, `GET /networks/{id}`; attached: sandbox id →
                                                        (container id, name)
    await networks.create(body) -> (network, warning);  await networks.remove(ref, names);  await networks.prune(…)

    attachment = await networks.attach(sandbox, SandboxWant(…))
                                                        the caller owns netns_fd and the sockets of `published`, hands
                                                        them to the launcher and closes them
    await networks.detach(sandbox)                      its last process is gone; no error when it has nothing
    changed = await networks.connect(sandbox, EndpointWant(…), netns_fd, whole)
    changed = await networks.disconnect(sandbox, network_id, netns_fd, whole)
                                                        of a sandbox that lives; whole: all that it asks afterwards
    networks.rename(sandbox, names)
    networks.endpoints(sandbox), published(sandbox)     what it has; survives an engine's restart
    endpoint.settings()                                 its EndpointSettings in the API's shape

    resolv_conf(read_host_resolv_conf(), …), hosts_file(…), hostname_file(…) -> str
    merged(edited, before, after) -> str                a file that the container edited, with our changes

In the container's namespace this package sets what belongs to its links. The namespace-wide sysctls
(`ip_unprivileged_port_start`, `ping_group_range`) are part of the plan, as they are for a container that has no network
of ours.
"""

from wardian.network.config import check_addresses, check_predefined
from wardian.network.endpoint_options import check_endpoint_options
from wardian.network.files import hostname_file, hosts_file, merged, read_host_resolv_conf, resolv_conf
from wardian.network.links import check_links, read_link
from wardian.network.naming import dns_names, has_names
from wardian.network.networks import Networks
from wardian.network.ports import close_ports, parse_bindings
from wardian.network.schema import SCHEMA
from wardian.network.values import (
    Attachment,
    Changed,
    Done,
    Endpoint,
    EndpointWant,
    HeldPort,
    NetworkConfig,
    PortWant,
    SandboxWant,
    is_mac,
    parse_address,
    wanted_settings,
)

__all__ = [
    "SCHEMA",
    "Attachment",
    "Changed",
    "Done",
    "Endpoint",
    "EndpointWant",
    "HeldPort",
    "NetworkConfig",
    "Networks",
    "PortWant",
    "SandboxWant",
    "check_addresses",
    "check_endpoint_options",
    "check_links",
    "check_predefined",
    "close_ports",
    "dns_names",
    "has_names",
    "hostname_file",
    "hosts_file",
    "is_mac",
    "merged",
    "parse_address",
    "parse_bindings",
    "read_host_resolv_conf",
    "read_link",
    "resolv_conf",
    "wanted_settings",
]
