"""The frames that say whose an address is, octet by octet: RFC 826, RFC 4861 (7.2.6, 4.4), RFC 1071."""

import struct

from wardian.kernel.neighbours import announcement

MAC = "02:42:0a:01:00:02"


def test_a_gratuitous_arp_asks_all_for_its_own_address() -> None:
    assert announcement(MAC, "10.1.0.2").hex() == (
        "ffffffffffff" + "02420a010002" + "0806"
        "0001" + "0800" + "06" + "04" + "0001"
        "02420a010002" + "0a010002"
        "000000000000" + "0a010002"
    )  # fmt: skip


def test_a_neighbour_advertisement_overrides_what_all_nodes_knew() -> None:
    frame = announcement(MAC, "fd00:1::2")
    address, all_nodes = bytes.fromhex("fd00" + "0001" + "00" * 11 + "02"), bytes.fromhex("ff02" + "00" * 13 + "01")
    ethernet, header, said = frame[:14], frame[14:54], frame[54:]
    assert ethernet.hex() == "333300000001" + "02420a010002" + "86dd"
    assert header == bytes.fromhex("60000000" + "0020" + "3a" + "ff") + address + all_nodes
    assert said[:2].hex() == "8800" and said[4:8].hex() == "20000000"
    assert said[8:] == address + bytes.fromhex("0201" + "02420a010002")
    words = struct.unpack("!36H", address + all_nodes + struct.pack("!II", len(said), 58) + said)
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF, "the sum with the checksum is all ones"
