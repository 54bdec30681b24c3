"""resolv.conf, hosts and hostname as a container gets them."""

from pathlib import Path

from wardian.network import hostname_file, hosts_file, merged, read_host_resolv_conf, resolv_conf
from wardian.network.files import NO_SERVER

STUB = "# a comment\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n"


def test_loopback_servers_are_left_out_and_the_rest_is_kept() -> None:
    host = "search a.example b.example\nnameserver 127.0.0.1\nnameserver ::1\nnameserver 192.0.2.53\noptions ndots:2\n"
    assert resolv_conf(host) == "nameserver 192.0.2.53\nsearch a.example b.example\noptions ndots:2\n"


def test_ipv6_servers_need_ipv6_and_a_link_local_one_is_never_reachable() -> None:
    host = "nameserver 2001:db8::53\nnameserver fe80::1%eth0\nnameserver 0.0.0.0\nnameserver 192.0.2.53\nnameserver x\n"
    assert resolv_conf(host) == "nameserver 192.0.2.53\n"
    assert resolv_conf(host, ipv6=True) == "nameserver 2001:db8::53\nnameserver 192.0.2.53\n"


def test_no_server_is_said_and_no_public_one_is_put_in() -> None:
    assert resolv_conf(STUB) == NO_SERVER + "search lan\noptions edns0 trust-ad\n"
    assert NO_SERVER.startswith("#")
    assert resolv_conf("") == NO_SERVER


def test_what_is_given_replaces_its_part() -> None:
    assert resolv_conf(STUB, servers=["127.0.0.1", "9.9.9.9"], search=["."], options=["ndots:1"]) == (
        "nameserver 127.0.0.1\nnameserver 9.9.9.9\noptions ndots:1\n"
    )


def test_the_last_search_list_counts() -> None:
    assert resolv_conf("domain x\nsearch a b\nnameserver 192.0.2.1") == "nameserver 192.0.2.1\nsearch a b\n"


def test_servers_behind_a_stub_are_found(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text(STUB)
    assert read_host_resolv_conf(str(tmp_path)) == STUB
    (tmp_path / "run/systemd/resolve").mkdir(parents=True)
    (tmp_path / "run/systemd/resolve/resolv.conf").write_text("nameserver 192.0.2.7\nsearch lan\n")
    assert resolv_conf(read_host_resolv_conf(str(tmp_path))) == "nameserver 192.0.2.7\nsearch lan\n"


def test_a_real_server_beside_the_stub_wins_and_a_broken_link_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").symlink_to("/nowhere/at/all")
    assert read_host_resolv_conf(str(tmp_path)) == ""
    (tmp_path / "run/NetworkManager").mkdir(parents=True)
    (tmp_path / "run/NetworkManager/no-stub-resolv.conf").write_text("nameserver 192.0.2.8\n")
    assert read_host_resolv_conf(str(tmp_path)) == "nameserver 192.0.2.8\n"


def test_hosts_name_the_container_last() -> None:
    text = hosts_file(["172.17.0.2"], "web", "example.org", [("db", "10.0.0.5")])
    assert text.startswith("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    assert text.endswith("10.0.0.5\tdb\n172.17.0.2\tweb.example.org web\n")
    assert hosts_file([], "web").endswith("ip6-allrouters\n")
    assert hostname_file("web") == "web\n"


def test_with_a_resolver_only_it_is_asked_and_names_with_dots_as_they_stand() -> None:
    host = "nameserver 10.0.0.53\nsearch home.example\noptions edns0\n"
    text = resolv_conf(host, ["9.9.9.9"], resolver=True)
    assert text == "nameserver 127.0.0.11\nsearch home.example\noptions edns0 ndots:0\n"
    assert resolv_conf(host, options=["ndots:2"], resolver=True).endswith("options ndots:2\n")


def test_what_a_container_wrote_into_its_files_outlives_what_we_change_there() -> None:
    before = hosts_file(["10.1.0.2"], "web")
    edited = "# mine\n" + before + "1.2.3.4\tother\n"
    after = hosts_file(["10.1.0.3", "fd00::3"], "web")
    text = merged(edited, before, after)
    assert text == "# mine\n" + hosts_file([], "web") + "1.2.3.4\tother\n10.1.0.3\tweb\nfd00::3\tweb\n"
    assert merged("", before, after) == "10.1.0.3\tweb\nfd00::3\tweb\n", "what the container deleted stays away"
