"""The house itself: linters as tests, generated files current, and docs that name what exists."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import needs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.dirname(sys.executable)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        pytest.fail(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False)


def _tool(name: str) -> str:
    path = os.path.join(BIN, name)
    if not os.access(path, os.X_OK):
        needs.missing(f"{name} is not installed in {BIN}")
    return path


def test_ruff() -> None:
    _run(_tool("ruff"), "check", "--no-cache", ".")


@pytest.mark.timeout(300)
def test_mypy_strict() -> None:
    _run(_tool("mypy"))


def test_imports_go_down() -> None:
    _run(_tool("lint-imports"))


def test_no_catch_all_module() -> None:
    """A module is named for its subject; these names say that it has none."""
    forbidden = {"utils", "util", "helpers", "common", "misc", "manager"}
    for directory, _, files in os.walk(os.path.join(ROOT, "src")):
        for name in {os.path.basename(directory), *(file.removesuffix(".py") for file in files)}:
            assert name not in forbidden, os.path.join(directory, name)


def test_lines_of_c_have_at_most_120_columns() -> None:
    """As ruff has it of Python's; each character is a column."""
    places = [path for place in ("launcher", "tests") for path in Path(ROOT, place).rglob("*.[ch]")]
    assert len(places) > 30
    for path in places:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert len(line) <= 120, f"{path.relative_to(ROOT)}:{number} has {len(line)} columns"


@pytest.mark.parametrize("tool", ["protocol_header.py", "api_docs.py"])
def test_generated_file_is_current(tool: str) -> None:
    """Each generator has `--check`: exit 0 when the file in the tree is what it would write."""
    _run(sys.executable, os.path.join("tools", tool), "--check")


TOUR_HOP = re.compile(r"`((?:src|launcher)/[\w/.]+\.(?:py|c|h)): ([\w.]+)`")


def _tour() -> list[tuple[str, str]]:
    with open(os.path.join(ROOT, "docs", "tour.md")) as file:
        return TOUR_HOP.findall(file.read())


def _python_names(path: str) -> set[str]:
    """Functions and classes of a module, methods as Class.method."""
    with open(path) as file:
        tree = ast.parse(file.read())
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{m.name}" for m in node.body if isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return names


def _c_names(path: str) -> set[str]:
    """Names that a C file defines as functions: at the start of a line, with a body."""
    with open(path) as file:
        return set(re.findall(r"^[a-z][\w \t*]*?\b(\w+)\([^;{]*\)\s*\{", file.read(), re.MULTILINE))


def test_tour_names_exist() -> None:
    """docs/tour.md leads from the command line to execve: each `file: function` is where it says."""
    hops = _tour()
    assert len(hops) >= 10
    for file, name in hops:
        path = os.path.join(ROOT, file)
        assert os.path.exists(path), f"docs/tour.md names {file}"
        names = _python_names(path) if file.endswith(".py") else _c_names(path)
        assert name in names, f"docs/tour.md names {name} in {file}"


def test_links_in_docs_exist() -> None:
    for directory in ("", "docs", "docs/decisions", "bench"):
        for name in os.listdir(os.path.join(ROOT, directory)):
            if name.endswith(".md"):
                with open(os.path.join(ROOT, directory, name)) as file:
                    for target in re.findall(r"\]\(([^)#:]+)\)", file.read()):
                        assert os.path.exists(os.path.join(ROOT, directory, target)), f"{directory}/{name}: {target}"


def test_entry_points_exist() -> None:
    for module in (
        "wardian.cli",
        "wardian.runtime.command",
        "wardian.server.__main__",
        "wardian.network.resolver.__main__",
    ):
        assert importlib.util.find_spec(module) is not None, module


def test_command_line_imports_little() -> None:
    """Its start counts in every command: asyncio alone is 48 ms, http.client 30, argparse 8."""
    code = "import sys, wardian.cli, wardian.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], env={"PYTHONPATH": os.path.join(ROOT, "src")},
                          capture_output=True, text=True, check=True)  # fmt: skip
    heavy = {"asyncio", "http", "http.client", "argparse", "re", "dataclasses", "typing", "json", "socket",
             "subprocess", "msgspec", "urllib3", "httptools", "wsproto", "re2"}  # fmt: skip
    assert not heavy & set(done.stdout.split())


def test_an_engine_begins_before_it_has_loaded_all() -> None:
    """What speaks to clients comes while the engine waits for the kernel (serve.py), registries when one is asked."""
    names = "__main__ callers listening metrics_listener serve".split()
    code = f"import sys, wardian.engine, {', '.join(f'wardian.server.{name}' for name in names)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], env={"PYTHONPATH": ":".join(sys.path)},
                          capture_output=True, text=True, check=True)  # fmt: skip
    late = {"httptools", "wsproto", "urllib3", "re2", "http.client", "email", "wardian.server.application",
            "wardian.server.connection", "wardian.server.messages", "wardian.images.made"}  # fmt: skip
    assert not late & set(done.stdout.split())


def test_a_connection_imports_one_parser() -> None:
    """h11 comes with wsproto, which comes with the first websocket."""
    code = (
        "import sys, wardian.server.application, wardian.server.connection, wardian.server.system; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], env={"PYTHONPATH": ":".join(sys.path)},
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert "httptools" in done.stdout.split()
    assert not {"h11", "wsproto"} & set(done.stdout.split())


def test_the_resolver_imports_little() -> None:
    """One process for all containers of an engine, and nothing of the engine in it: what it imports is its memory.

    ctypes (0.5 MB) it has: capset(2) and prctl(2), with which it gives up what it does not use, are not in `os`.
    """
    network = os.path.join(ROOT, "src", "wardian", "network")
    code = f"import sys; sys.path.append({network!r}); import resolver.program; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    heavy = {"wardian", "asyncio", "typing", "traceback", "threading", "subprocess", "logging", "ipaddress"}
    assert not heavy & set(done.stdout.split())
