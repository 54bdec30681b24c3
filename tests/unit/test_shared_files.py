"""What a wheel has beside the package, made where nothing is installed but Python (a build is isolated)."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_MAKE = """
import sys
sys.path[:0] = [{root!r}]
from hatch_build import write_shared
print(*sorted(write_shared({root!r}, {directory!r}).values()), sep="\\n")
"""
# hatchling itself is there in a build; here only its hook's base class is asked for
_HATCHLING = "class BuildHookInterface: pass\n"


def test_pages_and_completions_are_made_by_python_alone(tmp_path: Path) -> None:
    package = tmp_path / "there" / "hatchling" / "builders" / "hooks" / "plugin"
    package.mkdir(parents=True)
    (package / "interface.py").write_text(_HATCHLING)
    made = tmp_path / "made"
    made.mkdir()
    code = f"import sys; sys.path.append({str(tmp_path / 'there')!r})\n"
    code += _MAKE.format(root=str(ROOT), directory=str(made))
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    places = done.stdout.split()
    assert "share/bash-completion/completions/wardian" in places
    assert "share/man/man1/wardian-container-run.1" in places
    assert len(places) == len(os.listdir(made)) > 70
