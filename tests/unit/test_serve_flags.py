"""`wardian serve` passes its flags on: each is one that the engine's own command line has, and none is left out."""

import subprocess
import sys

from wardian.cli.serve import FLAGS


def test_serve_has_the_engines_options() -> None:
    command = [sys.executable, "-m", "wardian.server", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    engine = {word.strip(",[]").partition("=")[0] for word in shown.split() if word.strip("[").startswith("--")}
    assert engine - {"--help"} == {f"--{flag.name}" for flag in FLAGS}
