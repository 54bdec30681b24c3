"""Exit records, and the supervisor's messages as bytes."""

import asyncio
import json
import os
import socket
import time
from pathlib import Path

import pytest

from wardian.errors import WardianError
from wardian.runtime import protocol
from wardian.runtime.exitrecord import SUPERVISOR_LOST, lost_exit, parse_exit, read_exit, write_exit
from wardian.runtime.supervisor import SupervisorClient, message

WRITTEN = (
    b'{"version":1,"pid":7,"exit_code":137,"signal":9,"oom_killed":true,"oom_count":2,"oom_victim":"java (pid 9)",'
    b'"peak_memory":4096,"cpu_ns":12,"started_at":5,"finished_at":6,"log_lost":0,"reason":"out of memory"}\n'
)


def test_record_of_a_supervisor() -> None:
    record = parse_exit(WRITTEN)
    assert (record.exit_code, record.signal, record.oom_killed, record.oom_count) == (137, 9, True, 2)
    assert record.oom_victim == "java (pid 9)" and record.reason == "out of memory"


def test_a_newer_record_is_refused_by_name() -> None:
    with pytest.raises(WardianError, match="version 2"):
        parse_exit(WRITTEN.replace(b'"version":1', b'"version":2'))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"version":1}', b'{"version":"1"}', WRITTEN[:40], b"\xff"])
def test_a_damaged_record_is_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(WardianError, match="damaged"):
        parse_exit(data)


def test_a_record_with_more_fields_is_read() -> None:
    assert parse_exit(json.dumps({**json.loads(WRITTEN), "more": 1}).encode()) == parse_exit(WRITTEN)


def test_no_record_while_it_runs(tmp_path: Path) -> None:
    assert read_exit(str(tmp_path)) is None
    assert read_exit(str(tmp_path / "none")) is None


def test_written_in_the_supervisors_stead(tmp_path: Path) -> None:
    record = lost_exit(started_at=3)
    write_exit(str(tmp_path), record)
    assert read_exit(str(tmp_path)) == record
    assert os.listdir(tmp_path) == ["exit"]
    assert (record.exit_code, record.reason) == (137, SUPERVISOR_LOST)
    assert abs(record.finished_at - time.time_ns()) < 60 * 10**9


def test_message_layout() -> None:
    data = message("RESIZE", protocol.REQUEST.pack(5, 24, 80))
    assert data == b"WCTL" + b"\1\0" + b"\4\0" + b"\x0c\0\0\0" + b"\5\0\0\0" + b"\x18\0\0\0" + b"\x50\0\0\0"


def test_kinds_are_told_apart() -> None:
    assert len(set(protocol.KINDS.values())) == len(protocol.KINDS)
    assert all(flag & (flag - 1) == 0 for flag in protocol.ATTACHER_FLAGS.values())


def wait_for_exit(said: bytes, run_dir: Path) -> None:
    """Of a supervisor that says this, and ends."""

    async def test() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client = SupervisorClient(ours, str(run_dir), waits=True)
        with theirs:
            if said:
                theirs.send(message("EXITED", protocol.ANSWER.pack(0, 0) + said))
        try:
            await asyncio.wait_for(client.wait_exit(), 20)
        finally:
            client.close()

    asyncio.run(test())


@pytest.mark.parametrize("record", [b"{}", WRITTEN.replace(b'"version":1', b'"version":2')])
def test_an_end_that_cannot_be_read_is_heard_of(tmp_path: Path, record: bytes) -> None:
    with pytest.raises(WardianError, match="exit record"):
        wait_for_exit(record, tmp_path)
    (tmp_path / "exit").write_bytes(record)
    with pytest.raises(WardianError, match="exit record"):
        wait_for_exit(b"", tmp_path)
