"""The house rules of every test: the order, what CI may not skip, homes, and the check that nothing is left behind."""

import os
import signal
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

import homes
import leaks
import leftovers
import needs
import sharing
from benches import bench, shared_bench
from engines import engine, engine_socket, new_engine
from newest import peers
from registry import registry
from street import street, whole_street
from wardian.home import Home
from wardian.runtime.program import protected
from wardian.runtime.ready import launcher_path

# fixtures that live beside what they start
__all__ = [
    "bench",
    "engine",
    "engine_socket",
    "new_engine",
    "peers",
    "registry",
    "shared_bench",
    "street",
    "whole_street",
]

# Cheapest first: a wrong import shows before a kernel is asked.
ORDER = ("unit", "integration", "clients", "security", "vm", "peers", sharing.LAST)
ROOT_ONLY = {"integration", "clients", "security"}

_before = pytest.StashKey[leaks.Snapshot]()
_sharing = pytest.StashKey[sharing.Sharing]()


def _rank(item: pytest.Item) -> int:
    relative = item.path.relative_to(item.config.rootpath / "tests").parts[0]
    return ORDER.index(relative) if relative in ORDER else 0


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_sharing] = sharing.Sharing()
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(sharing.Part(config))
    elif config.getoption("numprocesses", None):
        config.pluginmanager.register(config.stash[_sharing])


def pytest_sessionstart(session: pytest.Session) -> None:
    os.environ[leaks.MARK] = homes.RUN  # inherited by all that the tests start
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's background job; what the tests start must hear it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.geteuid() == 0:
        if not homes.PART:
            leftovers.own(homes.RUN)
            if swept := leftovers.sweep(leftovers.TESTS):
                print(f"removed what killed test runs had left: {' '.join(swept)}")
        protected(launcher_path())  # made once for a process and kept: nothing that a test leaves
    session.config.stash[_before] = leaks.take()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """After the leak check has judged: a test that failed in the middle must not leave its engine to the machine."""
    if homes.PART:
        left = leaks.descriptors_left(session.config.stash[_before])
        session.config.workeroutput["left"] = left  # type: ignore[attr-defined]
    elif os.geteuid() == 0:
        for run in homes.runs():
            leftovers.remove(leftovers.TESTS, run)
            leftovers.disown(run)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if ORDER[_rank(item)] in ROOT_ONLY:
        needs.root()


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Before the leak check, everything is torn down, session-wide fixtures too: it must see the machine after them."""
    if nextitem is None or nextitem.path.name != sharing.LAST:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    runtestprotocol(item, nextitem=None)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skip is a failure, whoever skipped: a capability that is missing there is missing by mistake,
    but for what tests/vm runs on a kernel that has it."""
    report = yield
    wanted = hasattr(report, "wasxfail") or "soak" in item.keywords or needs.ELSEWHERE in str(report.longrepr)
    if needs.IN_CI and report.skipped and not wanted:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr[2] if isinstance(report.longrepr, tuple) else ''}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself while it is imported."""
    report = yield
    if needs.IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def snapshot_before(pytestconfig: pytest.Config) -> leaks.Snapshot:
    return pytestconfig.stash[_before]


@pytest.fixture(scope="session")
def left_by_parts(pytestconfig: pytest.Config) -> list[str]:
    """What the processes that shared the tests say of themselves."""
    return pytestconfig.stash[_sharing].left


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Home]]:
    """Makes homes, each for one engine; their cgroups go at the end of the session when they are empty."""
    made: list[Home] = []

    def new() -> Home:
        made.append(homes.new_home(str(tmp_path_factory.mktemp("h"))))
        return made[-1]

    yield new
    for home in made:
        homes.remove_empty_groups(home.cgroup_base)


@pytest.fixture
def home(new_home: Callable[[], Home]) -> Home:
    """A fresh home of this one test."""
    return new_home()


def pytest_report_header() -> list[str]:
    kernel: Any = os.uname()
    return [f"machine: Linux {kernel.release} {kernel.machine}, {os.cpu_count()} cpus, run {homes.RUN}"]
