"""image prune, rmi, images -a: what a container needs stays, parents of commits hide and go with their last child."""

from clients_shared import IMAGE
from images_made import MadeImage, docker_archive, layer_tar


def made(text: str, **run_config) -> MadeImage:
    return MadeImage([layer_tar({"text": text.encode() * 1000})], {"Cmd": ["/text"], **run_config})


def load(docker, name: str, image: MadeImage) -> str:
    docker("load", stdin=docker_archive({name: image}))
    return image.id


def images(docker, *words: str) -> set[str]:
    return set(docker.out("images", "-q", "--no-trunc", *words).split())


def test_dangling_ones_alone(docker, tmp_path):
    first = load(docker, "pruned/app:1", made(f"first {tmp_path.name}"))
    second = load(docker, "pruned/app:1", made(f"second {tmp_path.name}"))
    assert images(docker, "-f", "dangling=true") == {first}
    said = docker.out("image", "prune", "-f").splitlines()
    layer = docker.out("image", "inspect", "-f", "{{index .RootFS.Layers 0}}", second)
    assert said[0] == "Deleted Images:"
    assert f"deleted: {first}" in said
    assert f"deleted: {layer}" not in said
    size = len(f"first {tmp_path.name}" * 1000)
    assert said[-1] == f"Total reclaimed space: {f'{size / 1000:.4g}kB'}"
    assert images(docker, "pruned/app") == {second}
    assert docker.out("image", "prune", "-f").splitlines() == ["Total reclaimed space: 0B"]
    docker("rmi", "pruned/app:1")


def test_all_but_those_that_containers_need(docker, tmp_path):
    load(docker, "pruned/used:1", made("used"))
    docker("create", "--name", "needs-it", "pruned/used:1")
    unused = load(docker, "pruned/unused:1", made("unused", Labels={"prune": "yes"}))
    docker("tag", "pruned/unused:1", "pruned/unused:2")
    docker("image", "prune", "-af", "--filter", "label=prune=no")
    assert images(docker, "pruned/*") >= {unused}
    docker("image", "prune", "-af", "--filter", "until=2001-01-01", "--filter", "label=prune")
    assert images(docker, "pruned/unused") == {unused}
    said = docker.out("image", "prune", "-af", "--filter", "label=prune=yes").splitlines()
    assert {"untagged: pruned/unused:1", "untagged: pruned/unused:2", f"deleted: {unused}"} <= set(said)
    docker("image", "prune", "-af", "--filter", "label!=nothing", "--filter", "label=used")
    assert docker.out("images", "-q", "pruned/used:1")
    docker("rm", "needs-it")
    done = docker("image", "prune", "-f", "--filter", "unknown=1", status=1)
    assert b"invalid filter 'unknown'" in done.stderr


def test_asked_first(docker):
    said = docker.out("image", "prune", stdin=b"n\n")
    assert "WARNING! This will remove all dangling images." in said
    assert "Deleted" not in said


def test_what_a_commit_was_made_of(docker, tmp_path):
    docker("run", "--name", "parent-maker", IMAGE, "sh", "-c", f"echo {tmp_path.name} > /parent")
    parent = docker.out("commit", "parent-maker")
    docker("rm", "parent-maker")
    docker("run", "--name", "child-maker", parent, "sh", "-c", "echo child > /child")
    child = docker.out("commit", "child-maker", "pruned/child")
    docker("rm", "child-maker")
    assert docker.out("image", "inspect", "-f", "{{.Parent}}", child) == parent
    assert parent not in images(docker)
    assert parent in images(docker, "-a")
    steps = docker.out("history", "--no-trunc", "--format", "{{.ID}} {{.CreatedBy}}", child).splitlines()
    made_by = [step.partition(" ")[2] for step in steps[:2]]
    assert made_by == ["sh -c echo child > /child", f"sh -c echo {tmp_path.name} > /parent"]
    done = docker("rmi", parent, status=1)
    said = f"conflict: unable to delete {parent[7:19]} (cannot be forced) - image has dependent child images"
    assert said.encode() in done.stderr
    docker("image", "prune", "-f")
    assert parent in images(docker, "-a")
    gone = docker.out("rmi", "pruned/child").splitlines()
    assert gone[:3] == ["Untagged: pruned/child:latest", f"Deleted: {child}", f"Deleted: {parent}"]
    assert docker.out("image", "inspect", "-f", "{{.Id}}", IMAGE)


def test_no_prune_keeps_parents(docker, tmp_path):
    docker("create", "--name", "maker", IMAGE)
    parent = docker.out("commit", "-m", tmp_path.name, "maker")
    docker("rm", "maker")
    docker("create", "--name", "maker", parent)
    docker("commit", "maker", "pruned/child")
    docker("rm", "maker")
    docker("rmi", "--no-prune", "pruned/child")
    assert parent in images(docker)
    docker("rmi", parent)


def test_the_list_counts_containers_and_shared_bytes(engine, docker):
    docker("create", "--name", "counted", IMAGE)
    docker("tag", IMAGE, "counted/again")
    (one,) = engine.client.call(
        "GET", "/images/json", query={"filters": {"reference": ["counted/again"]}, "shared-size": True}
    )
    assert one["Containers"] == 1
    assert one["SharedSize"] == 0
    docker("rm", "counted")
    docker("rmi", "counted/again")
