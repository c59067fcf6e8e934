"""Draws the pictures of the front door from the gallery's recordings: `python assets/index/draw.py`."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from engine import preset, scalar_chirality, snapshot
from engine.io.trajectory import read_trajectory
from spinviz.drawing.raster import TexturePicture
from spinviz.pages.electron_study import Request, studied
from spinviz.theme import LINES, chirality_colours
from spinviz.views.lattice_picture import lattice_picture

HERE = Path(__file__).resolve().parent
SIZE, SMALL = (640, 300), (300, 180)
SYSTEMS = {  # the last frames of these recordings
    "skyrmion": "skyrmion-quench", "tetrahedral": "tetrahedral-quench", "double_exchange": "double-exchange",
    "spin_glass": "spin-glass", "heisenberg": "chiral-magnet",
}  # fmt: skip


def cropped(image: np.ndarray, size: tuple[int, int] = SIZE) -> Image.Image:
    """The middle of a picture, filling ``size``."""
    picture = Image.fromarray(image)
    scale = max(size[0] / picture.width, size[1] / picture.height)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    left, top = (picture.width - size[0]) // 2, (picture.height - size[1]) // 2
    return picture.crop((left, top, left + size[0], top + size[1]))


def textured(name: str, index: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """A frame of a recording."""
    with read_trajectory(HERE.parent / "gallery" / f"{name}.h5") as run:
        picture = TexturePicture(run.lattice, 900)
        return cropped(picture.image(run[index])[: -2 * picture._text_height - 2], size)


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new("RGB", SIZE, (255, 255, 255))
    both.paste(left, (0, 0))
    both.paste(right, (SIZE[0] // 2 + 3, 0))
    return both


def conductivity() -> Image.Image:
    """Hall conductivity of tetrahedral order."""
    study = studied(Request("tetrahedral", 6, "tetrahedral", twists=6))
    assert study.hall is not None
    image = Image.new("RGB", (2 * SIZE[0], 2 * SIZE[1]), (16, 19, 28))
    draw = ImageDraw.Draw(image)
    x = 40 + (study.potentials - study.potentials[0]) / np.ptp(study.potentials) * (image.width - 80)
    y = image.height / 2 - study.hall * image.height * 0.36
    states = study.states / study.states.max() * image.height * 0.5
    xs = 40 + (study.energies - study.potentials[0]) / np.ptp(study.potentials) * (image.width - 80)
    outline = list(zip(xs, image.height - states, strict=True))
    draw.polygon([(xs[0], image.height), *outline, (xs[-1], image.height)], fill=(38, 48, 92))
    for level in (-1, 0, 1):
        height = image.height / 2 - level * image.height * 0.36
        draw.line([(0, height), (image.width, height)], fill=(60, 68, 90), width=2)
    draw.line(list(zip(x, y, strict=True)), fill=LINES["dark"][2], width=8, joint="curve")
    return image.resize(SIZE, Image.Resampling.LANCZOS)


def chirality() -> Image.Image:
    simulation = preset("skyrmion", 36, force="classical", texture="skyrmion_crystal", texture_options={"n_sk": 2})
    frame = snapshot(simulation)
    values = scalar_chirality(simulation.state.spin, frame.lattice)[0].numpy()
    (HERE / "chirality.png").write_bytes(
        lattice_picture("png", frame.lattice, chirality_colours(values, float(abs(values).max())))
    )
    picture = cropped(np.asarray(Image.open(HERE / "chirality.png").convert("RGB")))
    (HERE / "chirality.png").unlink()
    return picture


def moderate() -> Image.Image:
    """Double exchange of moderate coupling, some time after a quench, by its network."""
    simulation = preset("double_exchange_000", 30, force="best", seed=1).advance(60)
    frame = snapshot(simulation)
    picture = TexturePicture(frame.lattice, 900)
    return cropped(picture.image(frame)[: -2 * picture._text_height - 2], SMALL)


if __name__ == "__main__":
    half = (SIZE[0] // 2 - 3, SIZE[1])
    pictures = {
        "live": textured("skyrmion-quench", -1),
        "learn": chirality(),
        "gallery": textured("chiral-magnet", 12),
        "electrons": conductivity(),
        "compare": side_by_side(textured("skyrmion-quench", -1, half), textured("skyrmion-quench-field", -1, half)),
    }
    pictures |= {f"system-{name}": textured(recording, -1, SMALL) for name, recording in SYSTEMS.items()}
    pictures["system-double_exchange_000"] = moderate()
    for name, image in pictures.items():
        image.save(HERE / f"{name}.jpg", quality=82, optimize=True)
