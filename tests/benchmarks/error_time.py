"""The error-time plane of all ways to get a force of the preset skyrmion on 48 x 48 sites: assets/error_time.png.

    python -m tests.benchmarks.learning > speed.json
    spinviz evaluate skyrmion/NAME --data fresh.h5 --out NAME.json          (for every network)
    python -m tests.benchmarks.error_time speed.json NAME.json...

Times are of one force at 48 x 48 from the benchmark, errors epsilon of all fresh records from the evaluations; KPM's
is the one of its benchmark (random spins, 24 x 24).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from spinviz.commands.learning_plots import Series, draw

SIZE = "48"
KPM_ERROR = 0.66  # 72 coloured columns, the preset's choice: README, "Measured"
TARGET = Path(__file__).parents[2] / "assets" / "error_time.png"


def main() -> None:
    speed = json.loads(Path(sys.argv[1]).read_text().splitlines()[-1])
    kpm = 1000 / speed["exact"]["KPM 48x48"]["per_second"]
    series = [
        Series(f"KPM, 72 columns: {kpm:.0f} ms, {KPM_ERROR:.2f}", np.array([kpm]), np.array([KPM_ERROR]), "markers")
    ]
    for name in sys.argv[2:]:
        report = json.loads(Path(name).read_text())
        network = report["network"]
        time, error = 1000 / speed["learned"][network][SIZE]["per_second"], report["all"]["epsilon"]
        label = f"{network.split('/')[-1]}: {time:.0f} ms, {error:.3f}"
        series.append(Series(label, np.array([time]), np.array([error]), "markers"))
    axes = ("time of one force at 48 x 48 (ms)", "transverse error epsilon on fresh configurations")
    draw(TARGET, "skyrmion: error and time of a force", axes, series, (True, True))
    print(TARGET)


if __name__ == "__main__":
    main()
