"""Contexts: docker's command and ours read and write the same store, and each keeps its own choice."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import needs
from engines import TestEngine

WARDIAN = [sys.executable, "-m", "wardian.cli"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    programs = {"docker": [needs.program("docker")], "wardian": WARDIAN}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "WARDIAN_H"))}

    def run(program: str, *words: str, status: int = 0, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {**kept, "DOCKER_CONFIG": str(tmp_path / "config"), **variables}
        done = subprocess.run(
            [*programs[program], *words], env=environment, capture_output=True, text=True, timeout=20, cwd=tmp_path
        )
        assert done.returncode == status, done.stderr
        return done

    return run


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """docker looks whether it is one."""
    path = tmp_path / "x.pem"
    command = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", str(path) + ".key"]
    subprocess.run([needs.program("openssl"), *command, "-out", str(path)], check=True, capture_output=True, timeout=60)
    return path


@pytest.mark.parametrize(("maker", "reader"), [("docker", "wardian"), ("wardian", "docker")])
def test_each_reads_what_the_other_made(run: Run, pem: Path, tmp_path: Path, maker: str, reader: str) -> None:
    docker = f"host=tcp://127.0.0.1:1,ca={pem},cert={pem},key={pem}.key,skip-tls-verify=true"
    run(maker, "context", "create", "far", "--docker", docker, "--description", "a word")
    first, second = (json.loads(run(one, "context", "inspect", "far").stdout) for one in (maker, reader))
    assert first == second
    assert first[0]["TLSMaterial"] == {"docker": ["ca.pem", "cert.pem", "key.pem"]}
    run(reader, "context", "update", "far", "--description", "other")
    assert "other" in run(maker, "context", "ls").stdout
    run(maker, "context", "export", "far")
    if maker == "wardian":  # docker leaves the end of its archive away
        with tarfile.open(tmp_path / "far.dockercontext") as archive:
            names = archive.getnames()
        assert names == ["meta.json", "tls", "tls/docker", *(f"tls/docker/{it}.pem" for it in ("ca", "cert", "key"))]
    run(reader, "context", "import", "again", "far.dockercontext")
    assert json.loads(run(maker, "context", "inspect", "again").stdout)[0]["TLSMaterial"] == first[0]["TLSMaterial"]
    run(reader, "context", "rm", "far", "again")
    assert run(maker, "context", "ls", "-q").stdout == "default\n"
    assert not [path for path in (tmp_path / "config").rglob("*") if path.is_file() and path.name != "config.json"]


def test_each_keeps_its_own_choice(run: Run) -> None:
    """`wardian context use` says which engine wardian speaks to, and docker goes on with its own."""
    run("docker", "context", "create", "far", "--docker", "host=ssh://me@far")
    run("wardian", "context", "use", "far")
    assert run("wardian", "context", "show").stdout == "far\n"
    assert run("docker", "context", "show").stdout == "default\n"
    refused = run("wardian", "context", "rm", "far", status=1)
    assert refused.stderr == 'context "far" is in use, set -f flag to force remove\n'
    warned = run("wardian", "context", "use", "far", DOCKER_HOST="unix:///x").stderr
    assert "Warning: DOCKER_HOST environment variable overrides the active context." in warned
    assert run("wardian", "context", "show", DOCKER_HOST="unix:///x").stdout == "default\n"
    run("wardian", "context", "rm", "-f", "far")
    assert run("wardian", "context", "show").stdout == "default\n"


def test_commands_go_where_the_context_says(run: Run, engine: TestEngine) -> None:
    run("wardian", "context", "create", "here", "--docker", f"host={engine.url}")
    for words, variables in (
        (["--context", "here"], {}),
        (["-c", "here"], {"DOCKER_HOST": "unix:///none"}),
        ([], {"DOCKER_CONTEXT": "here"}),
    ):
        said = run("wardian", *words, "info", "--format", "{{.DockerRootDir}} {{.ClientInfo.Context}}", **variables)
        assert said.stdout == f"{engine.home.data_root} here\n"
    run("wardian", "context", "use", "here")
    assert run("wardian", "info", "-f", "{{.DockerRootDir}}").stdout == f"{engine.home.data_root}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["create", "default"],
        ["create", "x"],
        ["create", "ab", "--docker", "host=unix:///x,bogus=1"],
        ["create", "ab", "--docker", "host=unix:///x,ca=/nix"],
        ["rm", "default"],
        ["rm", "nix"],
        ["export", "nix"],
        ["update", "nix"],
        ["use", "nix"],
        ["import", "ab", "/nix"],
    ],
)
def test_refusals_are_dockers(run: Run, words: list[str]) -> None:
    theirs = run("docker", "context", *words, status=1)
    ours = run("wardian", "context", *words, status=1)
    assert ours.stderr == theirs.stderr


def test_archives_that_are_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"x" * 2000)
    (tmp_path / "empty").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("meta.json", '{"Name":"old","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///z"}}}')
    with zipfile.ZipFile(tmp_path / "up", "w") as archive:
        archive.writestr("meta.json", "{}")
        archive.writestr("tls/docker/../../../evil", "x")
    for name in ("text", "empty"):
        assert "invalid context" in run("wardian", "context", "import", "ab", name, status=1).stderr
    assert "unexpected context file" in run("wardian", "context", "import", "ab", "up", status=1).stderr
    run("wardian", "context", "import", "ab", "zip")
    assert "unix:///z" in run("docker", "context", "ls").stdout


def test_one_that_cannot_be_read_is_said(run: Run, tmp_path: Path) -> None:
    for name in ("good", "broken"):
        run("wardian", "context", "create", name, "--docker", "host=unix:///x.sock")
    paths = (tmp_path / "config").glob("contexts/meta/*/meta.json")
    (meta,) = [path for path in paths if '"broken"' in path.read_text()]
    meta.write_text("{broken")
    listed = run("wardian", "context", "ls", "-q", status=1)
    assert listed.stdout == "default\ngood\n"
    assert listed.stderr.startswith(f"failed to read metadata: parsing {meta}: ")
    assert run("docker", "context", "ls", "-q", status=1).stderr.startswith(
        f"failed to read metadata: parsing {meta}: "
    )
