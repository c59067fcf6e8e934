"""On a bare machine, with torch and numpy alone, the engine still makes forces and steps."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys

class Absent:
    names = {"safetensors", "h5py", "tqdm", "numba", "scipy", "panel", "param", "bokeh"}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
import engine
print(engine.preset("skyrmion", size=4, force="ed").advance(1).state.step)
"""


def test_forces_and_steps_need_torch_and_numpy_alone() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1", done.stderr
