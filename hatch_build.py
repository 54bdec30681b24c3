"""Compiles launcher/*.c into the package as one static executable (musl when there, else the default libc), and writes
the manual pages and the shells' completion from the command line's tables into the wheel (share/ below its prefix).

A build hook of hatchling, so `pip install .` needs nothing else; `python hatch_build.py` does it alone, for `make`.
"""

import glob
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OUT = "src/wardian/_bin/wardian-launcher"


def compile_launcher(root: str) -> None:
    """Builds OUT, under another name first: the old one may be running (ETXTBSY), or a second build be under way."""
    os.makedirs(os.path.join(root, os.path.dirname(OUT)), exist_ok=True)
    compiler = shlex.split(os.environ.get("CC") or ("musl-gcc" if shutil.which("musl-gcc") else "cc"))
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-D_GNU_SOURCE"]
    if "musl" in compiler[0]:  # musl-tools ships no kernel headers: take the machine's, after musl's own
        triplet = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
        flags += ["-idirafter", "/usr/include", "-idirafter", f"/usr/include/{triplet}"]
    sources = sorted(glob.glob("launcher/*.c", root_dir=root))
    staging = f"{OUT}.{os.getpid()}"
    subprocess.run([*compiler, *flags, "-o", staging, *sources], cwd=root, check=True)
    os.rename(os.path.join(root, staging), os.path.join(root, OUT))


_COMPLETIONS = {
    "bash": "share/bash-completion/completions/wardian",
    "fish": "share/fish/vendor_completions.d/wardian.fish",
    "zsh": "share/zsh/site-functions/_wardian",
}


def write_shared(root: str, directory: str) -> dict[str, str]:
    """Writes what a wheel has beside the package; file → its place. `wardian.cli` needs nothing but Python."""
    sys.path.insert(0, os.path.join(root, "src"))
    from wardian.cli.completion import SHELLS
    from wardian.cli.man import pages

    texts = {f"share/man/man1/{name}": text for name, text in pages()}
    texts |= {place: SHELLS[shell] for shell, place in _COMPLETIONS.items()}
    placed = {}
    for place, text in texts.items():
        path = os.path.join(directory, place.replace("/", "!"))
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        placed[path] = place
    return placed


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        compile_launcher(self.root)
        tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{tag}"
        build_data["pure_python"] = False
        build_data["artifacts"].append("/" + OUT)
        if version != "editable":
            self._shared = tempfile.TemporaryDirectory()
            build_data["shared_data"] |= write_shared(self.root, self._shared.name)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self._shared.cleanup()


if __name__ == "__main__":
    compile_launcher(os.path.dirname(os.path.abspath(__file__)))
