"""Pictures show the spins where they are; movies play, also when their writer died."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from engine.frame import Frame
from engine.lattice import Lattice, random_sites, square, triangular
from spinviz.drawing.raster import TexturePicture
from spinviz.movie import MovieWriter
from spinviz.theme import spin_colours
from tests.tolerances import MOVIE_COLOUR

ROOT = Path(__file__).resolve().parents[2]

ENDLESS_WRITER = """
import sys, numpy as np
from engine.frame import Frame
from engine.lattice import triangular
from spinviz.movie import MovieWriter
lattice = triangular(8, shells=1)
writer = MovieWriter(sys.argv[1], frames_per_second=10, height=160)
generator = np.random.default_rng(0)
for step in range(100000):
    spin = generator.normal(size=(1, 64, 3))
    spin /= np.linalg.norm(spin, axis=-1, keepdims=True)
    writer.write(Frame(step, np.zeros(1), spin.astype(np.float32), lattice))
    print(step, flush=True)
"""


def turning(lattice: Lattice, step: int, replicas: int = 1) -> Frame:
    """All spins in the plane, turning together; the second replica points up."""
    angle = 0.2 * step
    spin = np.tile(np.array([np.cos(angle), np.sin(angle), 0], np.float32), (replicas, lattice.sites, 1))
    spin[1:] = [0, 0, 1]
    observables = {"topological_charge": np.full(replicas, -1e-9)}
    return Frame(step, np.full(replicas, 0.1 * step), spin, lattice, observables)


def frames_of(path: Path) -> list[np.ndarray]:
    """What plays, to the end or to where the file breaks off."""
    images = []
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(video=0):
                images.append(frame.to_ndarray(format="rgb24"))
        except av.error.InvalidDataError:
            pass
    return images


@pytest.mark.parametrize("lattice", [square(6, 4), triangular(6, 5), triangular(7, 4)], ids=["square", "odd", "even"])
def test_every_pixel_shows_its_nearest_site(lattice: Lattice) -> None:
    picture = TexturePicture(lattice, height=300, arrows=False)
    spin = np.random.default_rng(0).normal(size=(1, lattice.sites, 3))
    spin = (spin / np.linalg.norm(spin, axis=-1, keepdims=True)).astype(np.float32)
    image = picture.image(Frame(0, np.zeros(1), spin, lattice))
    colours = spin_colours(spin[0])
    row_height = lattice.primitive_vectors[1, 1]
    images = np.array([[i, j] for i in (-2, -1, 0, 1, 2) for j in (-1, 0, 1)]) @ lattice.periods
    left = (picture.width - round(lattice.shape[0] * picture.scale)) // 2
    bottom = round(lattice.shape[1] * row_height * picture.scale)
    checked = 0
    for column, row in np.random.default_rng(1).integers(0, 1000, size=(400, 2)):
        column, row = left + column % round(lattice.shape[0] * picture.scale), row % bottom
        x = (column - left + 0.5) / picture.scale - 0.5
        y = (bottom - row - 0.5) / picture.scale - row_height / 2
        distance = np.linalg.norm(lattice.positions[:, None] + images - [x, y], axis=-1).min(axis=1)
        first, second = np.sort(distance)[:2]
        if second - first > 2 / picture.scale:  # not on a border
            assert (image[row, column] == colours[distance.argmin()]).all()
            checked += 1
    assert checked > 200


@pytest.mark.parametrize("lattice", [square(5), triangular(8, 5), random_sites(30), triangular(3, 40)],
                         ids=["square", "triangular", "random", "tall"])  # fmt: skip
def test_every_site_is_seen_and_sizes_are_even(lattice: Lattice) -> None:
    spin = np.zeros((1, lattice.sites, 3), np.float32)
    spin[..., 2] = 1
    picture = TexturePicture(lattice, height=301, arrows=False)
    blank = picture.image(Frame(0, np.zeros(1), spin, lattice))
    assert blank.shape == (picture.height, picture.width, 3) and picture.height % 2 == picture.width % 2 == 0
    for site in (0, lattice.sites // 2, lattice.sites - 1):
        other = spin.copy()
        other[0, site] = [0, 0, -1]
        changed = (picture.image(Frame(0, np.zeros(1), other, lattice)) != blank).any(axis=-1)
        assert changed.any()


def test_arrows_point_along_the_spins() -> None:
    lattice = square(3)
    picture = TexturePicture(lattice, height=400)
    plain = TexturePicture(lattice, height=400, arrows=False)
    frame = turning(lattice, 0)  # along +x: heads on the right
    ink = (picture.image(frame) != plain.image(frame)).any(axis=-1)
    cell = round(picture.scale)
    patch = ink[:cell, :cell]
    rows, columns = np.nonzero(patch)
    assert np.ptp(columns) > 2 * np.ptp(rows)  # it lies along x
    assert patch[:, cell // 2 :].sum() > 1.3 * patch[:, : cell // 2].sum()


def test_text_is_burnt_in() -> None:
    lattice = square(4)
    images = [TexturePicture(lattice, 300, caption).image(turning(lattice, 0)) for caption in ("", "T = 0.01")]
    assert (images[0] != images[1]).any()
    later = Frame(7, np.ones(1), turning(lattice, 0).spin, lattice)
    assert (TexturePicture(lattice, 300).image(later) != images[0]).any()


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_movie_plays_with_the_right_colours(tmp_path: Path, suffix: str) -> None:
    lattice, path = triangular(6, shells=1), tmp_path / f"run{suffix}"
    with MovieWriter(path, frames_per_second=10, height=200) as writer:
        for step in range(12):
            writer.write(turning(lattice, step, replicas=2))
    images = frames_of(path)
    assert len(images) == len(writer) == 12
    assert images[0].shape[0] % 2 == images[0].shape[1] % 2 == 0
    for step in (0, 5, 11):
        middle = np.median(images[step][20:160, 100:-100].reshape(-1, 3), axis=0)
        np.testing.assert_allclose(middle, spin_colours(turning(lattice, step).spin[0, 0]), atol=MOVIE_COLOUR)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 10
        assert container.duration == pytest.approx(1.2e6, rel=0.1)
        if suffix == ".mp4":
            assert container.streams.video[0].codec_context.name == "h264"
            assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_killed_movie_is_readable(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run{suffix}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS_WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    for _ in range(35):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(frames_of(path)) >= 20  # at most the last second (ten frames) and what the encoder held are lost


def test_replica_and_reuse(tmp_path: Path) -> None:
    lattice = square(4)
    with MovieWriter(tmp_path / "run.gif", height=120, replica=1) as writer:
        writer.write(turning(lattice, 0, replicas=2))
        with pytest.raises(ValueError, match="replica 1"):
            writer.write(turning(lattice, 0))
        with pytest.raises(ValueError, match="16 sites"):
            writer.write(turning(square(5), 1, replicas=2))
    assert np.median(frames_of(tmp_path / "run.gif")[0][:80, 120:-120]) > 250
    with pytest.raises(ValueError, match="closed"):
        writer.write(turning(lattice, 1, replicas=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "run.avi"}, "must end in .mp4"),
        ({"path": "missing/run.mp4"}, "does not exist"),
        ({"frames_per_second": 0}, "from 1 to 100"),
        ({"frames_per_second": 12.5}, "integer"),
        ({"height": 10}, "from 96 to 4320"),
    ],
)
def test_senseless_movies_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MovieWriter(**{"path": tmp_path / "run.mp4"} | options)
    assert not list(tmp_path.iterdir())


def test_an_empty_movie_leaves_no_file(tmp_path: Path) -> None:
    with MovieWriter(tmp_path / "run.mp4"):
        pass
    assert not list(tmp_path.iterdir())
