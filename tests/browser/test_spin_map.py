"""The texture map in a real browser: colours where the spins are, zoom, reading, picking, two renderers, flow control."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import panel as pn
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from engine.frame import Frame
from engine.lattice import Lattice, random_sites, square, triangular
from spinviz.components import LatticeMap, Pick
from spinviz.theme import PAGE, spin_colours
from spinviz.views import SpinView
from spinviz.views.view import map_message
from tests.browser.conftest import LOCAL
from tests.browser.waiting import settled_box, wait_for
from tests.tolerances import CHIRALITY_READ, MAP_COLOUR, MAP_RENDERERS, SPIN_READ

pytestmark = pytest.mark.browser
ROOT3_2 = np.sqrt(3) / 2
LATTICES = {"square": square(6, 5), "odd": triangular(7, 5), "even": triangular(6, 8), "random": random_sites(12)}
NO_WEBGL = """const context = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : context.call(this, kind, ...rest); };"""
SLOW = "window.requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 150);"
PIXELS = """canvas => { const copy = document.createElement("canvas");
[copy.width, copy.height] = [canvas.width, canvas.height];
const context = copy.getContext("2d"); context.drawImage(canvas, 0, 0); return copy.toDataURL(); }"""
OpenMap = Callable[..., tuple[Page, SpinView]]


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, dict[str, Any]]]:
    """Address of a server of pages with one view each; the next page shows what the dictionary says."""
    wanted: dict[str, Any] = {}

    def app() -> Any:
        pn.extension()
        return pn.Column(wanted["view"].panel, width=600, height=440)

    thread = pn.serve({"map": app}, port=0, address="127.0.0.1", show=False, threaded=True, verbose=False)
    while not (own := [one for one, *_ in pn.state._servers.values() if "/map" in one._tornado._applications]):
        thread.join(0.05)
    while own[0].port is None:
        thread.join(0.05)
    yield f"http://127.0.0.1:{own[0].port}/map", wanted
    thread.stop()


@pytest.fixture
def open_map(browser: Browser, address: tuple[str, dict[str, Any]]) -> Iterator[OpenMap]:
    """Opens a page with a texture: (lattice, spin) and what the map is told; nothing may be asked for outside."""
    foreign: list[str] = []
    errors: list[str] = []
    contexts = []

    def opener(lattice: Lattice, spin: np.ndarray, script: str = "", **parameters: Any) -> tuple[Page, SpinView]:
        view = address[1]["view"] = SpinView()
        view.panel.param.update(**parameters)
        context = browser.new_context(viewport={"width": 640, "height": 480}, accept_downloads=True)
        contexts.append(context)
        if script:
            context.add_init_script(script)
        context.on("request", lambda request: None if request.url.startswith(LOCAL) else foreign.append(request.url))
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        view.panel.push({**map_message(lattice, "spin", spin), "arrows": False})
        page.goto(address[0])
        wait_for(page, lambda: view.panel.drawn > 0, "a frame is drawn")
        page.wait_for_timeout(150)  # the first lay-out is over
        return page, view

    yield opener
    for context in contexts:
        context.close()
    assert not foreign, f"the page asked for things outside: {foreign}"
    assert not errors, f"errors in the browser: {errors}"


def texture(lattice: Lattice, seed: int = 0) -> np.ndarray:
    spin = np.random.default_rng(seed).normal(size=(lattice.sites, 3))
    return (spin / np.linalg.norm(spin, axis=1, keepdims=True)).astype(np.float32)


def canvas(page: Page) -> Locator:
    return page.locator("canvas.lattice-map")


def pixels(page: Page) -> np.ndarray:
    """The picture (height, width, 4), as the browser has it."""
    data = canvas(page).evaluate(f"async canvas => (await fetch(({PIXELS})(canvas))).arrayBuffer()"
                                 ".then(data => Array.from(new Uint8Array(data)))")  # fmt: skip
    return np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGBA"))


def places(lattice: Lattice, width: float, height: float) -> np.ndarray:
    """Column and row of every site in the whole picture: the torus cut open as a rectangle, half a cell of margin."""
    if not lattice.is_regular:
        scale = width / lattice.periods[0, 0]
        return np.stack([lattice.positions[:, 0] * scale, height - lattice.positions[:, 1] * scale], 1)
    row = ROOT3_2 if lattice.kind == "triangular" else 1.0
    x = (lattice.positions[:, 0] + 0.5) % lattice.shape[0]
    y = lattice.positions[:, 1] + row / 2
    return np.stack([x / lattice.shape[0] * width, height - y / (lattice.shape[1] * row) * height], 1)


def on_screen(page: Page, lattice: Lattice, site: int) -> tuple[float, float]:
    """Where a site of the whole picture is, in the window."""
    box = settled_box(canvas(page))
    x, y = places(lattice, box["width"], box["height"])[site]
    return box["x"] + x, box["y"] + y


def said(page: Page) -> str:
    return str(page.locator(".lattice-reading").text_content())


@pytest.mark.parametrize("name", LATTICES)
def test_both_renderers_show_every_site_in_its_colour(open_map: OpenMap, name: str) -> None:
    lattice = LATTICES[name]
    spin = texture(lattice)
    images = {}
    for renderer in ("webgl2", "canvas"):
        page, view = open_map(lattice, spin, renderer=renderer)
        expect(canvas(page)).to_have_attribute("data-renderer", renderer)
        assert view.panel.drawn_by == renderer
        image = images[renderer] = pixels(page).astype(int)
        where = np.floor(places(lattice, image.shape[1], image.shape[0])).astype(int)
        seen = image[where[:, 1], where[:, 0], :3]
        error = np.abs(seen - spin_colours(spin).astype(int)).max(axis=1)
        covered = 0 if lattice.is_regular else 3  # discs may hide one another's middle
        assert (error > MAP_COLOUR).sum() <= covered
        if lattice.is_regular:
            assert (image[..., 3] == 255).all()
    different = np.abs(images["webgl2"] - images["canvas"]).max(axis=-1) > MAP_RENDERERS
    assert different.mean() < 0.02  # edges of cells and discs


def test_the_faster_renderer_is_chosen_and_named(open_map: OpenMap) -> None:
    lattice = square(8)
    page, view = open_map(lattice, texture(lattice))
    times = canvas(page).evaluate("canvas => JSON.parse(canvas.dataset.times)")
    faster = min(times, key=lambda name: times[name])
    assert set(times) == {"webgl2", "canvas"} and view.panel.drawn_by == faster
    expect(canvas(page)).to_have_attribute("data-renderer", faster)
    assert page.evaluate("document.activeElement === document.body"), "a picture does not take the keyboard by itself"


def test_without_webgl_the_plain_canvas_draws(open_map: OpenMap) -> None:
    lattice = triangular(5)
    spin = np.tile(np.array([0, 0, 1], np.float32), (lattice.sites, 1))
    for wanted in ("auto", "webgl2"):
        page, _ = open_map(lattice, spin, script=NO_WEBGL, renderer=wanted)
        expect(canvas(page)).to_have_attribute("data-renderer", "canvas")
        assert (pixels(page) >= 255 - MAP_COLOUR).all(), "all up is white"


def test_a_lost_context_is_replaced_until_it_is_restored(open_map: OpenMap) -> None:
    lattice = square(4)
    spin = np.tile(np.array([0, 0, -1], np.float32), (lattice.sites, 1))
    page, _ = open_map(lattice, spin, renderer="webgl2")
    canvas(page).evaluate(
        "canvas => { window.lose = canvas.getContext('webgl2').getExtension('WEBGL_lose_context'); lose.loseContext(); }"
    )
    expect(canvas(page)).to_have_attribute("data-renderer", "canvas")
    assert (pixels(page)[..., :3] <= MAP_COLOUR).all(), "all down is black"
    page.evaluate("lose.restoreContext()")
    expect(canvas(page)).to_have_attribute("data-renderer", "webgl2")
    assert (pixels(page)[..., :3] <= MAP_COLOUR).all()


@pytest.mark.parametrize("lattice", [square(6, 5), triangular(6, 5)], ids=["square", "triangular"])
def test_a_site_is_read(open_map: OpenMap, lattice: Lattice) -> None:
    spin = texture(lattice)
    page, view = open_map(lattice, spin, label="Spin texture of the test")
    expect(canvas(page)).to_have_attribute("aria-label", "Spin texture of the test")
    chirality = scalar_chirality_of(spin, lattice)
    heard: list[bool] = []
    view.panel.on_hover(heard.append)
    for site in (0, 7, lattice.sites - 1):
        page.mouse.move(*on_screen(page, lattice, site))
        expect(page.locator(".lattice-reading")).to_have_attribute("data-element", str(site))
        lines = said(page).replace("−", "-").split("\n")
        n1, n2 = lattice.cells[site]
        assert lines[0] == f"site {site} (n₁ = {n1}, n₂ = {n2})"
        assert numbers(lines[1]) == pytest.approx(lattice.positions[site], abs=SPIN_READ)
        assert numbers(lines[2]) == pytest.approx(spin[site], abs=SPIN_READ)
        assert numbers(lines[3]) == pytest.approx([chirality[site]], abs=CHIRALITY_READ)
    assert view.panel.hovering and heard == [True]
    force = np.arange(3.0 * lattice.sites).reshape(-1, 3)
    view.panel.push_reading({"F": (force, "t₁")})
    expect(page.locator(".lattice-reading")).to_contain_text(f"F = (+{force[-1, 0]:.3f}, ")
    page.mouse.move(1, 1)
    wait_for(page, lambda: heard == [True, False], "reading ends")
    expect(page.locator(".lattice-reading")).to_be_hidden()


def numbers(line: str) -> list[float]:
    """What stands behind "=" in "S = (+1.00, -0.50) a"."""
    text = line.partition("=")[2].replace("(", "").replace(")", "").replace(" a", "")
    return [float(word) for word in text.split(",")]


def scalar_chirality_of(spin: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Mean over the triangles at every site."""
    a, b, c = (spin[lattice.plaquettes[:, k]] for k in range(3))
    values = np.einsum("pi,pi->p", a, np.cross(b, c))
    total, count = np.zeros(lattice.sites), np.zeros(lattice.sites)
    for corner in lattice.plaquettes.T:
        np.add.at(total, corner, values)
        np.add.at(count, corner, 1)
    return total / count


@pytest.mark.parametrize("renderer", ["webgl2", "canvas"])
def test_zoom_and_pan_go_where_they_should_and_back(open_map: OpenMap, renderer: str) -> None:
    lattice = triangular(12, 9)
    page, _ = open_map(lattice, texture(lattice), renderer=renderer)
    whole = pixels(page)
    reading = page.locator(".lattice-reading")
    page.mouse.move(*on_screen(page, lattice, 40))
    page.mouse.wheel(0, -500)
    wait_for(page, lambda: (pixels(page) != whole).mean() > 0.2, "it is zoomed in")
    expect(reading).to_have_attribute("data-element", "40")  # what is under the pointer stays there
    box = settled_box(canvas(page))
    cell = box["width"] / lattice.shape[0] * np.exp(0.0015 * 500)  # pixels of one lattice constant now
    x, y = on_screen(page, lattice, 40)
    page.mouse.down()
    page.mouse.move(x - cell / 2, y, steps=2)
    page.mouse.move(x - 2 * cell, y)
    page.mouse.up()
    page.mouse.move(x, y)
    expect(reading).to_have_attribute("data-element", str(40 + 2 * lattice.shape[1]))  # two cells along a1
    page.mouse.dblclick(x, y)
    wait_for(page, lambda: (pixels(page) == whole).all(), "a double click shows the whole again")


def test_keys_of_the_focused_picture(open_map: OpenMap) -> None:
    lattice = square(10)
    page, _ = open_map(lattice, texture(lattice))
    whole = pixels(page)
    canvas(page).focus()
    for key in ("+", "-"):
        page.keyboard.press(key)
        wait_for(page, lambda key=key: (pixels(page) == whole).all() == (key == "-"), f"{key} acts")
    page.keyboard.press("ArrowRight")  # a tenth of the picture: one column
    column = pixels(page).shape[1] // 10
    shifted = np.roll(whole, -column, axis=1)
    wait_for(page, lambda: (pixels(page) != shifted).mean() < 0.05, "the torus is moved by one cell")
    page.keyboard.press("0")
    wait_for(page, lambda: (pixels(page) == whole).all(), "0 shows the whole again")
    page.keyboard.press("Enter")
    expect(page.locator(".lattice-reading")).to_contain_text("site")


def test_tools_pick_sites(open_map: OpenMap) -> None:
    lattice = triangular(8)
    page, view = open_map(lattice, texture(lattice), tool="drag")
    picks: list[Pick] = []
    view.panel.on_pick(picks.append)
    whole = pixels(page)
    page.mouse.move(*on_screen(page, lattice, 20))
    page.mouse.down()
    page.mouse.move(*on_screen(page, lattice, 21), steps=12)
    page.mouse.up()
    wait_for(page, lambda: len(picks) >= 3, "three picks arrive")
    assert picks == [Pick(20, "down", False, "drag"), Pick(21, "move", False, "drag"), Pick(21, "up", False, "drag")]
    page.keyboard.down("Shift")
    page.mouse.click(*on_screen(page, lattice, 3))
    wait_for(page, lambda: len(picks) == 5, "a click arrives")
    assert picks[3:] == [Pick(3, "down", True, "drag"), Pick(3, "up", True, "drag")]
    assert (pixels(page) == whole).all(), "a tool in hand does not move the picture"


def test_a_finger_scrolls_the_page_until_the_map_needs_it(open_map: OpenMap) -> None:
    lattice = square(10)
    page, view = open_map(lattice, texture(lattice))
    allowed = lambda: canvas(page).evaluate("canvas => getComputedStyle(canvas.parentElement).touchAction")  # noqa: E731
    assert allowed() == "pan-y"
    canvas(page).focus()
    for key, wanted in (("+", "none"), ("0", "pan-y")):
        page.keyboard.press(key)
        wait_for(page, lambda wanted=wanted: allowed() == wanted, f"{key} acts")
    view.panel.tool = "drag"
    wait_for(page, lambda: allowed() == "none", "a tool in hand takes the finger")


def test_without_a_tool_nothing_is_picked_and_nonsense_is_left_out() -> None:
    panel = LatticeMap()
    picks: list[Pick] = []
    panel.on_pick(picks.append)
    panel._last = {"frame": 1, "shape": [4, 4]}
    good = {"kind": "pick", "site": 15, "phase": "down", "shift": True, "tool": "flip"}
    for wrong in ({"site": 16}, {"site": -1}, {"site": "3"}, {"phase": "sideways"}, {"tool": "rm"}):
        panel._handle_msg({**good, **wrong})
    assert not picks
    panel._handle_msg(good)
    assert picks == [Pick(15, "down", True, "flip")]


@pytest.mark.parametrize("lattice", [triangular(4, 5), random_sites(9)], ids=lambda one: one.kind)
def test_the_texture_can_be_taken_away(lattice: Lattice) -> None:
    view, spin = SpinView(), texture(lattice)
    with pytest.raises(ValueError, match="no texture to download yet"):
        view.file("csv")
    view.show(Frame(0, np.zeros(1), spin[None], lattice))
    table = np.genfromtxt(io.BytesIO(view.file("csv")), delimiter=",", skip_header=1)
    np.testing.assert_allclose(table, np.concatenate([lattice.positions, spin], axis=1), rtol=1e-5, atol=1e-6)
    assert b"<svg" in view.file("svg")[:200]
    assert Image.open(io.BytesIO(view.file("png"))).size[0] > 100


@pytest.mark.parametrize("shape", [(4, 2), (2, 4, 3)])
def test_a_reading_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"needs the shape \(N,\) or \(N, 3\)"):
        LatticeMap().push_reading({"F": (np.zeros(shape), "t₁")})


def test_a_slow_tab_skips_frames(open_map: OpenMap) -> None:
    lattice = square(16)
    page, view = open_map(lattice, texture(lattice), script=SLOW, renderer="canvas")
    before = page.evaluate("() => window.__spinviz_frames.spin")
    for step in range(1, 31):
        view.show(Frame(step, np.zeros(1), texture(lattice, step)[None], lattice))
        page.wait_for_timeout(20)
    newest = view.panel._frame
    wait_for(page, lambda: view.panel.drawn == newest, "the newest frame is drawn")
    assert page.evaluate("() => window.__spinviz_frames.spin") - before < 15
    assert view.panel.most_in_flight <= 2


def test_the_reading_has_the_colours_of_the_page(open_map: OpenMap) -> None:
    lattice = square(4)
    page, _ = open_map(lattice, texture(lattice), theme="dark")
    page.mouse.move(*on_screen(page, lattice, 5))
    expect(page.locator(".lattice-reading")).to_have_css("background-color", css(PAGE["dark"]["surface"]))


def css(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"


def test_arrows_lie_along_their_spins_in_both_renderers(open_map: OpenMap) -> None:
    lattice = square(4)
    spin = np.tile(np.array([1, 0, 0], np.float32), (lattice.sites, 1))  # red, arrows to the right
    for renderer in ("webgl2", "canvas"):
        page, view = open_map(lattice, spin, renderer=renderer)
        plain = pixels(page).astype(int)
        view.show(Frame(0, np.zeros(1), spin[None], lattice))
        wait_for(page, lambda view=view: view.panel.drawn == 2, "arrows are drawn")
        cell = plain.shape[0] // 4
        ink = (np.abs(pixels(page).astype(int) - plain).max(axis=-1) > 40)[:cell, :cell]
        rows, columns = np.nonzero(ink)
        assert np.ptp(columns) > 2 * np.ptp(rows), "it lies along x"
        assert ink[:, cell // 2 :].sum() > 1.3 * ink[:, : cell // 2].sum(), "its head is on the right"
