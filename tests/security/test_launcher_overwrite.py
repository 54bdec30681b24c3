"""A container must not change the program that starts containers (CVE-2019-5736).

/proc/self/exe of a process that has not yet exec'd, or that was made to exec /proc/self/exe once more, is the host's
launcher, and root of a container owns that file. Its bytes are safe while any launcher runs (ETXTBSY, and not in Linux
6.11); its mode, its owner and its attributes never were. So a launcher is started by a read-only mount of its own.
"""

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

import needs
from benches import Bench
from wardian.errors import WardianError
from wardian.runtime import launcher_path

MARK = "alone it knows only `hello`"
SECONDS = 15  # at most


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs.program("gcc")
    program = tmp_path_factory.mktemp("attack") / "overwrite"
    source = Path(__file__).parent / "c/overwrite.c"
    compiler = "musl-gcc" if shutil.which("musl-gcc") else "gcc"
    subprocess.run([compiler, "-static", "-O1", "-Wall", "-Werror", "-D_GNU_SOURCE", "-o", program, source], check=True)
    return program


async def execute(bench: Bench, identity: str, command: list[str]) -> bytes:
    """Its output. Raises WardianError for what the root's facts refuse."""
    made = (await bench.engine.execs.create(identity, {"Cmd": command, "AttachStdout": True, "AttachStderr": True}))[
        "Id"
    ]
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    data = b""
    with ours:
        await bench.engine.execs.start(made, {}).hand_over(theirs.detach(), b"")
        while chunk := await asyncio.get_running_loop().sock_recv(ours, 65536):
            data += chunk
    return data


def outcome(bench: Bench, identity: str) -> dict[str, int]:
    return {what: int(number) for what, number in (line.split() for line in bench.output(identity).splitlines())}


def test_an_image_cannot_name_the_launcher_as_its_program(bench: Bench, attack: Path) -> None:
    for command in (["/proc/self/exe", "hello"], ["/link", "hello"]):
        identity = bench.create(*command, Binds=[f"{attack}:/attack:ro"])
        with pytest.raises(WardianError, match="no such file or directory"):
            bench.run(bench.engine.containers.start(identity))


def test_root_of_a_container_cannot_change_the_launcher(bench: Bench, attack: Path) -> None:
    """The script's interpreter is the container's when it is looked at, and /proc/self/exe when it is run."""
    before = os.stat(launcher_path())
    identity = bench.start("/attack", MARK, str(SECONDS), Binds=[f"{attack}:/attack:ro"])
    setup = "printf '#!/x hello\\n' > /script; chmod 755 /script; /attack /x /bin/busybox /proc/self/exe"

    async def race() -> None:
        toggling = asyncio.create_task(execute(bench, identity, ["sh", "-c", setup]))
        while bench.state(identity)["Running"]:
            with contextlib.suppress(WardianError, OSError):
                await execute(bench, identity, ["/script"])
            await asyncio.sleep(0.002)
        toggling.cancel()

    with contextlib.suppress(asyncio.CancelledError):
        bench.run(race())
    bench.finish(identity)
    result = outcome(bench, identity)
    print(result)
    assert result.pop("looking") == 0
    assert "reached" in result, "the launcher's program was never in sight: the attack is none"
    assert result.pop("write") in (errno.EROFS, errno.ETXTBSY)  # which of them is asked first is the kernel's
    assert result == {"reached": 0} | dict.fromkeys(("chmod", "chown", "xattr"), errno.EROFS)
    after = os.stat(launcher_path())
    assert (after.st_ctime_ns, after.st_mtime_ns) == (before.st_ctime_ns, before.st_mtime_ns)
