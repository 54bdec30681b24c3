"""DNS messages: questions are read, dnslib reads the answers alike, and hostile packets are refused."""

import ipaddress
import json
import time

import dnslib
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wardian.network.resolver import message
from wardian.network.resolver.upstream import real_servers, socket_address
from wardian.network.resolver.zone import read_names


def _asked(name: str, kind: str = "A", **options: int) -> bytes:
    record = dnslib.DNSRecord.question(name, kind)
    if options:
        record.add_ar(dnslib.EDNS0(udp_len=options.get("payload", 1232), version=options.get("version", 0)))
    return bytes(record.pack())


def _question(packet: bytes) -> message.Question:
    question = message.parse(packet)
    assert isinstance(question, message.Question)
    return question


def _addresses(count: int) -> list[bytes]:
    first = ipaddress.ip_address("10.0.0.1")
    return [message.address_record((first + number).packed) for number in range(count)]


def test_a_question_is_read() -> None:
    question = _question(_asked("Web.Example.ORG", "AAAA"))
    assert question.name == message.wire_name("web.example.org.")
    assert (question.kind, question.space, question.payload) == (message.AAAA, message.INTERNET, 0)


def test_the_answer_keeps_the_askers_letters_and_flags() -> None:
    packet = _asked("wEb")
    told = dnslib.DNSRecord.parse(message.answer(packet, _question(packet), _addresses(2), 512))
    assert str(told.q.qname) == "wEb."
    assert [str(record.rdata) for record in told.rr] == ["10.0.0.1", "10.0.0.2"]
    assert (told.header.id, told.header.qr, told.header.ra, told.header.rd) == (
        dnslib.DNSRecord.parse(packet).header.id,
        1,
        1,
        1,
    )
    assert {record.ttl for record in told.rr} == {message.SECONDS_TO_LIVE}


def test_addresses_of_both_families_and_reverse_names() -> None:
    for address in ("172.18.0.2", "fd00::2"):
        packed = ipaddress.ip_address(address).packed
        kind = "A" if len(packed) == 4 else "AAAA"
        packet = _asked("web", kind)
        told = dnslib.DNSRecord.parse(message.answer(packet, _question(packet), [message.address_record(packed)], 512))
        assert str(ipaddress.ip_address(str(told.rr[0].rdata))) == address
        pointer = ipaddress.ip_address(address).reverse_pointer
        packet = _asked(pointer, "PTR")
        record = message.pointer_record(message.wire_name("web.shop"))
        told = dnslib.DNSRecord.parse(message.answer(packet, _question(packet), [record], 512))
        assert str(told.rr[0].rdata) == "web.shop."


def test_no_record_is_no_error() -> None:
    packet = _asked("web", "AAAA")
    told = dnslib.DNSRecord.parse(message.answer(packet, _question(packet), (), 512))
    assert (told.header.rcode, told.rr) == (0, [])


def test_extension_is_answered_with_ours() -> None:
    packet = _asked("web", payload=4096)
    question = _question(packet)
    assert question.datagram_limit == 4096
    told = dnslib.DNSRecord.parse(message.answer(packet, question, _addresses(1), 4096))
    assert [record.rtype for record in told.ar] == [message.OPT]
    assert _question(_asked("web", payload=100)).datagram_limit == 512
    assert _question(_asked("web", payload=65535)).datagram_limit == 4096


def test_unknown_version_of_the_extension_is_said() -> None:
    packet = _asked("web", version=1)
    told = dnslib.DNSRecord.parse(message.answer(packet, _question(packet), _addresses(1), 512))
    assert told.rr == [] and told.ar[0].ttl >> 24 == 1  # the upper bits of BADVERS, 16


@pytest.mark.parametrize("count", [1, 28, 29, 30, 300, 3000])
def test_what_does_not_fit_is_cut_and_said(count: int) -> None:
    packet = _asked("many")
    for limit in (512, 1232, 65535):
        said = message.answer(packet, _question(packet), _addresses(count), limit)
        told = dnslib.DNSRecord.parse(said)
        assert len(said) <= limit
        assert told.header.tc == (len(told.rr) < count)
        assert len(said) + 16 > limit or len(told.rr) == count


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (b"", message.DROP),
        (b"\0" * 11, message.DROP),
        (b"ab\x81\x80\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", message.DROP),  # an answer: answering it could go on for ever
        (b"ab\x28\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", message.NOTIMP),  # UPDATE
        (b"ab\1\0\0\0\0\0\0\0\0\0", message.FORMERR),
        (b"ab\1\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1", message.FORMERR),
        (b"ab\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0", message.FORMERR),  # ends within the class
        (b"ab\1\0\0\1\0\0\0\0\0\0\5a\0", message.FORMERR),
        (b"ab\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", message.FORMERR),  # a name that points to itself
        (b"ab\1\0\0\1\0\0\0\0\0\0" + b"\x3f" + b"a" * 63 + b"\0\0\1\0\1", None),
        (b"ab\1\0\0\1\0\0\0\0\0\0" + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", message.FORMERR),  # 257 bytes
        (b"ab\1\0\0\1\0\0\0\0\0\1\1a\0\0\1\0\1", message.FORMERR),  # a record that is not there
    ],
)
def test_malformed(packet: bytes, code: int | None) -> None:
    found = message.parse(packet)
    assert (found if isinstance(found, int) else None) == code


_MUTATED = st.builds(
    lambda packet, at, byte, cut: (packet[:at] + bytes([byte]) + packet[at + 1 :])[:cut],
    st.sampled_from([_asked("a.b.c"), _asked("web", payload=1232), _asked("x" * 63 + ".y", "PTR")]),
    st.integers(0, 60),
    st.integers(0, 255),
    st.integers(0, 80),
)


@given(st.binary(max_size=600) | _MUTATED)
@example(b"\0" * 12)
def test_no_packet_raises(packet: bytes) -> None:
    """Whatever comes: dropped, refused in a packet that can be read, or answered in one."""
    found = message.parse(packet)
    if isinstance(found, int):
        if found != message.DROP:
            told = message.refusal(packet, found)
            assert told[:2] == packet[:2] and told[3] & 15 == found and told[2] & 0x80
            assert len(told) <= len(packet)
    else:
        assert packet[12 : 12 + len(found.name)].lower() == found.name
        for limit in (found.datagram_limit, 65535):
            told = message.answer(packet, found, _addresses(40), limit)
            assert len(told) <= limit
            assert message.answers(told, packet)
        assert len(message.refusal(packet, message.SERVFAIL)) >= 12


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_comparing_an_answer_raises_nothing(answer: bytes, name: bytes) -> None:
    message.answers(answer, _asked("web.example.org"))


@given(st.text(max_size=300))
def test_any_text_is_a_name_or_none(text: str) -> None:
    wire = message.wire_name(text)
    if wire:
        packet = b"ab\1\0\0\1\0\0\0\0\0\0" + wire + b"\0\1\0\1"
        assert _question(packet).name == wire


def test_an_answer_is_taken_only_for_its_question() -> None:
    packet = _asked("web.example.org")
    reply = dnslib.DNSRecord.parse(packet).reply().pack()
    assert message.answers(reply, packet)
    assert not message.answers(b"\0\0" + reply[2:], packet) or packet[:2] == b"\0\0"
    other = dnslib.DNSRecord.parse(_asked("evil.example.org")).reply()
    other.header.id = dnslib.DNSRecord.parse(packet).header.id
    assert not message.answers(other.pack(), packet)
    assert not message.answers(packet, packet)


# ---- tables ----

NETWORK = json.dumps(
    {
        "names": {"web": ["172.18.0.2", "fd00::2", "172.18.0.3", "172.18.0.4"], "DB": ["172.18.0.9"], "gone": []},
        "addresses": {"172.18.0.9": "db.shop", "fd00::2": "web.shop"},
        "domain": "shop",
    }
).encode()


def _records(name: str, kind: int) -> list[bytes] | None:
    found = read_names(NETWORK).get(message.wire_name(name))
    return list(found.records(kind)) if found is not None else None


def test_names_of_a_network() -> None:
    assert _records("db", message.A) == _records("DB.shop", message.A) == _addresses_of("172.18.0.9")
    assert _records("web", message.AAAA) == _addresses_of("fd00::2")
    assert _records("db", message.AAAA) == [] == _records("gone", message.A)
    assert len(_records("web", message.ANY) or ()) == 4
    assert _records("9.0.18.172.in-addr.arpa", message.PTR) == [message.pointer_record(message.wire_name("db.shop"))]
    assert _records("fd00::2", message.PTR) is None
    pointer = ipaddress.ip_address("fd00::2").reverse_pointer
    assert _records(pointer.upper(), message.PTR) == [message.pointer_record(message.wire_name("web.shop"))]
    for nobody in ("nobody", "shop", "web.shop.shop", "9.0.18.172", "1.0.18.172.in-addr.arpa", "in-addr.arpa",
                   "x.9.0.18.172.in-addr.arpa", "18.172.in-addr.arpa", "f.ip6.arpa", "z" + pointer[1:], "arpa"):  # fmt: skip  # noqa: E501
        assert _records(nobody, message.A) is None, nobody
    assert read_names(NETWORK).get(b"\x08web.shop\0") is None  # one label with a dot in it


@given(st.binary(max_size=80).map(lambda labels: b"ab\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"))
@example(b"ab\1\0\0\1\0\0\0\0\0\0\4arpa\0\0\1\0\1")
@example(b"ab\1\0\0\1\0\0\0\0\0\0\0\0\1\0\1")
@example(b"ab\1\0\0\1\0\0\0\0\0\0\1\xff\7in-addr\4arpa\0\0\1\0\1")
@example(b"ab\1\0\0\1\0\0\0\0\0\0\2 1\3ip6\4arpa\0\0\1\0\1")
def test_any_name_can_be_looked_up(packet: bytes) -> None:
    question = message.parse(packet)
    if isinstance(question, message.Question):
        assert read_names(NETWORK).get(question.name) is None


def test_many_names_are_read_quickly() -> None:
    """500 containers with four names each: read again after each of them starts, while others ask."""
    names = {f"{kind}{number}": [f"10.0.{number // 250}.{number % 250}"] for number in range(500) for kind in "abcd"}
    text = json.dumps({"names": names, "addresses": {at[0]: f"{name}.shop" for name, at in names.items()}}).encode()
    begin = time.process_time()
    for _ in range(10):
        assert read_names(text).get(message.wire_name("c77"))
    assert time.process_time() - begin < 0.2


def _addresses_of(*texts: str) -> list[bytes]:
    return [message.address_record(ipaddress.ip_address(text).packed) for text in texts]


def test_round_robin_is_even() -> None:
    name = read_names(NETWORK).get(message.wire_name("web"))
    assert name is not None
    firsts = [name.records(message.A)[0] for _ in range(300)]
    assert {firsts.count(record) for record in name.records(message.A)} == {100}


@given(st.binary(max_size=60) | st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)).map(lambda value: json.dumps(value).encode()))  # fmt: skip  # noqa: E501
@example(b'{"names": {"a": 1}}')
@example(b'{"names": {"a": [1]}, "addresses": {"1.2.3.4": 5}}')
@example(b'{"names": [], "addresses": 3}')
def test_any_file_is_read(text: bytes) -> None:
    read_names(text)


# ---- upstream ----


@pytest.mark.parametrize(
    ("host", "behind", "servers"),
    [
        ("nameserver 9.9.9.9\n", "nameserver 10.0.0.1\n", ["9.9.9.9"]),
        ("nameserver 127.0.0.53\noptions edns0\n", "nameserver 10.0.0.1\nnameserver fd00::1", ["10.0.0.1", "fd00::1"]),
        ("nameserver 127.0.0.53\n", "", ["127.0.0.53"]),  # from the host the stub itself can be asked
        ("nameserver 127.0.0.1\n", "nameserver 10.0.0.1\n", ["127.0.0.1"]),  # dnsmasq, unbound
        ("# none\nnameserver\n", "nameserver 10.0.0.1\n", []),
        ("nameserver 1.1.1.1\nnameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4", "",
         ["1.1.1.1", "2.2.2.2", "3.3.3.3"]),
    ],
)  # fmt: skip
def test_the_hosts_real_servers(host: str, behind: str, servers: list[str]) -> None:
    assert list(real_servers(host, behind)) == servers


def test_addresses_of_servers() -> None:
    assert socket_address("127.0.0.1")[1] == ("127.0.0.1", 53)
    assert socket_address("fe80::1%lo")[1] == ("fe80::1", 53, 0, 1)
    for wrong in ("", "example.org", "1.2.3", "fe80::1%nolink", "1.2.3.4:53"):
        with pytest.raises(OSError):
            socket_address(wrong)
