"""A run whose test files several processes share (`-n 2 --dist loadfile`, pytest-xdist; `make test` does).

Each of them is a run of its own, with names of its own, all claimed by the process that started them: it sweeps before
they are there, and when they have ended, it makes the last check and removes what they left.
"""

import os
from collections.abc import Generator
from typing import Any

import pytest

import homes
import leftovers

LAST = "test_nothing_left.py"


class Sharing:
    """The plugin of the process that shares the tests out."""

    def __init__(self) -> None:
        self.left: list[str] = []  # what each of the others says of itself
        self._wants_last = False

    def pytest_configure_node(self, node: Any) -> None:
        part = node.workerinput["run"] = homes.new_part()
        if os.geteuid() == 0:
            leftovers.own(part)

    def pytest_testnodedown(self, node: Any) -> None:
        said = getattr(node, "workeroutput", {})  # one that was killed says nothing
        self.left += [f"{node.gateway.id}: {line}" for line in said.get("left", [])]
        self._wants_last |= said.get("last", False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """The last check, after the others."""
        done = yield
        if self._wants_last:
            session.config.pluginmanager.getplugin("dsession").nodemanager.teardown_nodes()
            shared = session.testscollected
            last = session.perform_collect([str(session.config.rootpath / "tests" / LAST)])
            for item in last:
                item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            session.testscollected = shared + len(last)
        return done


class Part:
    """The plugin of one of those that run them. The last check is none of theirs."""

    def __init__(self, config: pytest.Config) -> None:
        self._output: dict[str, Any] = config.workeroutput  # type: ignore[attr-defined]
        homes.be_part(config.workerinput["run"])  # type: ignore[attr-defined]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        shared = [item for item in items if item.path.name != LAST]
        self._output["last"] = len(shared) < len(items)
        items[:] = shared
