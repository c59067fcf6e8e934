"""Three-dimensional pictures show the right colours in the right places, without a window system."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engine.frame import Frame
from engine.lattice import Lattice, random_sites, square, triangular
from spinviz.drawing.scene import MARKERS, Camera, Scene, picture, scene_movie, scene_positions, turned
from spinviz.theme import PAGE, spin_colours
from spinviz.views.scene_view import LARGEST, SceneView
from tests.tolerances import EXACT_SINGLE, SCENE_HUE

ROOT = Path(__file__).resolve().parents[2]
SIZE = (320, 240)


def uniform(lattice: Lattice, direction: tuple[float, float, float], replicas: int = 1, step: int = 0) -> Frame:
    spin = np.tile(np.array(direction, np.float32), (replicas, lattice.sites, 1))
    return Frame(step, np.full(replicas, 0.5 * step), spin, lattice)


def drawn(image: np.ndarray, page: str = "dark") -> np.ndarray:
    """Pixels (n, 3) that are not background."""
    background = [int(PAGE[page]["grid"][i : i + 2], 16) for i in (1, 3, 5)]
    return image[(np.abs(image.astype(int) - background).max(axis=-1) > 2)]


@pytest.mark.parametrize("marker", MARKERS)
def test_up_is_white_down_is_black_and_in_plane_has_its_hue(marker: str) -> None:
    lattice = triangular(5, shells=1)
    with Scene(lattice, SIZE, marker=marker, inset=False) as scene:
        white, black = (drawn(scene.image(uniform(lattice, (0, 0, z)))) for z in (1, -1))
        assert len(white) > 500 and len(black) > 500
        assert np.median(white) > 200 and np.median(black) < 30
        assert np.ptp(white.astype(int), axis=1).max() <= 2, "white is without hue"
        for angle in np.radians([0, 75, 130, 200, 310]):
            direction = (float(np.cos(angle)), float(np.sin(angle)), 0.0)
            seen = drawn(scene.image(uniform(lattice, direction))).astype(float)
            wanted = spin_colours(np.array(direction)).astype(float)
            bright = seen[seen.max(axis=1) > 100]
            share = bright / bright.max(axis=1, keepdims=True)
            np.testing.assert_allclose(share, np.broadcast_to(wanted / wanted.max(), share.shape), atol=SCENE_HUE)


@pytest.mark.parametrize("lattice", [square(4), triangular(4, 5, shells=1), random_sites(20)], ids=lambda one: one.kind)
@pytest.mark.parametrize("marker", MARKERS)
def test_every_lattice_is_seen_whole(lattice: Lattice, marker: str) -> None:
    for camera in (Camera(), Camera(azimuth=-130, elevation=90), Camera(elevation=0)):
        image = picture(uniform(lattice, (0, 0.6, 0.8)), SIZE, camera=camera, marker=marker, inset=False)
        assert image.shape == (SIZE[1], SIZE[0], 3) and image.dtype == np.uint8
        assert len(drawn(image)) > 200
        rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        assert len(drawn(rim[None])) == 0, "nothing is cut off"


def test_one_spin_changes_its_own_place_only() -> None:
    lattice = square(6)
    top = Camera(azimuth=0, elevation=90)
    frame = uniform(lattice, (0, 0, 1))
    spin = frame.spin.copy()
    spin[0, lattice.sites - 1] = [0, 0, -1]  # the corner with the largest x and y
    with Scene(lattice, SIZE, camera=top, marker="sphere", inset=False) as scene:
        changed = (
            np.abs(scene.image(frame).astype(int) - scene.image(Frame(1, frame.time, spin, lattice))).max(axis=-1) > 9
        )
    rows, columns = np.nonzero(changed)
    assert len(rows) > 20 and rows.max() < SIZE[1] / 3 and columns.min() > SIZE[0] / 2


def test_the_unit_sphere_shows_where_the_spins_point() -> None:
    lattice = square(4)
    plain = picture(uniform(lattice, (0, 0, 1)), SIZE, inset=False)
    with Scene(lattice, SIZE) as scene:
        images = [scene.image(uniform(lattice, direction)) for direction in ((0, 0, 1), (0, -1, 0))]
    corner = (slice(0, SIZE[1] // 3), slice(3 * SIZE[0] // 4, None))
    assert len(drawn(images[0][corner])) > len(drawn(plain[corner])) + 500
    assert (images[0][corner] != images[1][corner]).any()


def test_arrows_are_turned_onto_their_spins() -> None:
    generator = np.random.default_rng(0)
    spin = generator.normal(size=(50, 3))
    spin = np.concatenate([spin / np.linalg.norm(spin, axis=1, keepdims=True), np.eye(3), -np.eye(3)]).astype(
        np.float32
    )
    template = generator.normal(size=(9, 3)).astype(np.float32)
    result = turned(template, spin)
    np.testing.assert_allclose(turned(np.array([[1, 0, 0]], np.float32), spin)[:, 0], spin, atol=EXACT_SINGLE)
    products = np.broadcast_to(template @ template.T, (len(spin), 9, 9))
    np.testing.assert_allclose(result @ result.transpose(0, 2, 1), products, atol=10 * EXACT_SINGLE)
    assert (np.linalg.det(turned(np.eye(3, dtype=np.float32), spin)) > 0).all()


def test_sites_stand_in_the_rectangle() -> None:
    lattice = triangular(6, 9, shells=1)
    positions = scene_positions(lattice)
    shift = (positions[:, 0] - lattice.positions[:, 0]) / lattice.shape[0]
    assert np.allclose(shift, np.rint(shift), atol=1e-5) and positions[:, 0].min() >= -0.25
    assert positions[:, 0].max() < 5.75 and (positions[:, 2] == 0).all()


def test_text_and_replica() -> None:
    lattice = square(3)
    frame = Frame(3, np.ones(2), np.stack([uniform(lattice, (0, 0, z)).spin[0] for z in (1, -1)]), lattice)
    with Scene(lattice, SIZE, inset=False, text=True) as scene:
        up, down = scene.image(frame, 0), scene.image(frame, 1)
        assert len(drawn(up[:20, :120])) > 50, "time and step"
        assert np.median(drawn(up[30:])) > 200 and np.median(drawn(down[30:])) < 30
        with pytest.raises(ValueError, match="9 sites with a replica 2"):
            scene.image(frame, 2)
        with pytest.raises(ValueError, match="got \\(1, 16\\)"):
            scene.image(uniform(square(4), (0, 0, 1)))


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_movie_of_scenes_plays(tmp_path: Path, suffix: str) -> None:
    lattice, path = square(3), tmp_path / f"scene{suffix}"
    turns = [uniform(lattice, (0, 0, 1 if step % 2 else -1), step=step) for step in range(5)]
    assert scene_movie(turns, path, 10, size=SIZE, inset=False) == 5
    with av.open(str(path)) as container:
        images = [one.to_ndarray(format="rgb24") for one in container.decode(video=0)]
    assert len(images) == 5 and images[0].shape == (SIZE[1], SIZE[0], 3)
    levels = [np.percentile(image[30:], 99) for image in images]
    assert max(levels[0::2]) < min(levels[1::2]), "dark and bright take turns"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (321, 240)}, "even numbers"),
        ({"size": (32, 240)}, "from 64"),
        ({"marker": "cube"}, "marker must be one of"),
        ({"page": "sepia"}, "page must be one of"),
        ({"samples": 3}, "samples must be 1 or 2"),
    ],
)
def test_senseless_scenes_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scene(square(3), **options)


@pytest.mark.parametrize(
    ("angles", "message"),
    [((0, 91), "-90 to 90"), ((np.nan, 0), "azimuth"), ((0, 0, 0), "zoom"), ((0, np.nan), "elev")],
)
def test_senseless_cameras_are_refused(angles: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Camera(*angles)


def test_the_view_draws_when_asked() -> None:
    view, lattice = SceneView(), square(4)
    asyncio.run(view.draw())
    assert "nothing to draw" in view.message.object
    with pytest.raises(ValueError, match="draw one first"):
        view.file("png")
    view.show(uniform(lattice, (1, 0, 0), step=4))
    assert view.image.object is None, "a frame alone draws nothing"
    asyncio.run(view.draw())
    image = np.asarray(Image.open(io.BytesIO(view.image.object)))
    red = drawn(image, "light").astype(int)
    assert ((red[:, 0] > 80) & (red[:, 1] < 40)).sum() > 1000
    assert "4 × 4 square lattice at time 2" in view.image.alt_text
    assert view.file("png") == view.image.object
    assert view.file("csv").decode().splitlines()[1].startswith("0")
    with pytest.raises(ValueError, match="as PNG"):
        view.file("svg")
    view.dialog.open = True
    assert view.image in list(view.dialog.select()) and view.image not in list(view._below.select())
    view.dialog.open = False
    assert view.image in list(view._below.select()) and not view.dialog.objects
    big = Frame(0, np.zeros(1), np.zeros((1, LARGEST + 1, 3), np.float32), lattice)
    view.show(big)
    asyncio.run(view.draw())
    assert "up to 65,536 sites" in view.message.object
    view.close()


def test_a_page_loads_without_vtk() -> None:
    code = "import sys, spinviz.views, spinviz.views.scene_view; sys.exit('vtk' in sys.modules or 'pyvista' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
