"""Completion in real shells, with names from a running engine; and the manual pages as groff reads them."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import needs
from clients_shared import IMAGE, Terminal

_ROOT = Path(__file__).resolve().parents[2]
Complete = Callable[[str], list[str]]


@pytest.fixture
def environment(wardian, tmp_path: Path) -> dict[str, str]:
    """`wardian` is a program of PATH, for the module's engine."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "wardian").write_text(
        f'#!/bin/sh\nPYTHONPATH={_ROOT / "src"} exec {sys.executable} -m wardian.cli "$@"\n'
    )
    (programs / "wardian").chmod(0o755)
    return {**wardian.environment, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path)}


_IN_BASH = """
source <(wardian completion bash)
compopt() { :; }
COMP_LINE=$1 COMP_POINT=${#1}
_wardian
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(params=["bash", pytest.param("fish", marks=pytest.mark.soak)])  # tools/setup soak brings it
def complete(request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path) -> Complete:
    shell = needs.program(request.param)

    def bash(line: str) -> list[str]:
        return _lines([shell, "-c", _IN_BASH, "bash", line], environment, tmp_path)

    def fish(line: str) -> list[str]:
        command = "wardian completion fish | source; complete -C $argv[1]"
        found = _lines([shell, "-c", command, line], environment, tmp_path)
        return [one.partition("\t")[0] for one in found]

    return bash if request.param == "bash" else fish


def _lines(command: list[str], environment: dict[str, str], directory: Path) -> list[str]:
    done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, timeout=30)
    assert not done.stderr, done.stderr
    return done.stdout.split("\n")[:-1]


def test_verbs_and_flags(complete: Complete) -> None:
    assert complete("wardian comp") == ["completion"]
    assert "run" in complete("wardian ")
    assert complete("wardian container ins") == ["inspect"]
    assert complete("wardian -H unix:///x container ins") == ["inspect"]
    assert complete("wardian run --memory-s") == ["--memory-swap", "--memory-swappiness"]
    assert complete("wardian run --pull al") == ["always"]
    assert complete("wardian completion z") == ["zsh"]
    assert complete("wardian nothing ") in ([], [""])


def test_names(complete: Complete, wardian) -> None:
    wardian("run", "-d", "--name", "alpha-runs", IMAGE, "sleep", "1000")
    wardian("create", "--name", "alpha-rests", IMAGE)
    wardian("network", "create", "alpha-net")
    try:
        assert sorted(complete("wardian inspect alpha")) == ["alpha-net", "alpha-rests", "alpha-runs"]
        assert complete("wardian stop alpha") == ["alpha-runs"]
        assert complete("wardian start alpha") == ["alpha-rests"]
        assert complete("wardian rm -f alpha-runs alpha") == ["alpha-rests"]
        assert complete("wardian network connect alpha-net alpha-ru") == ["alpha-runs"]
        assert complete("wardian run --network alpha") == ["alpha-net"]
        assert IMAGE.split(":")[1] in complete("wardian run -it busybox:")[0]
    finally:
        wardian("network", "rm", "alpha-net")


def test_files(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "some.env").touch()
    (tmp_path / "somewhere").mkdir()
    assert complete("wardian run --env-file some.") == ["some.env"]
    assert [one.rstrip("/") for one in complete("wardian man some")] == ["somewhere"]


def test_no_engine_is_started_by_a_key(environment: dict[str, str], tmp_path: Path) -> None:
    environment = {**environment, "DOCKER_HOST": f"unix://{tmp_path}/none"}
    assert _lines(["wardian", "__complete", "--", "stop", ""], environment, tmp_path) == [":none"]


@pytest.mark.soak
def test_zsh(environment: dict[str, str], tmp_path: Path) -> None:
    zsh = needs.program("zsh")
    terminal = Terminal([zsh, "-f", "-i"], {**environment, "PS1": "ready> "}, 24, 200)
    try:
        terminal.type(
            "autoload -Uz compinit; compinit -u -d $HOME/dump; source <(wardian completion zsh); echo do''ne\n"
        )
        terminal.expect("done")
        terminal.type("wardian compl\t")
        terminal.expect("completion")
        terminal.type("fi\t")
        terminal.expect("fish")
        terminal.type("\n")
        terminal.expect("complete -c wardian")
    finally:
        terminal.type("\nexit\n")
        terminal.close()


def test_manual_pages(environment: dict[str, str], tmp_path: Path) -> None:
    """groff has nothing to say of them, and a page that stands for another finds it."""
    pages = tmp_path / "man" / "man1"
    subprocess.run(["wardian", "man", str(pages)], env=environment, check=True, timeout=20, capture_output=True)
    names = {page.name for page in pages.iterdir()}
    assert {"wardian.1", "wardian-container.1", "wardian-container-run.1", "wardian-ps.1"} <= names
    assert not any(name.startswith("wardian-_") for name in names)
    groff = needs.program("groff")
    for page in pages.iterdir():
        done = subprocess.run(
            [groff, "-man", "-Tutf8", "-ww", "-P-c", f"-I{pages.parent}", str(page)],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert not done.stderr, done.stderr
        shown = re.sub(".\b", "", done.stdout)  # bold, as typewriters made it
        assert "NAME" in shown
        if page.name == "wardian-run.1":
            assert "--memory-swappiness int64" in shown
            assert "(default -1)" in shown
