"""CVE-2019-16884: an image whose VOLUME is /proc, so that labels and limits are written to its files. Such a container
is not started."""

from typing import Any

import pytest

from engines import TestEngine
from images_made import MadeImage, busybox_layer, docker_archive


@pytest.mark.parametrize("place", ["/proc", "/proc/self", "/proc/../proc/sys", "//proc/1"])
def test_an_image_with_a_volume_over_proc(engine: TestEngine, place: str) -> None:
    image = MadeImage([busybox_layer()], {"Cmd": ["true"], "Volumes": {place: {}}})
    with engine.client.stream("POST", "/images/load", docker_archive({"evil:proc": image}), {"quiet": True}) as stream:
        list(stream.objects())
    made: Any = engine.client.call("POST", "/containers/create", {"Image": "evil:proc"})
    refused = engine.client.request("POST", f"/containers/{made['Id']}/start")
    assert refused.status == 400 and "cannot be mounted" in refused.error().message
    engine.client.request("DELETE", f"/containers/{made['Id']}", query={"v": True})
