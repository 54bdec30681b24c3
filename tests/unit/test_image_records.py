"""The rows of images, when two change them at once."""

import json
import os
from pathlib import Path

import pytest

from wardian.errors import NOT_FOUND, WardianError
from wardian.home import make_home
from wardian.images.content import ContentStore
from wardian.images.records import ImageRecords
from wardian.images.reference import parse_reference


def test_a_name_for_an_image_that_went_meanwhile(tmp_path: Path) -> None:
    home = make_home(str(tmp_path / "data"), str(tmp_path / "run"))
    os.makedirs(home.data_root)
    records = ImageRecords(home, ContentStore(home))
    try:
        config = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode()
        first, second = parse_reference("app:1"), parse_reference("app:2")
        image = records.add(config, 0, b"", [first], [])
        assert records.tag(image.id, second).repo_tags == ("app:1", "app:2")
        records.forget([first, second], image.id)
        for write in (records.tag, records.pushed):
            with pytest.raises(WardianError) as caught:
                write(image.id, first)
            assert caught.value.kind == NOT_FOUND
        assert not records.snapshot.images and not records.snapshot.tags
    finally:
        records.close()
