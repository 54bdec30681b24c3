"""A name server of a test's own, on port 53 of an address: it knows a few names, and can keep silent."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import dnslib

ANSWERS = {"example.org.": "198.51.100.7"}
LONG = "long.example.org."  # more than fits into a datagram: truncated by UDP, whole by TCP
FAILS = "fails.example.org."


class Upstream:
    """`asked` are the questions, `packets` as they came, `sources` from where."""

    def __init__(self, address: str, silent: bool = False, tcp: bool = True) -> None:
        self.asked: list[str] = []
        self.packets: list[bytes] = []
        self.sources: list[tuple[str, int]] = []
        self.silent = silent
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._udp = socket.socket(self._family, socket.SOCK_DGRAM)
        self._udp.bind((address, 53))
        self._tcp = socket.create_server((address, 53), family=self._family) if tcp else None
        self._threads = [threading.Thread(target=self._datagrams, name="upstream udp")]
        if tcp:
            self._threads.append(threading.Thread(target=self._streams, name="upstream tcp"))
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        for one in (self._udp, self._tcp):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for one in (self._udp, self._tcp):
            if one is not None:
                one.close()

    def _answer(self, packet: bytes, stream: bool) -> bytes:
        question = dnslib.DNSRecord.parse(packet)
        name = str(question.q.qname).lower()
        self.asked.append(f"{name} {dnslib.QTYPE[question.q.qtype]} {'tcp' if stream else 'udp'}")
        self.packets.append(packet)
        reply = question.reply()
        if name == FAILS:
            reply.header.rcode = dnslib.RCODE.SERVFAIL
        elif name == LONG and not stream:
            reply.header.tc = 1
        elif name == LONG:
            for number in range(200):
                reply.add_answer(dnslib.RR(name, rdata=dnslib.A(f"198.51.100.{number}"), ttl=60))
        elif name in ANSWERS and question.q.qtype == dnslib.QTYPE.A:
            reply.add_answer(dnslib.RR(question.q.qname, rdata=dnslib.A(ANSWERS[name]), ttl=60))
        elif name not in ANSWERS:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
        return bytes(reply.pack())

    def _datagrams(self) -> None:
        while True:
            try:
                packet, client = self._udp.recvfrom(65535)
            except OSError:
                return
            if not packet:  # shut down
                return
            self.sources.append(client)
            answer = self._answer(packet, False)
            if not self.silent:
                self._udp.sendto(answer, client)

    def _streams(self) -> None:
        assert self._tcp is not None
        while True:
            try:
                connection, client = self._tcp.accept()
            except OSError:
                return
            self.sources.append(client)
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                length = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))[0]
                answer = self._answer(connection.recv(length, socket.MSG_WAITALL), True)
                if not self.silent:
                    connection.sendall(struct.pack("!H", len(answer)) + answer)


@contextlib.contextmanager
def upstream(address: str = "127.0.0.1", silent: bool = False, tcp: bool = True) -> Iterator[Upstream]:
    """In the calling thread's network namespace."""
    server = Upstream(address, silent, tcp)
    try:
        yield server
    finally:
        server.close()
