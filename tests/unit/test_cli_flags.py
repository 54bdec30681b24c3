"""The grammar of the command line: pflag's rules and words, and the values of flags."""

import pytest

from wardian.cli import endpoints, fields, published, values
from wardian.cli.pflag import Flag, FlagError, HelpAsked, parse
from wardian.cli.run_flags import RUN_FLAGS

FLAGS = (
    Flag("env", "e", "list", "", ""),
    Flag("interactive", "i", "bool", "", ""),
    Flag("memory", "m", "bytes", "", ""),
    Flag("rm", "", "bool", "", ""),
    Flag("shares", "c", "int", "", ""),
    Flag("tty", "t", "bool", "", ""),
)


def said(flags, *arguments):
    with pytest.raises(FlagError) as caught:
        parse(flags, arguments)
    return str(caught.value)


def test_what_docker_takes():
    parsed = parse(
        FLAGS, ["-itc", "0x10", "--rm=false", "-e=A=1", "-eB=2", "--env", "C", "--env=D=", "image", "-x"], False
    )
    assert parsed["interactive"] and parsed["tty"] and not parsed["rm"]
    assert parsed["shares"] == 16
    assert parsed["env"] == ["A=1", "B=2", "C", "D="]
    assert parsed.args == ["image", "-x"]
    assert parsed.given == {"interactive", "tty", "shares", "rm", "env"}


def test_interspersed_or_not():
    assert parse(FLAGS, ["a", "-t", "b"]).args == ["a", "b"]
    assert parse(FLAGS, ["a", "-t", "b"], False).args == ["a", "-t", "b"]
    assert parse(FLAGS, ["image", "--", "y"], False).args == ["image", "--", "y"]
    assert parse(FLAGS, ["--", "-t", "y"], False).args == ["-t", "y"]
    assert parse(FLAGS, ["-", "-i"]).args == ["-"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["--foo=1"], "unknown flag: --foo"),
        (["-xyz"], "unknown shorthand flag: 'x' in -xyz"),
        (["-ixyz"], "unknown shorthand flag: 'x' in -xyz"),
        (["--env"], "flag needs an argument: --env"),
        (["-ite"], "flag needs an argument: 'e' in -ite"),
        (["--=x"], "bad flag syntax: --=x"),
        (["---rm"], "bad flag syntax: ---rm"),
        (["--rm=x"], 'invalid argument "x" for "--rm" flag: strconv.ParseBool: parsing "x": invalid syntax'),
        (["-m", "5x"], 'invalid argument "5x" for "-m, --memory" flag: invalid suffix: \'x\''),
        (["-c", "x"], 'invalid argument "x" for "-c, --shares" flag: strconv.ParseInt: parsing "x": invalid syntax'),
    ],
)
def test_words_for_what_is_wrong(arguments, text):
    assert said(FLAGS, *arguments) == text


def test_help_is_asked():
    for words in (["--help"], ["-h"]):
        with pytest.raises(HelpAsked):
            parse(FLAGS, words)
    assert parse(RUN_FLAGS, ["-h", "name", "image"])["hostname"] == "name"


@pytest.mark.parametrize(
    ("text", "size"),
    [("64m", 64 << 20), ("1.5g", 3 << 29), ("512", 512), ("10b", 10), ("1GiB", 1 << 30), ("2KB", 2048), ("4 k", 4096)],
)
def test_sizes(text, size):
    assert values.read_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "5x", "-1", "1.2.3m", "5mmm", "1_0"])
def test_sizes_that_are_none(text):
    with pytest.raises(ValueError, match=r"."):
        values.read_bytes(text)


def test_numbers_of_processors():
    assert values.read_nano_cpus("1.5") == 1_500_000_000
    assert values.read_nano_cpus(".5") == 500_000_000
    assert values.read_nano_cpus("1/4") == 250_000_000
    for text in ("x", "", "1..2", "1/0"):
        with pytest.raises(ValueError, match=f"failed to parse {text} as a rational number"):
            values.read_nano_cpus(text)
    with pytest.raises(ValueError, match="value is too precise"):
        values.read_nano_cpus("0.0000000001")


def test_durations():
    assert values.read_duration("1m30s") == 90_000_000_000
    assert values.read_duration("1.5h") == 5_400_000_000_000
    assert values.read_duration("-2ms") == -2_000_000
    assert values.read_duration("0") == 0
    for text, words in (
        ("5", "missing unit"),
        ("5y", "unknown unit"),
        ("", "invalid duration"),
        ("s", "invalid duration"),
    ):
        with pytest.raises(ValueError, match=words):
            values.read_duration(text)


def test_ulimits():
    assert values.read_ulimit("nofile=10:20") == {"Name": "nofile", "Hard": 20, "Soft": 10}
    assert values.read_ulimit("core=-1") == {"Name": "core", "Hard": -1, "Soft": -1}
    for text in ("x", "nofile", "foo=1", "nofile=2:1", "nofile=1:2:3", "nofile=a"):
        with pytest.raises(ValueError, match=r"limit|parsing"):
            values.read_ulimit(text)


def test_bare_variable_takes_ours(monkeypatch):
    monkeypatch.setenv("OURS", "here")
    monkeypatch.delenv("NOT_OURS", raising=False)
    assert values.read_environment("OURS") == "OURS=here"
    assert values.read_environment("NOT_OURS") == "NOT_OURS"
    assert values.read_environment("OURS=") == "OURS="


def test_mounts():
    assert fields.read_mount("type=bind,src=/tmp,dst=/x,readonly") == {
        "Type": "bind", "Source": "/tmp", "Target": "/x", "ReadOnly": True,
    }  # fmt: skip
    assert fields.read_mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777")["TmpfsOptions"] == {
        "SizeBytes": 1 << 20, "Mode": 0o1777,
    }  # fmt: skip
    assert fields.read_mount('dst=/v,"volume-opt=o=a,b"')["VolumeOptions"]["DriverConfig"] == {"Options": {"o": "a,b"}}
    for text in ("x", "type=bind", "dst=/x,foo=1", "type=bind,dst=/x,tmpfs-size=1", "dst=/x,readonly=maybe"):
        with pytest.raises(ValueError, match=r"field|target|unexpected|mix|invalid"):
            fields.read_mount(text)


def test_published_ports():
    read = published.read_published
    assert read("80") == [("80/tcp", {"HostIp": "", "HostPort": ""})]
    assert read("127.0.0.1:8081:80/udp") == [("80/udp", {"HostIp": "127.0.0.1", "HostPort": "8081"})]
    assert read("[::1]:1:2") == [("2/tcp", {"HostIp": "::1", "HostPort": "1"})]
    assert [port for port, _ in read("8000-8001:80-81")] == ["80/tcp", "81/tcp"]
    assert read("8000-8009:80") == [("80/tcp", {"HostIp": "", "HostPort": "8000-8009"})]
    assert read("published=8080,target=80") == [("80/tcp", {"HostIp": "", "HostPort": "8080"})]
    for text in ("x", "80:", "1-2:3-5", "70000", "1:2/foo", "a:1:2"):
        with pytest.raises(ValueError, match=r"invalid|no port"):
            read(text)


def test_networks():
    assert parse(RUN_FLAGS, ["--network", "n1"])["network"] == [{"Target": "n1"}]
    assert endpoints.read_network("name=n1,alias=a,alias=b,ip=10.0.0.2") == {
        "Target": "n1", "Aliases": ["a", "b"], "IPv4Address": "10.0.0.2",
    }  # fmt: skip


def test_every_flag_has_a_reader():
    from wardian.cli.pflag import _READERS

    for flag in RUN_FLAGS:
        assert flag.kind in _READERS or flag.kind in values.READERS, flag.name


def test_what_is_deprecated_works_and_is_told(capsys):
    parsed = parse([Flag("time", "", "int", "", "", deprecated="use --timeout instead")], ["--time", "3"])
    assert parsed["time"] == 3
    assert capsys.readouterr().out == "Flag --time has been deprecated, use --timeout instead\n"


def test_parameters_of_namespaces():
    assert values.read_sysctl("net.ipv4.ip_forward=1") == "net.ipv4.ip_forward=1"
    for text in ("kernel.panic=1", "net.ipv4.ip_forward"):
        with pytest.raises(ValueError, match="is not allowed"):
            values.read_sysctl(text)
