"""The gallery without a browser: shipped recordings, locked time, curves, commands; and the electrons' page."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import preset, snapshot
from engine.io.trajectory import TrajectoryWriter
from spinviz.cli import build_parser
from spinviz.controls import FIELD
from spinviz.pages.electron_sampling import LEAST_RELAXATION
from spinviz.pages.electron_study import Request, prepared, studied
from spinviz.pages.electrons import ElectronsPage, StudyWorker
from spinviz.pages.gallery import NONE, GalleryPage
from spinviz.pages.parameter_changes import changes_told
from spinviz.pages.recorded_run import run_of_trajectory
from spinviz.pages.recordings import offered, recordings_folder
from spinviz.running.changes import built, with_values
from spinviz.running.recording import Recording
from spinviz.running.tools import heat
from spinviz.serving.limits import FOLDER_VARIABLE
from spinviz.serving.upload import LARGEST_UPLOAD
from tests.tolerances import HALL_TETRAHEDRAL, SYMMETRY

SHIPPED_BYTES = 3_000_000
SPECTRAL_WEIGHT = 1e-3  # trapezoid rule over Gaussians four grid points wide
SAMPLED_WEIGHT = 0.05  # the constant moment is exact; tails of the Jackson kernel are cut at the band edges
DENSITY_POLES = 1e-4  # poles of tolerance 1e-6 in single precision
TETRAHEDRAL_GAP = 1.39  # t1, converged in twists (PHYSICS.md section 6)
DENSITY_SINGLE = 1e-5  # float32 eigenvectors


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[GalleryPage]:
    page = GalleryPage(tmp_path)
    yield page
    page.close()


def record(path: Path, times: int, every: int, size: int = 6) -> None:
    simulation = preset("heisenberg", size, seed=1, texture="random")
    with TrajectoryWriter(path, simulation.settings, ("energy",)) as writer:
        for frame in simulation.frames(times, every, ("energy",)):
            writer.write(frame)


def test_shipped_recordings_are_small_and_say_how_they_were_made() -> None:
    files = offered(None)
    assert len(files) >= 4 and sum(path.stat().st_size for path in files.values()) < SHIPPED_BYTES
    for name, path in files.items():
        run = run_of_trajectory(path, name)
        words = run.command.split()
        arguments = build_parser().parse_args(words[1:])
        assert arguments.seed is not None and arguments.steps == run.steps[-1] - run.steps[0]
        curves, _ = run.survey()
        assert all(len(values) == len(run) for values in curves.values()) and np.isfinite(curves["energy"]).all()
        assert np.allclose(np.linalg.norm(run.read(-1).spin, axis=-1), 1, atol=1e-5)
        run.close()


def test_time_is_locked_between_two_runs(tmp_path: Path) -> None:
    """Each run shows its last frame at or before the common time."""
    record(tmp_path / "a.h5", 5, 2)
    record(tmp_path / "b.h5", 3, 3)
    page = GalleryPage(tmp_path)
    page.choose("A", "own: a")
    page.choice["B"].value = "own: b"
    a, b = page.replays["A"].run, page.replays["B"].run
    assert a is not None and b is not None
    np.testing.assert_allclose(page.moments, 0.1 * np.array([0, 2, 3, 4, 6, 8]), rtol=1e-6)
    for moment, (first, second) in enumerate([(0, 0), (1, 0), (1, 1), (2, 1), (3, 2), (4, 2)]):
        page.slider.value = moment
        assert (page.replays["A"].shown, page.replays["B"].shown) == (first, second)
    page.advance()
    assert page.slider.value == 5, "the end is the end"
    page.choice["B"].value = NONE
    assert not page.compared.visible and page.side.visible and len(page.moments) == 5
    page.close()


def test_own_recordings_are_offered_and_a_broken_one_gets_a_sentence(tmp_path: Path) -> None:
    record(tmp_path / "good.h5", 2, 1)
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    page = GalleryPage(tmp_path)
    assert {"own: good", "own: bad"} <= set(page.offered)
    shown = page.replays["A"].run
    page.choose("A", "own: bad")
    assert page.message.visible and "not a trajectory" in page.message.object and page.replays["A"].run is shown
    page.close()


def changed(path: Path, first: int = 0) -> None:
    """A recording of the page: the field is turned at t = 0.2, the temperature goes up at every step, a heat pulse acts."""
    simulation = built({"preset": "heisenberg", "size": 6, "force": "classical", "seed": 1, "texture": "random"})
    simulation = with_values(simulation.advance(first), {"dynamics.damping": 0.25})
    recording = Recording(path, every=1)
    recording.begin(simulation, 30.0)
    for step in range(6):
        values = {"dynamics.temperature": 0.01 * step, **({FIELD: (0.0, 0.0, -0.1)} if step >= 2 else {})}
        simulation = with_values(simulation, values)
        simulation = heat(0, 1.0, 0.2, simulation.dynamics.time_step)(simulation) if step == 3 else simulation
        recording.write(snapshot(simulation, recording.observables), simulation)
        simulation = simulation.advance(1)
    recording.close()


def test_a_recording_says_what_its_command_does_not_do(tmp_path: Path) -> None:
    changed(tmp_path)
    page = GalleryPage(tmp_path)
    page.choose("A", "own: run")
    told = page.made.object
    assert "field_z at t = 0.2" in told and "heat pulse at t = 0.3" in told and "field_x" not in told
    assert "temperature 5 times from t = 0.1 to 0.5" in told and "This command makes the beginning" in told
    assert "begins at step" not in told and "damping at" not in told
    run = page.replays["A"].run
    assert run is not None
    arguments = build_parser().parse_args(run.command.split()[1:])
    assert arguments.damping == 0.25 and arguments.temperature == 0.0 and arguments.seed == 1 and arguments.steps == 5
    assert arguments.field == pytest.approx((0.0, 0.0, preset("heisenberg", 6).force.zeeman.model.field[2]), abs=0)
    captions = []
    for moment in (0.0, 0.3):
        page.replays["A"].show(moment)
        captions.append(page.replays["A"].heading.object)
    assert "T = 0 " in captions[0] and "pulse" not in captions[0]
    assert "T = 0.03 " in captions[1] and "heat pulse ΔT = 0.2 on 5 sites" in captions[1] and "-0.1)" in captions[1]
    page.close()


def test_a_recording_that_begins_later_says_so(tmp_path: Path) -> None:
    changed(tmp_path, first=4)
    run = run_of_trajectory(tmp_path / "run.h5")
    assert "begins at step 4, the command at step 0" in run.reservations and "--steps 9 --every 1" in run.command
    run.close()


def test_a_run_without_changes_needs_no_reservation(tmp_path: Path) -> None:
    record(tmp_path / "a.h5", 3, 1)
    run = run_of_trajectory(tmp_path / "a.h5")
    assert run.reservations == "" and "run-reservations" not in run.made
    run.close()
    times = np.arange(3.0)
    assert changes_told(times, {}) == ""
    same = {"force": np.array(["kpm"] * 3), "filling": np.full(3, np.nan), "field": np.ones((3, 3))}
    assert changes_told(times, same) == ""
    assert "force at t = 2." in changes_told(times, {"force": np.array(["kpm", "kpm", "ed"])})
    assert "filling at t = 1, 2." in changes_told(times, {"filling": np.array([np.nan, 0.5, np.nan])})


def test_the_recordings_folder_must_exist(tmp_path: Path) -> None:
    assert recordings_folder({}) is None and recordings_folder({FOLDER_VARIABLE: str(tmp_path)}) == tmp_path
    with pytest.raises(ValueError, match="must name a folder"):
        recordings_folder({FOLDER_VARIABLE: str(tmp_path / "none")})


def test_an_upload_is_shown_and_a_wrong_one_changes_nothing(gallery: GalleryPage, tmp_path: Path) -> None:
    record(tmp_path / "run.h5", 4, 1)
    gallery.upload("wrong.h5", b"not a run")
    assert "cannot be shown" in gallery.message.object
    gallery.upload("mine.h5", (tmp_path / "run.h5").read_bytes())
    run = gallery.replays["A"].run
    assert run is not None and run.name == "mine.h5" and len(gallery.moments) == 4 and not gallery.message.visible
    assert "--steps 3 --every 1" in gallery.made.object
    folder = gallery._folder
    gallery.close()
    assert not folder.exists()


def test_the_server_holds_no_more_of_an_upload_than_it_takes(gallery: GalleryPage) -> None:
    """Whatever a browser sends: pieces beyond the limit drop the whole file."""
    widget = gallery.file
    piece = {"name": "big.h5", "total_chunks": 5, "mime_type": "", "data": bytes(LARGEST_UPLOAD // 3)}
    for chunk in (1, 2, 3):
        widget._process_chunk({**piece, "chunk": chunk})
    with pytest.raises(ValueError, match="dropped"):
        widget._process_chunk({**piece, "chunk": 4})
    assert not widget._file_buffer and not widget._buffer


def test_tetrahedral_order_has_a_quantized_hall_conductivity() -> None:
    """|sigma_xy| = 1 in the gap at filling 1/4, half an electron on every site, no torque by symmetry, two states."""
    stages: list[float] = []
    study = studied(Request("tetrahedral", 4, "tetrahedral", twists=6), lambda share, text: stages.append(share))
    assert study.hall_at_mu is not None and abs(abs(study.hall_at_mu) - 1) < HALL_TETRAHEDRAL
    np.testing.assert_allclose(study.density, 0.5, atol=DENSITY_SINGLE)
    assert study.torque.max() < DENSITY_SINGLE and stages == sorted(stages) and stages[-1] == 1
    assert abs(np.trapezoid(study.states, study.energies) - 2) < SPECTRAL_WEIGHT
    assert study.hall is not None and abs(study.hall[0]) < SYMMETRY and abs(study.hall[-1]) < SYMMETRY


def test_currents_are_conserved_at_every_site() -> None:
    study = studied(Request("tetrahedral", 4, "random", twists=2))
    bonds, current = study.lattice.bonds, study.current.astype(float)
    flow = np.bincount(bonds[:, 0], current, 16) - np.bincount(bonds[:, 1], current, 16)
    assert np.abs(current).max() > 1e-3 and np.abs(flow).max() < 1e-4 * np.abs(current).max() * 36


def test_a_large_texture_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tetrahedral order again, by poles and random vectors: sigma_xy = -+1 within its error and (eta / gap)^2."""
    monkeypatch.setattr("spinviz.pages.electron_sampling.VECTOR_SITES", 1500)
    monkeypatch.setattr("spinviz.pages.electron_study.LARGEST_COST", 1e6)
    stages: list[float] = []
    study = studied(Request("tetrahedral", 12, "tetrahedral"), lambda share, text: stages.append(share))
    assert study.hall_at_mu is not None and study.hall_error is not None and study.hall_error < 0.2
    assert abs(abs(study.hall_at_mu) - 1) < 5 * study.hall_error + (LEAST_RELAXATION / TETRAHEDRAL_GAP) ** 2
    np.testing.assert_allclose(study.density, 0.5, atol=DENSITY_POLES)
    assert stages == sorted(stages) and stages[-1] == 1
    assert abs(np.trapezoid(study.states, study.energies) - 2) < SAMPLED_WEIGHT


def test_random_sites_have_no_hall_conductivity() -> None:
    study = studied(Request("spin_glass", 20))
    assert study.hall is None and study.density.shape == (20,)


@pytest.mark.parametrize("request_, sentence", [
    (Request("heisenberg", 8), "no electrons"), (Request("nothing", 8), "no electrons"),
    (Request("tetrahedral", 144), "smaller size"), (Request("tetrahedral", 8, twists=99), "twists"),
    (Request("tetrahedral", 8, "nothing"), "texture"),
])  # fmt: skip
def test_senseless_requests_are_refused(request_: Request, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        prepared(request_)


def test_a_recording_on_another_lattice_is_refused(tmp_path: Path) -> None:
    record(tmp_path / "run.h5", 1, 1)
    run = run_of_trajectory(tmp_path / "run.h5")
    with pytest.raises(ValueError, match="choose another system"):
        prepared(Request("tetrahedral", 8, frame=run.read(0)))
    run.close()


def test_the_worker_takes_the_newest_request_and_keeps_errors_as_sentences() -> None:
    begun, go = threading.Event(), threading.Event()

    def compute(request: Request, progress: object) -> object:
        begun.set()
        assert go.wait(10)
        progress(0.5, "half")  # type: ignore[operator]
        if request.size == 3:
            raise ValueError("three is not enough")
        return request.size

    worker = StudyWorker(compute)  # type: ignore[arg-type]
    worker.post(Request("tetrahedral", 1))
    assert begun.wait(10)
    worker.post(Request("tetrahedral", 2))
    go.set()
    until(lambda: not worker.busy)
    assert worker.take() == 2 and worker.take() is None and worker.message == ""
    worker.post(Request("tetrahedral", 3))
    until(lambda: not worker.busy)
    assert worker.message == "three is not enough" and worker.take() is None


def test_the_page_offers_what_fits_the_system() -> None:
    page = ElectronsPage()
    page.system.value = "spin_glass"
    assert page.size.value == 100 and page.twists.disabled and page.texture.value == "random"
    page.texture.value = "recorded: tetrahedral quench"
    assert page.system.value == "tetrahedral" and page.moment.visible
    frame = page.request().frame
    assert frame is not None and frame.lattice.kind == "triangular"
    page.close()


def until(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
