"""The electrons page: what the electrons do in a texture that stands still. Computed in a worker thread, one at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import torch

from engine import PRESETS, TEXTURES
from spinviz.pages.electron_study import ElectronStudy, Request, StudyStopped, studied
from spinviz.pages.gallery import CARD, SLIM
from spinviz.pages.index import links
from spinviz.pages.recorded_run import RecordedRun, run_of_trajectory
from spinviz.pages.recordings import offered, recordings_folder
from spinviz.running.worker import sentence
from spinviz.serving.tabs import attached
from spinviz.theme import MATERIAL
from spinviz.views import SpinView
from spinviz.views.electrons_view import ElectronsView
from spinviz.widgets.message import Message
from spinviz.widgets.narrow import GROWN, PHONE, below, fitted

SYSTEMS = {system.title: name for name, system in PRESETS.items() if system.coupling}
SIZES = (6, 8, 9, 12, 16, 18, 24, 36, 48, 72, 96)
SITES = (50, 100, 150, 200)
MESHES = {"1 × 1 (bare torus)": 1, "2 × 2": 2, "3 × 3": 3, "4 × 4": 4, "6 × 6": 6, "8 × 8": 8}
POLL_MILLISECONDS = 100
RECORDED = "recorded: "
FIRST = Request("tetrahedral", 8, "tetrahedral", twists=4)


class StudyWorker:
    """Computes the newest request in a thread; a newer one stops the present one at its next stage."""

    def __init__(self, compute: Callable[..., ElectronStudy] = studied) -> None:
        self._compute = compute
        self._lock = threading.Lock()
        self._number = 0
        self._result: ElectronStudy | None = None
        self.share, self.stage, self.message, self.busy = 0.0, "", "", False

    def post(self, request: Request) -> None:
        """Begin this one."""
        with self._lock:
            self._number += 1
            self.share, self.stage, self.message, self.busy = 0.0, "Begins …", "", True
        threading.Thread(target=self._work, args=(self._number, request), name="spinviz-study", daemon=True).start()

    def take(self) -> ElectronStudy | None:
        """The newest outcome, once."""
        with self._lock:
            result, self._result = self._result, None
        return result

    def stop(self) -> None:
        """Stop at the next stage; nothing is waited for."""
        with self._lock:
            self._number += 1
            self.busy = False

    def _work(self, number: int, request: Request) -> None:
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))

        def progress(share: float, stage: str) -> None:
            with self._lock:
                if number != self._number:
                    raise StudyStopped
                self.share, self.stage = share, stage

        result, message = None, ""
        try:
            result = self._compute(request, progress)
        except StudyStopped:
            return
        except Exception as error:  # every failure is shown to the reader
            message = sentence(error)
        with self._lock:
            if number == self._number:
                self._result, self.message, self.busy = result, message, False


class ElectronsPage:
    """Everything of one tab."""

    def __init__(self, recordings: Path | None = None, worker: StudyWorker | None = None) -> None:
        self.worker = worker or StudyWorker()
        self.offered = offered(recordings)
        self._run: RecordedRun | None = None
        self.view, self.spin = ElectronsView(), SpinView()
        self._make_widgets()
        self.page = pmui.Page(
            title="spinviz · electrons", header=[links("electrons")], sidebar=[self._sidebar()], main=[self._main()],
            sidebar_width=300, sidebar_variant="persistent", theme_config=MATERIAL, busy_indicator=None,
        )  # fmt: skip
        self.follow_system()

    def watch(self) -> None:
        """Compute the first texture, and look for outcomes from now on."""
        self.compute()
        pn.state.curdoc.add_periodic_callback(self.poll, POLL_MILLISECONDS)

    def close(self) -> None:
        self.worker.stop()
        self._forget()

    def request(self) -> Request:
        """What the widgets ask for. Raises ValueError for a recording that cannot be read."""
        frame, chosen = None, self.texture.value
        if chosen.startswith(RECORDED):
            if self._run is None:
                raise ValueError("choose a recorded run first")
            frame = self._run.read(int(self.moment.value))
        name = "random" if frame is not None else chosen
        return Request(self.system.value, int(self.size.value), name, frame, int(self.twists.value),
                       float(self.broadening.value), int(self.seed.value))  # fmt: skip

    def compute(self) -> None:
        """Begin to compute what is asked for; the pictures stay until it is done."""
        try:
            self.worker.post(self.request())
        except (ValueError, OSError) as error:
            self.say(sentence(error))

    def poll(self) -> None:
        """Progress, an outcome, or the sentence that says why there is none."""
        busy = self.worker.busy
        if self.progress.visible != busy:
            self.progress.visible = busy
            self.go.label = "Compute again" if busy else "Compute"
        if busy:
            share, stage = round(100 * self.worker.share), self.worker.stage
            if (self.progress.value, self.stage.object) != (share, stage):
                self.progress.value, self.stage.object = share, stage
        if self.worker.message != self.message.sentence:
            self.say(self.worker.message)
        study = self.worker.take()
        if study is not None:
            with pn.io.hold():
                self.show(study)

    def show(self, study: ElectronStudy) -> None:
        """All pictures of an outcome."""
        self.spin.show(study.frame)
        self.view.show(study)
        self.stage.object = f"{study.title}, {study.lattice.sites} sites: {study.seconds:.1f} s"

    def say(self, text: str) -> None:
        self.message.say(text)

    def follow_system(self) -> None:
        """Sizes and textures that fit the system."""
        regular = PRESETS[self.system.value].lattice != "random_sites"
        sizes = list(SIZES if regular else SITES)
        if self.size.value not in sizes:
            self.size.value = None
        self.size.options = sizes
        if self.size.value is None:
            self.size.value = 12 if regular else 100
        names = {t.title: key for key, t in TEXTURES.items() if regular or key in ("random", "ferromagnet")}
        names |= {RECORDED + name: RECORDED + name for name in self.offered}
        self.texture.options = names
        if self.texture.value not in names.values():
            self.texture.value = "random"
        self.twists.disabled = not regular

    def follow_texture(self) -> None:
        """Open a recording when one is chosen."""
        chosen = str(self.texture.value)
        self._forget()
        self.moment.visible = chosen.startswith(RECORDED)
        self.size.disabled = self.moment.visible
        if not self.moment.visible:
            return
        try:
            name = chosen.removeprefix(RECORDED)
            self._run = run_of_trajectory(self.offered[name], name)
        except (ValueError, OSError) as error:
            self.say(sentence(error))
            return
        self.moment.param.update(end=max(1, len(self._run) - 1), value=len(self._run) - 1)
        recorded = self._run.settings.get("preset")
        if recorded in SYSTEMS.values():
            self.system.value = recorded

    def _forget(self) -> None:
        if self._run is not None:
            self._run.close()
        self._run = None

    def _make_widgets(self) -> None:
        self.system = pmui.Select(label="System", options=SYSTEMS, value=FIRST.preset, **SLIM)
        self.size = pmui.Select(label="Size", options=list(SIZES), value=FIRST.size, **SLIM)
        self.texture = pmui.Select(
            label="Texture", options={t.title: key for key, t in TEXTURES.items()}, value=FIRST.texture, **SLIM
        )
        self.moment = pmui.IntSlider(label="Frame of the recording", start=0, end=1, value=0, visible=False, **SLIM)
        self.seed = pmui.IntInput(label="Seed of the texture", value=0, start=0, end=999_999, **SLIM)
        self.twists = pmui.Select(
            label="Mesh of boundary twists", options=MESHES, value=FIRST.twists, **SLIM,
            description="More twists stand for a larger sample: the density of states becomes smooth, σxy quantized. "
            "Lattices too large to be diagonalized are sampled without twists; σxy then has a statistical error",
        )  # fmt: skip
        self.broadening = pmui.FloatSlider(label="Resolution (t₁)", start=0.02, end=0.3, step=0.01,
                                           value=FIRST.broadening, **SLIM)  # fmt: skip
        self.go = pmui.Button(label="Compute", icon="calculate", variant="contained", **SLIM)
        self.progress = pmui.LinearProgress(value=0, variant="determinate", visible=False, margin=(2, 12),
                                            sizing_mode="stretch_width")  # fmt: skip
        self.stage = pn.pane.HTML("", margin=(2, 14), styles={"font-size": "12px"}, css_classes=["electrons-stage"])
        self.message = Message()
        locked = pn.state.execute
        self.system.param.watch(lambda event: locked(self.follow_system, schedule=True), "value")
        self.texture.param.watch(lambda event: locked(self.follow_texture, schedule=True), "value")
        self.go.on_click(lambda event: self.compute())

    def _sidebar(self) -> Any:
        return pmui.Column(
            self.system, self.size, self.texture, self.moment, self.seed, self.twists, self.broadening, self.go,
            self.progress, self.stage, sizing_mode="stretch_width",
        )  # fmt: skip

    def _main(self) -> Any:
        panels = self.view.panels
        rows = [
            [("Spin texture", self.spin.panel), ("Density of states", panels["density_of_states"]),
             ("Hall conductivity σxy(μ)", panels["hall_conductivity"])],
            [("Local electron density", panels["local_density"]), ("Bond currents", panels["bond_current"]),
             ("Torque on the spins", panels["torque"])],
        ]  # fmt: skip
        stacked = [below(PHONE, "flex-direction: column", "height: 1100px", "flex: none")]
        placed = [
            pn.Row(*(card(*entry) for entry in row), sizing_mode="stretch_both", margin=0, stylesheets=stacked)
            for row in rows
        ]
        return pn.Column(
            self.message, *placed, sizing_mode="stretch_both", margin=0, min_height=560,
            styles={"height": "calc(100vh - 84px)"}, stylesheets=[GROWN],
        )  # fmt: skip


def card(title: str, content: Any) -> Any:
    """A card with a heading."""
    heading = pn.pane.HTML(f'<div style="font-size:13px;font-weight:600">{title}</div>', margin=(0, 4), height=18)
    return pmui.Paper(heading, content, **CARD)


def electrons_page() -> Any:
    """The page of one tab; its worker is stopped when it is closed."""
    pn.extension(reconnect=True)
    return fitted(attached(ElectronsPage(recordings_folder())))
