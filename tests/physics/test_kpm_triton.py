"""The GPU kernels in a process where Triton interprets them; see interpreted_kernels.py for what is asked of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


def test_the_contract_holds_in_the_interpreter() -> None:
    arguments = ["-m", "pytest", "-p", "no:cacheprovider", str(Path(__file__).with_name("interpreted_kernels.py"))]
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "5 passed" in done.stdout
