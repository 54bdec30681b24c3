"""Tables, sizes, lapses, moments, names of images: what lists are made of."""

import hashlib
import subprocess
import sys

import pytest

from wardian.cli import human, moments, ps, references
from wardian.cli.command import Failure
from wardian.cli.table import columns
from wardian.cli.tree import ALIASES, GROUPS, OWN, SHORT, find


def test_columns_are_those_of_tabwriter():
    assert columns(["REPOSITORY\tTAG\tSIZE", "bb\tlatest\t1.98MB"]) == (
        "REPOSITORY   TAG       SIZE\nbb           latest    1.98MB\n"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (150, "2 minutes"),
        (3600, "About an hour"), (5400, "2 hours"), (86400 * 3, "3 days"), (86400 * 20, "2 weeks"),
        (86400 * 100, "3 months"), (86400 * 800, "2 years"),
    ],
)  # fmt: skip
def test_lapses(seconds, words):
    assert human.lapse(seconds) == words


def test_sizes():
    assert [human.size_text(size) for size in (0, 999, 1000, 1_982_731, 123_456_789)] == [
        "0B", "999B", "1kB", "1.98MB", "123MB",
    ]  # fmt: skip
    assert human.memory_text(25273110528) == "23.54GiB"


def test_moments(monkeypatch):
    monkeypatch.setattr(moments.time, "time", lambda: 1000.0)
    assert moments.read_moment("10m", "since") == "400"
    assert moments.read_moment("0", "since") == "0"
    assert moments.read_moment("1795233036.5", "since") == "1795233036.5"
    assert moments.read_moment("2026-11-21T00:00:00Z", "since") == "1795219200.000000000"
    with pytest.raises(Failure, match='invalid value for "since": failed to parse value as time or duration: "zz"'):
        moments.read_moment("zz", "since")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("+5", "5"),
        ("2024-01-01T10:00:00.1234567891+01:00", "1704099600.123456789"),
        ("2024-01-01T10:00:00,5Z", "1704103200.500000000"),
        ("2024-01-01T10:00Z", "1704103200.000000000"),
        ("2024-01-01T10Z", "1704103200.000000000"),
        ("2024-01-01Z", "1704067200.000000000"),
    ],
)
def test_moments_in_each_form(text, read):
    assert moments.read_moment(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "-5", "-5.5", "5.", ".5", "1.-5", " 5", "1h ", "2024-01-01 10:00:00", "2024-01-01 ", "2024-1-1", "2024-W01-1",
        "20240101T100000", "2024-01-01T10:00:00+0100", "2024-13-01", "1d", "٥", "1_000",
    ],
)  # fmt: skip
def test_moments_that_docker_refuses(text):
    with pytest.raises(Failure, match="failed to parse value as time or duration"):
        moments.read_moment(text, "since")


def test_ports():
    port = {"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp", "IP": "0.0.0.0"}
    same = {**port, "PublicPort": 80}
    next_one = {**same, "PrivatePort": 81, "PublicPort": 81}
    assert ps.ports_text([port, {**port, "IP": "::"}]) == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
    assert ps.ports_text([next_one, same]) == "0.0.0.0:80-81->80-81/tcp"
    assert ps.ports_text([{"PrivatePort": 443, "Type": "tcp"}]) == "443/tcp"


@pytest.mark.parametrize(
    ("text", "repository", "shown"),
    [
        ("busybox", "docker.io/library/busybox", "busybox:latest"),
        ("a/b:1", "docker.io/a/b", "a/b:1"),
        ("127.0.0.1:5000/x/bb:1", "127.0.0.1:5000/x/bb", "127.0.0.1:5000/x/bb:1"),
        ("localhost/x", "localhost/x", "localhost/x:latest"),
    ],
)
def test_names_of_images(text, repository, shown):
    name = references.parse_name(text)
    assert (name.repository, name.shown) == (repository, shown)


@pytest.mark.parametrize("text", ["", "a b", "Foo", "a:", "a@", "a/:x", "-a"])
def test_names_that_are_none(text):
    with pytest.raises(Failure):
        references.parse_name(text)


def test_every_verb_that_is_built_loads():
    rows = [row for _, verbs in GROUPS.values() for row in verbs.values()] + list(OWN.values())
    for target, _ in rows:
        if target:
            module, _, name = target.partition(":")
            command = getattr(__import__(f"wardian.cli.{module}", fromlist=[name]), name)
            names = [flag.name for flag in command.flags]
            assert len(names) == len(set(names)), target


def test_verbs_are_found():
    for verb, (group, name) in SHORT.items():
        assert name in GROUPS[group][1], verb
    for group, names in ALIASES.items():
        assert set(names.values()) <= set(GROUPS[group][1])
    assert find(["container", "list", "-a"]) == ("container list", *GROUPS["container"][1]["ls"], ["-a"])
    assert find(["nonsense"]) is None
    assert find(["container"]) is None


def cli(*arguments):
    return subprocess.run([sys.executable, "-m", "wardian.cli", *arguments], capture_output=True, text=True)


def test_what_needs_no_engine():
    assert "run " in cli("--help").stdout
    assert cli("run", "--help").stdout.startswith("Usage:  wardian run [OPTIONS] IMAGE [COMMAND] [ARG...]\n")
    assert cli("--version").stdout.startswith("Wardian version ")
    unbuilt = cli("build", ".")
    assert (unbuilt.returncode, unbuilt.stderr) == (1, "wardian: 'build' is not built yet\n")
    bad = cli("run", "--foo")
    assert bad.returncode == 125
    assert bad.stderr.startswith("unknown flag: --foo\n\nUsage:  wardian run")
    assert cli("nonsense").stderr.startswith("wardian: unknown command: wardian nonsense\n")
    assert cli("-c", "other", "ps").returncode == 1
    none = cli("-H", "unix:///nonexistent/sock", "ps")
    assert (none.returncode, none.stdout) == (1, "")
    assert "cannot connect to the engine at unix:///nonexistent/sock" in none.stderr


def test_help_that_was_not_asked_for_goes_to_stderr():
    for words in ((), ("container",)):
        done = cli(*words)
        assert (done.returncode, done.stdout, done.stderr[:7]) == (0, "", "Usage: ")
    assert cli("help", "nonsense").stderr == "unknown help topic: nonsense\n"


def test_flags_before_the_verb():
    bad = cli("-l", "loud", "ps")
    assert (bad.returncode, bad.stderr) == (1, "Unable to parse logging level: loud\n")


def test_where_a_wrong_count_points():
    assert cli("logs").stderr.endswith("\nRun 'wardian logs --help' for more information\n")
    assert cli("exec", "a").stderr.endswith("\nSee 'wardian exec --help' for more information\n")


def test_run_imports_little():
    """Its start is most of what a person waits for: asyncio alone is 48 ms, http.client 30, argparse 8, re 7."""
    words = ["-X", "importtime", "-m", "wardian.cli", "-H", "unix:///nonexistent/sock"]
    run = ["run", "--rm", "--network", "none", "image", "true"]
    done = subprocess.run([sys.executable, *words, *run], capture_output=True, text=True)
    assert done.returncode == 125
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "wardian.cli.run" in imported
    # runpy (of -m alone) and site bring some modules of their own; these are in neither.
    assert not imported & {"argparse", "asyncio", "dataclasses", "http.client", "inspect", "json", "logging"}
    assert not imported & {"signal", "socket", "subprocess", "typing", "wardian.cli.values", "wardian.cli.fields"}


def test_a_plain_listing_needs_no_template_engine():
    code = """if True:
        import sys
        from wardian.cli import ps, table
        listing = table.Listing("", ps._HEADERS, ps._TABLE, "ID")
        facts = {"Id": "1" * 64, "Command": "sh", "Created": 1, "Image": "bb"}
        listing.render([ps.container_record(facts, False)], "", False)
        print(*(name for name in sys.modules if "gotemplate" in name or name.endswith("cli.values")))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_contexts_name_engines(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    directory = tmp_path / "contexts" / "meta" / hashlib.sha256(b"mine").hexdigest()
    directory.mkdir(parents=True)
    (directory / "meta.json").write_text('{"Name":"mine","Endpoints":{"docker":{"Host":"unix:///nonexistent/mine"}}}')
    assert "unix:///nonexistent/mine" in cli("-c", "mine", "ps").stderr
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    assert "unix:///nonexistent/mine" in cli("ps").stderr
    assert "unix:///nonexistent/host" in cli("-H", "unix:///nonexistent/host", "ps").stderr
    assert 'context "other": context not found' in cli("--context", "other", "ps").stderr
    both = cli("-H", "unix:///nonexistent/host", "-c", "mine", "ps")
    assert both.stderr == "conflicting options: cannot specify both --host and --context\n"
