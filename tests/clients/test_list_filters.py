"""ps: every filter, the columns, sizes, the last ones; inspect --size and --type. By docker's command line and ours."""

import json

import pytest

from clients_shared import IMAGE


def names(docker, *words: str) -> set[str]:
    return set(docker.out("ps", "-a", "--format", "{{.Names}}", *words).split())


@pytest.fixture
def some(docker):
    docker("network", "create", "--subnet", "10.213.7.0/24", "filtered")
    docker("volume", "create", "kept")
    docker(
        "run",
        "-d",
        "--name",
        "web",
        "-l",
        "tier=front",
        "-p",
        "127.0.0.1::80",
        "--network",
        "filtered",
        IMAGE,
        "sleep",
        "1000",
    )
    docker(
        "run",
        "-d",
        "--name",
        "db",
        "-l",
        "tier=back",
        "-l",
        "x",
        "-v",
        "kept:/data",
        "--expose",
        "5432/udp",
        IMAGE,
        "sleep",
        "1000",
    )
    docker("create", "--name", "new", IMAGE, "true")
    docker("run", "--name", "failed", IMAGE, "sh", "-c", "echo written >/f; exit 3", status=3)
    docker("pause", "db")
    yield docker
    docker("rm", "-fv", *docker.out("ps", "-aq").split())
    docker("network", "rm", "filtered")
    docker("volume", "rm", "kept")


def test_filters(some):
    everything = {"web", "db", "new", "failed"}
    whole = some.out("inspect", "-f", "{{.Id}}", "web")
    network = some.out("network", "inspect", "-f", "{{.Id}}", "filtered")
    image = some.out("image", "inspect", "-f", "{{.Id}}", IMAGE)
    for words, found in (
        (("id=" + whole[:9],), {"web"}),
        (("name=w.b",), {"web"}),
        (("name=^/db$",), {"db"}),
        (("name=(",), set()),
        (("label=tier",), {"web", "db"}),
        (("label=tier=back", "label=x"), {"db"}),
        (("status=paused",), {"db"}),
        (("status=created", "status=exited"), {"new", "failed"}),
        (("status=restarting",), set()),
        (("exited=3",), {"failed"}),
        (("exited=0",), set()),
        ((f"ancestor={IMAGE}",), everything),
        ((f"ancestor={image[7:19]}",), everything),
        (("ancestor=nobody/has",), set()),
        (("before=new",), {"web", "db"}),
        (("since=new",), {"failed"}),
        (("since=web", "before=failed"), {"db", "new"}),
        (("volume=kept",), {"db"}),
        (("volume=/data",), {"db"}),
        (("volume=/dat",), set()),
        (("network=filtered",), {"web"}),
        ((f"network={network[:10]}",), {"web"}),
        (("network=filt",), set()),
        (("publish=80",), {"web"}),
        (("publish=79-81/tcp",), {"web"}),
        (("publish=80/udp",), set()),
        (("expose=5000-6000/udp",), {"db"}),
        (("health=none",), everything),
        (("health=healthy",), set()),
        (("is-task=true",), set()),
        (("is-task=false",), everything),
        (("isolation=default",), everything),
        (("name=web", "status=created"), set()),
    ):
        given = [part for word in words for part in ("--filter", word)]
        assert names(some, *given) == found, words
    assert some.out("ps", "--format", "{{.Names}}", "--filter", "status=created") == "new"  # not only what runs
    for word, said in (
        ("bogus=x", "invalid filter 'bogus'"),
        ("status=b", "invalid filter 'status=b': invalid value for state (b): must be one of created, running, paused"),
        ("exited=b", "invalid filter 'exited=b': strconv.Atoi: parsing \"b\": invalid syntax"),
        ("health=b", "invalid value for health (b): must be one of none, starting, healthy, unhealthy"),
        ("is-task=b", "invalid filter 'is-task=[b]'"),
        ("publish=b", 'error while looking up for publish b: strconv.ParseUint: parsing "b": invalid syntax'),
        ("expose=99999", "value out of range"),
        ("publish=80-70", "Invalid range specified for the Port: 80-70"),
        ("before=nobody", "No such container: nobody"),
    ):
        assert said in some("ps", "--filter", word, status=1).stderr.decode(), word


def test_columns_and_the_last_ones(some):
    assert some.out("ps", "-l", "--format", "{{.Names}}") == "failed"
    assert some.out("ps", "-n", "2", "--format", "{{.Names}}").split() == ["failed", "new"]
    assert some.out("ps", "--format", "{{.Names}}").split() == ["db", "web"]
    rows = [json.loads(line) for line in some.out("ps", "-a", "--size", "--format", "json").splitlines()]
    by_name = {row["Names"]: row for row in rows}
    assert by_name["failed"]["Size"].startswith("8B (virtual ")
    assert by_name["db"]["Mounts"] == "kept" and by_name["db"]["LocalVolumes"] == "1"
    assert by_name["db"]["Status"].endswith("(Paused)") and by_name["db"]["State"] == "paused"
    assert by_name["web"]["Networks"] == "filtered"
    assert "SIZE" in some.out("ps", "-s").splitlines()[0]


def test_a_list_is_as_new_as_its_containers(some, engine):
    """Lines are kept between lists: what they are made of is not."""
    before = some.out("ps", "-a", "--format", "{{.Names}} {{.State}} {{.Networks}} {{.Ports}}")
    assert before == some.out("ps", "-a", "--format", "{{.Names}} {{.State}} {{.Networks}} {{.Ports}}")
    engine.client.call("POST", "/containers/web/rename", query={"name": "front"})
    some("network", "connect", "bridge", "front")
    some("unpause", "db")
    some("start", "new", "failed")
    shown = some.out("ps", "-a", "--format", "{{.Names}} {{.State}} {{.Networks}}").splitlines()
    either = {"front running bridge,filtered", "front running filtered,bridge"}  # docker's command line shuffles them
    assert either & set(shown) and "db running bridge" in shown
    some("network", "disconnect", "filtered", "front")
    assert "front running bridge\n" in some.out("ps", "-a", "--format", "{{.Names}} {{.State}} {{.Networks}}") + "\n"
    engine.client.call("POST", "/containers/front/rename", query={"name": "web"})


def test_inspect_with_sizes_and_types(some):
    told = json.loads(some.out("inspect", "--size", "failed"))[0]
    assert told["SizeRw"] == 8 and told["SizeRootFs"] > told["SizeRw"]
    assert "SizeRw" not in json.loads(some.out("inspect", "failed"))[0]
    assert json.loads(some.out("inspect", "--type", "network", "filtered"))[0]["Name"] == "filtered"
    assert json.loads(some.out("inspect", "--type", "volume", "kept"))[0]["Name"] == "kept"
    assert json.loads(some.out("inspect", "--type", "image", IMAGE))[0]["RepoTags"] == [IMAGE]
    assert b"No such container: filtered" in some("inspect", "--type", "container", "filtered", status=1).stderr
    assert b"unknown type" in some("inspect", "--type", "bogus", "web", status=1).stderr
