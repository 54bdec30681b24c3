"""Which image of an index runs here."""

import pytest

from wardian.errors import INVALID, NOT_FOUND, WardianError
from wardian.images.platforms import Platform, choose, host_platform, matches, parse_platform


def entry(architecture: str, variant: str = "", os: str = "linux") -> dict[str, object]:
    platform = {"os": os, "architecture": architecture} | ({"variant": variant} if variant else {})
    return {"digest": f"{os}/{architecture}{variant}", "platform": platform}


INDEX = [
    entry("unknown", os="unknown"),
    entry("arm", "v5"),
    entry("arm", "v7"),
    entry("arm64", "v8"),
    entry("amd64", "v3"),
    entry("amd64"),
    entry("amd64", os="windows"),
]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/amd64/v2", "linux/amd64"),
        ("linux/amd64/v4", "linux/amd64v3"),
        ("amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/arm64", "linux/arm64v8"),
        ("linux/arm64/v8", "linux/arm64v8"),
        ("linux/aarch64", "linux/arm64v8"),
        ("linux/arm", "linux/armv7"),
        ("linux/arm/v6", "linux/armv5"),
        ("linux/arm/8", "linux/armv7"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_the_nearest_variant_that_runs(wanted: str, chosen: str) -> None:
    assert choose(INDEX, parse_platform(wanted))["digest"] == chosen


def test_no_match_names_what_there_is() -> None:
    with pytest.raises(WardianError, match="no matching manifest for linux/s390x in the manifest list") as error:
        choose(INDEX, parse_platform("linux/s390x"))
    assert error.value.kind == NOT_FOUND
    assert "linux/arm64" in error.value.hint
    assert "unknown" not in error.value.hint


def test_an_only_entry_without_a_platform_is_taken() -> None:
    assert choose([{"digest": "x"}], host_platform())["digest"] == "x"
    with pytest.raises(WardianError):
        choose([{"digest": "x"}, {"digest": "y"}], host_platform())


@pytest.mark.parametrize("text", ["", "linux/", "a/b/c/d", "linux/../x", "linux/amd 64"])
def test_no_platform(text: str) -> None:
    with pytest.raises(WardianError, match="is an invalid platform") as error:
        parse_platform(text)
    assert error.value.kind == INVALID


def test_this_machine_runs_its_own() -> None:
    assert matches(host_platform(), host_platform())
    assert parse_platform("linux").architecture == host_platform().architecture
    assert str(Platform("linux", "arm", "v7")) == "linux/arm/v7"
