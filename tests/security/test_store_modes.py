"""Nobody but root walks into the store: a layer's setuid program is none of the host's (CVE-2021-41091)."""

import os
import stat
from pathlib import Path

from images_made import Entry, layer_tar
from wardian.home import make_home
from wardian.images import ImageStore
from wardian.storage import LayerStore, Snapshots, Trash


def test_directories_of_the_store_are_closed_to_other_users(tmp_path: Path) -> None:
    home = make_home(str(tmp_path / "data"), str(tmp_path / "run"))
    before = os.umask(0)
    try:
        trash = Trash(home.trash)
        layers = LayerStore(home, trash)
        images = ImageStore(home, layers)
        image = images.import_image([layer_tar({"su": Entry(b"", 0o4755)})], "x")
        root = Snapshots(home, layers, trash).prepare("c" * 64, image.layers)
    finally:
        os.umask(before)
    images.close()
    trash.close()
    for path in (home.layers, home.staging, home.trash, os.path.dirname(root.upper)):
        assert stat.S_IMODE(os.stat(path).st_mode) & 0o007 == 0, path
    assert os.stat(os.path.join(layers.path(image.layers[0]), "su")).st_mode & stat.S_ISUID
