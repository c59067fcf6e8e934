"""Pictures of a movie show what they say: triangles where they lie, momenta in the zone, curves of what was measured."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import engine
from engine import snapshot
from engine.frame import Frame
from engine.lattice import Lattice, random_sites, square, triangular
from engine.observables import fold_to_zone
from spinviz.drawing.film import VIEWS, picture_of
from spinviz.movie import MovieWriter
from spinviz.theme import chirality_colours, structure_factor_colours

HEIGHT = 240


def frame_of(lattice: Lattice, seed: int = 0, step: int = 0) -> Frame:
    spin = np.random.default_rng(seed).normal(size=(1, lattice.sites, 3))
    return Frame(
        step, np.full(1, 0.5 * step), (spin / np.linalg.norm(spin, axis=-1, keepdims=True)).astype("f4"), lattice
    )


def chirality_of(frame: Frame) -> np.ndarray:
    a, b, c = (frame.spin[0].astype(float)[frame.lattice.plaquettes[:, k]] for k in range(3))
    return np.sum(a * np.cross(b, c), axis=1)


def charge_colours(frame: Frame) -> np.ndarray:
    """Colours of Omega / 4 pi, by the tangent of Omega / 2, up to 0.1 with a square root."""
    a, b, c = (frame.spin[0].astype(float)[frame.lattice.plaquettes[:, k]] for k in range(3))
    along = 1 + sum(np.sum(one * other, axis=1) for one, other in ((a, b), (b, c), (c, a)))
    density = np.arctan2(chirality_of(frame), along) / (2 * np.pi)
    return chirality_colours(np.sign(density) * np.sqrt(np.abs(density) / 0.1))


@pytest.mark.parametrize("lattice", [square(6, 5), triangular(6, 4)], ids=["square", "triangular"])
@pytest.mark.parametrize("view", ["chirality", "charge"])
def test_every_pixel_shows_its_triangle(lattice: Lattice, view: str) -> None:
    frame = frame_of(lattice)
    picture = picture_of(view, lattice, HEIGHT, notes=False)
    image, scale = picture.image(frame), picture.scale
    colours = charge_colours(frame) if view == "charge" else chirality_colours(chirality_of(frame))
    centres = np.zeros((len(lattice.plaquettes), 2))
    places = lattice.positions[lattice.plaquettes]
    for corner in (1, 2):  # the corner of the triangle next to its first one
        step = places[:, corner] - places[:, 0]
        images = np.array([[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1)]) @ lattice.periods
        found = (step[:, None] + images)[
            np.arange(len(step)), np.linalg.norm(step[:, None] + images, axis=-1).argmin(1)
        ]
        centres += found / 3
    centres += places[:, 0]
    left = (picture.width - round(lattice.shape[0] * scale)) // 2
    tall = round(lattice.shape[1] * lattice.primitive_vectors[1, 1] * scale)
    x = (centres[:, 0] + 0.5) % lattice.shape[0] * scale
    y = centres[:, 1] + lattice.primitive_vectors[1, 1] / 2
    wraps = np.floor(y / (tall / scale))
    x = (x - wraps * lattice.periods[1, 0] * scale) % (lattice.shape[0] * scale)
    rows = (tall - (y * scale) % tall).astype(int).clip(0, tall - 1)
    shown = image[rows, left + x.astype(int)].astype(int)
    assert np.abs(shown - colours).max() <= (8 if view == "charge" else 0)  # one step of the map, by rounding


@pytest.mark.parametrize("lattice", [square(8), triangular(8)], ids=["square", "triangular"])
def test_a_spiral_is_bright_at_its_momentum(lattice: Lattice) -> None:
    q = fold_to_zone(lattice.momenta(), lattice)
    chosen = int(np.flatnonzero((np.linalg.norm(q, axis=1) > 1) & (np.linalg.norm(q, axis=1) < 1.8))[0])
    phase = lattice.positions @ q[chosen]
    spin = np.stack([np.cos(phase), np.sin(phase), 0 * phase], axis=-1)[None].astype("f4")
    picture = picture_of("structure", lattice, HEIGHT, notes=False)
    image = picture.image(Frame(0, np.zeros(1), spin, lattice))
    brightest = (image == structure_factor_colours(np.ones(1), 1.0)[0]).all(axis=-1)
    rows, columns = np.nonzero(brightest)
    assert len(rows) > 20, "the spiral is seen"
    zone = lattice.brillouin_zone()
    step = 2 * 1.1 * np.abs(zone.vertices).max() / min(image.shape[0], round(lattice.shape[0] * picture.scale))
    across, up = (columns + 0.5 - picture.width / 2) * step, (picture.height / 2 - rows - 0.5) * step
    seen = fold_to_zone(np.stack([across, up], axis=-1), lattice)
    spacing = np.linalg.norm(zone.reciprocal, axis=1).max() / 8
    distance = np.minimum(*(np.linalg.norm(seen - sign * q[chosen], axis=1) for sign in (1, -1)))
    assert distance.max() < spacing, "and nowhere else"


@pytest.mark.parametrize("view", VIEWS)
def test_sizes_are_even_and_text_is_optional(view: str) -> None:
    lattice = triangular(6)
    with_text, without = (picture_of(view, lattice, HEIGHT, "T = 0.02", notes=notes) for notes in (True, False))
    first, later = (frame_of(lattice, step=step) for step in (1, 2))
    for picture in (with_text, without):
        images = [picture.image(first), picture.image(later)]
        assert images[0].shape == images[1].shape and all(n % 2 == 0 for n in images[0].shape[:2])
    if view not in ("curves", "all"):
        assert (with_text.image(first) != with_text.image(later)).any(), "time is burnt in"
        assert (without.image(first) == without.image(later)).all()


def test_curves_follow_what_was_measured() -> None:
    lattice = square(4)
    picture = picture_of("curves", lattice, HEIGHT)
    images = []
    for step, level in enumerate((0.0, 1.0, 0.5)):
        frame = frame_of(lattice, step=step)
        frame.observables["energy"] = np.array([level])
        images.append(picture.image(frame))
    assert all((a != b).any() for a, b in itertools.pairwise(images))
    again = picture.image(frame_of(lattice, step=0))
    assert (again != images[-1]).any(), "it starts anew when time runs back"


def test_random_sites_have_texture_and_curves() -> None:
    lattice = random_sites(20)
    for view in ("chirality", "charge", "structure"):
        with pytest.raises(ValueError, match="random sites"):
            picture_of(view, lattice, HEIGHT)
    assert picture_of("all", lattice, HEIGHT).image(frame_of(lattice)).std() > 10
    with pytest.raises(ValueError, match="texture, chirality"):
        picture_of("spin", lattice, HEIGHT)


@pytest.mark.parametrize("view", ["texture", "chirality", "charge"])
def test_long_captions_stay_left_of_the_key(view: str) -> None:
    """The words of the key and of the caption do not meet: every line ends before the colours begin."""
    caption = "   ".join(["heisenberg", "classical", "H = (0, 0, 0.289)", "T = 0.02", "heat pulse ΔT = 0.25 on 81 sites",
                          "field pulse ΔH = (0.1, 0, 0) on 2304 sites", "seed 0"])  # fmt: skip
    picture = picture_of(view, square(24), 544, caption)
    room = picture.width - 6 * picture._text_height
    placed = picture._placed(picture.words(frame_of(square(24)), 0), room)
    assert len(placed) == 3 and "   ".join(text for text, *_ in placed[1:]) == caption
    assert all(length <= room for *_, length in placed)
    assert placed[-1][1] + 0.62 * picture._text_height < 3 * picture._text_height, "it stays in the strip"


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_the_same_seed_makes_the_same_movie(tmp_path: Path, suffix: str) -> None:
    digests = []
    for name in ("one", "two"):
        simulation = engine.preset("heisenberg", 8, force="classical", seed=5)
        path = tmp_path / f"{name}{suffix}"
        with MovieWriter(path, 10, HEIGHT, view="all") as movie:
            for _ in range(7):
                movie.write(snapshot(simulation, ("energy",)))
                simulation = simulation.advance(1)
        if suffix == ".gif":
            with Image.open(path) as image:
                assert image.n_frames == 7
        with av.open(str(path)) as container:
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(pictures) == 7
        digests.append(hashlib.sha256(b"".join(one.tobytes() for one in pictures)).hexdigest())
    assert digests[0] == digests[1]
