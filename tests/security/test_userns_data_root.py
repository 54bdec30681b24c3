"""CVE-2021-21284: with userns-remap, the host's user that a container's root is could write below the engine's data
root, and so have the engine make files of the real root's. Here that user gets no further than the data root."""

import errno
import os
from collections.abc import Callable, Iterator

import pytest

from benches import Bench, load_busybox
from wardian.home import Home

FIRST = 300000


@pytest.fixture(scope="module")
def shared_bench(new_home: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    files = tmp_path_factory.mktemp("subids")
    for name in ("subuid", "subgid"):
        (files / name).write_text(f"dockremap:{FIRST}:65536\n")
    bench = Bench(new_home()._replace(userns_remap="default", subids=str(files)))
    load_busybox(bench)
    yield bench
    bench.close()


def as_mapped_root(action: Callable[[], object]) -> int:
    """The errno of `action`, done by a process of the host with that id; 0 when it could be done."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            os.setgroups([])
            os.setresgid(FIRST, FIRST, FIRST)
            os.setresuid(FIRST, FIRST, FIRST)
            action()
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_the_mapped_root_reaches_nothing_of_the_engine_s(bench: Bench) -> None:
    identity = bench.start("sleep", "1000")
    home = bench.home
    container = home.container(identity)
    layer = next(entry.path for entry in os.scandir(home.layers) if entry.name != "empty")
    for path in (container, f"{container}/upper", f"{container}/config.json", f"{layer}/diff", home.database):
        assert as_mapped_root(lambda path=path: os.close(os.open(path, os.O_RDONLY))) == errno.EACCES, path
    for path in (f"{container}/upper/x", f"{container}/hosts", f"{home.layers}/x", f"{home.volumes}/x"):
        made = as_mapped_root(lambda path=path: os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)))
        assert made == errno.EACCES, path


def test_what_is_of_the_engine_s_stays_root_s(bench: Bench) -> None:
    identity = bench.start("sleep", "1000")
    container = bench.home.container(identity)
    theirs = {entry.name for entry in os.scandir(container) if entry.stat(follow_symlinks=False).st_uid == FIRST}
    assert theirs == {"upper", "hosts", "hostname", "resolv.conf"}
    assert os.stat(container).st_uid == 0
