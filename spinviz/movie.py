"""Movies: Frames -> MP4 (H.264), WebM (VP9) or GIF, encoded while the run goes on, without a screen.

An MP4 is written in fragments of at most one second, each complete in itself, so an interrupted one plays up to the
last fragment; a finished one is repacked (not encoded again) with its index in front. WebM clusters and GIF frames
are self-contained already.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from engine.files import Closing
from engine.frame import Frame
from engine.lattice import Lattice
from spinviz.drawing.caption import Caption
from spinviz.drawing.film import VIEWS, Picture, picture_of
from spinviz.theme import Colours

FORMATS: dict[str, dict[str, Any]] = {
    ".mp4": {
        "codec": "libx264",
        "pixels": "yuv420p",
        "container": {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"},
        "encoder": {"preset": "veryfast", "crf": "20", "tune": "zerolatency"},
    },
    ".webm": {
        "codec": "libvpx-vp9",
        "pixels": "yuv420p",
        "container": {"flush_packets": "1", "cluster_time_limit": "1000"},
        "encoder": {"deadline": "realtime", "cpu-used": "7", "crf": "28", "b": "0", "lag-in-frames": "0"},
    },
    ".gif": {"codec": "gif", "pixels": "pal8", "container": {"flush_packets": "1"}, "encoder": {}},
}


class MovieWriter(Closing):
    """Writes one frame of film per :meth:`write`; the suffix of ``path`` (.mp4, .webm, .gif) chooses the format.

    ``height`` pixels of the picture, ``caption`` (or what gives it for a frame) burnt in below time, step and charge,
    ``replica`` the one shown;
    ``view`` one of :data:`spinviz.drawing.film.VIEWS`; ``notes`` False leaves out text and colour key. Nothing is touched
    before the first frame, and no frame is kept: a movie may be as long as the disk allows. The same frames make the same
    file. Raises ValueError for what cannot be written. A context manager.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        frames_per_second: int = 25,
        height: int = 544,
        caption: Caption = "",
        arrows: bool = True,
        replica: int = 0,
        view: str = "texture",
        notes: bool = True,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in FORMATS:
            raise ValueError(f"a movie must end in {', '.join(FORMATS)}, got {self.path.name!r}")
        if not self.path.parent.is_dir():
            raise ValueError(f"the folder {self.path.parent} of the movie does not exist; make it first")
        if int(frames_per_second) != frames_per_second or not 1 <= frames_per_second <= 100:
            raise ValueError(f"frames_per_second must be an integer from 1 to 100, got {frames_per_second}")
        if not 96 <= height <= 4320:
            raise ValueError(f"height must be from 96 to 4320 pixels, got {height}")
        if view not in VIEWS:
            raise ValueError(f"a movie shows one of {', '.join(VIEWS)}, got {view!r}")
        self.frames_per_second, self.height, self.replica = int(frames_per_second), int(height), replica
        self._caption, self._arrows, self._view, self._notes = caption, arrows, view, notes
        self._format = FORMATS[self.path.suffix.lower()]
        self._picture: Picture | None = None
        self._container: Any = None
        self._stream: Any = None
        self._frames = 0
        self._closed = False

    def __len__(self) -> int:
        """Frames written so far."""
        return self._frames

    def write(self, frame: Frame) -> None:
        """Draw and encode one frame."""
        if self._closed:
            raise ValueError(f"the movie {self.path} is closed; make another one")
        if self._picture is None:
            self._picture = self.picture(frame.lattice)
        image = self._picture.image(frame, self.replica)
        if self._container is None:
            self._open(*image.shape[:2])
        picture = _video_frame(image, self._format["pixels"])
        picture.pts = self._frames
        picture.time_base = Fraction(1, self.frames_per_second)
        for packet in self._stream.encode(picture):
            self._container.mux(packet)
        self._frames += 1

    def picture(self, lattice: Lattice) -> Picture:
        """What draws the frames, made at the first one; where it has a ``close``, that is called at the end."""
        return picture_of(self._view, lattice, self.height, self._caption, self._arrows, self._notes)

    def close(self) -> None:
        """Finish the file. May be called twice."""
        self._closed = True
        picture, self._picture = self._picture, None
        try:
            self._finish()
        finally:
            getattr(picture, "close", lambda: None)()

    def _finish(self) -> None:
        if self._container is None:
            return
        container, self._container = self._container, None
        try:
            for packet in self._stream.encode(None):
                container.mux(packet)
        finally:
            container.close()
        if self.path.suffix.lower() == ".mp4":
            _repack(self.path)

    def _open(self, height: int, width: int) -> None:
        form = self._format
        self._container = av.open(str(self.path), "w", container_options=form["container"])
        self._stream = self._container.add_stream(form["codec"], rate=self.frames_per_second, options=form["encoder"])
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, form["pixels"]
        self._stream.codec_context.gop_size = self.frames_per_second  # a key frame, so a fragment, each second


def _video_frame(image: Colours, pixels: str) -> Any:
    """A picture (h, w, 3) for the encoder; a GIF gets the best 256 colours of this picture."""
    if pixels != "pal8":
        return av.VideoFrame.from_ndarray(image, format="rgb24")
    indexed = Image.fromarray(image).quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    colours = np.array(indexed.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
    table = np.full((256, 4), 255, dtype=np.uint8)
    table[: len(colours), 1:] = colours  # alpha, red, green, blue
    pair: Any = (np.asarray(indexed), table)
    return av.VideoFrame.from_ndarray(pair, format="pal8")


def _repack(path: Path) -> None:
    """The same packets in a plain MP4 with its index in front."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        with av.open(str(path)) as source, av.open(str(temporary), "w", options={"movflags": "faststart"}) as target:
            old = source.streams.video[0]
            new = target.add_stream_from_template(old)
            for packet in source.demux(old):
                if packet.dts is not None:
                    packet.stream = new
                    target.mux(packet)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
