"""Which mount points a create has, and what a plan makes of them: pure."""

from typing import Any

import pytest

from wardian.engine.options import table as options
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.table import POINTS
from wardian.engine.volumes.points import inherited, resolve_points
from wardian.errors import INVALID, NOT_FOUND, NOT_IMPLEMENTED, WardianError
from wardian.kernel.mounts import Mount
from wardian.runtime import ops
from wardian.storage import check_driver, check_options, check_volume_name
from wardian.storage.volume_options import volume_mount


def config(**values: Any) -> ContainerConfig:
    named = {"Volumes": "Volumes", "MountPoints": "MountPoints"}
    return ContainerConfig(
        {named.get(name, f"HostConfig.{name}"): value for name, value in values.items()}, "c", "/d/c"
    )


def by_place(points: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {point["Destination"]: point for point in points}


@pytest.mark.parametrize("name", ["ab", "a.b", "A_b-c.9", "0a", "a" * 255])
def test_names(name: str) -> None:
    check_volume_name(name)


@pytest.mark.parametrize("name", ["a", ".a", "..", "-a", "a/b", "a b", "a\nb", "a\0b", "ä1", "ab\n", "a" * 256, ""])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(WardianError) as caught:
        check_volume_name(name)
    assert caught.value.kind == INVALID and caught.value.message.startswith(f"create {name}: ")


def test_options() -> None:
    check_options("x", {})
    check_options("x", {"type": "nfs", "device": ":/x", "o": "addr=1.2.3.4"})
    for given, kind in (({"x": ""}, INVALID), ({"o": "a"}, INVALID), ({"size": "1m"}, NOT_IMPLEMENTED)):
        with pytest.raises(WardianError) as caught:
            check_options("x", given)
        assert caught.value.kind == kind
    check_driver("x", "local")
    with pytest.raises(WardianError) as caught:
        check_driver("x", "rexray")
    assert caught.value.kind == NOT_FOUND


def test_mounts_of_options() -> None:
    assert volume_mount("/v/_data", {}) == Mount("bind", "/v/_data")
    bound = {"type": "none", "device": "/host", "o": "bind,ro"}
    assert volume_mount("/v/_data", bound) == Mount("bind", "/host", options=("bind", "ro"))
    memory = volume_mount("/v/_data", {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"})
    assert memory == Mount("tmpfs", "tmpfs", options=("size=1m", "mode=1777"))
    nfs = volume_mount("/v/_data", {"type": "nfs", "device": ":/x", "o": "addr=1.2.3.4,nolock"})
    assert nfs == Mount("nfs", ":/x", options=("addr=1.2.3.4", "nolock"))


def test_what_is_asked_for_wins_over_what_is_declared() -> None:
    asked = config(
        Binds=["named:/a:ro", "/host:/b", "/anon"],
        Tmpfs={"/t": ""},
        Volumes={"/a": {}, "/b/": {}, "/t": {}, "/e/../f": {}},
    )
    found = by_place(resolve_points(asked, []))
    assert set(found) == {"/a", "/anon", "/f"}
    assert (found["/a"]["Name"], found["/a"]["RW"], found["/a"]["anonymous"]) == ("named", False, False)
    assert found["/anon"]["anonymous"] and found["/f"]["anonymous"]


def test_what_others_have_gives_way_to_what_is_asked_for() -> None:
    first = config(Binds=["named:/a", "/host:/b:ro"], Mounts=[{"Type": "tmpfs", "Target": "/t"}])
    points = [{**point, "Name": "named"} for point in resolve_points(first, [])]
    other = first.replaced({POINTS: points})
    found = by_place(resolve_points(config(Binds=["mine:/a"]), inherited(other, "")))
    assert set(found) == {"/a", "/b", "/t"}
    assert found["/a"]["Name"] == "mine"
    assert found["/b"]["Source"] == "/host" and not found["/b"]["RW"]
    assert all(not one["RW"] for one in inherited(other, "ro,z")) and inherited(other, "")[0]["RW"]
    assert not any(one["copy"] for one in inherited(other, ""))


def test_what_is_above_is_mounted_first() -> None:
    made = {"type": "bind", "source": "/v/deep/_data", "options": []}
    point = {
        "Type": "volume",
        "Name": "v",
        "Source": "/v/deep/_data",
        "Destination": "/a/b/c",
        "RW": True,
        "mount": made,
    }
    outer = {**point, "Destination": "/a", "RW": False, "subpath": "sub"}
    spec = options.write_spec(config(MountPoints=[point, outer], Binds=["/host:/a/b"]), "g")
    mine = [mount for mount in spec["mounts"] if mount["destination"].startswith("/a")]
    assert [mount["destination"] for mount in mine] == ["/a", "/a/b", "/a/b/c"]
    assert mine[0]["subpath"] == "sub" and "ro" in mine[0]["options"] and "subpath" not in mine[2]


def test_a_subpath_and_a_file_system_in_the_plan() -> None:
    from wardian.runtime.plan_mounts import _bind, _outside, sort_options

    point: Any = {"destination": "/x", "type": "bind", "source": "/v", "options": ["rbind"], "subpath": "a/b"}
    made, _ = _bind(point, sort_options(point["options"]), "m")
    assert made[0].op == ops.Open("m's source", "/v", ops.O_DIRECTORY)
    assert made[1].op == ops.Subtree("m", "m's source", "a/b", 1)
    point = {
        "destination": "/x",
        "type": "nfs",
        "source": ":/e",
        "options": ["addr=1.2.3.4", "nolock", "ro"],
        "outside": True,
    }
    made, attached = _outside(point, sort_options(point["options"]), "m")
    assert [type(step.op).__name__ for step in made] == ["FsOpen", "FsString", "FsString", "FsFlag", "FsMount"]
    assert isinstance(attached[0].op, ops.Attach) and {step.phase for step in made} == {0}
