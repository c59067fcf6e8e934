"""The front door: what there is, with pictures. One script can show every page, for servers that serve only that script.

`panel serve apps/` serves apps/main.py alone, at /apps: there the links are /apps?page=live and so on, and the same script
shows that page. Where `spinviz serve` shows every script the links are the pages' own addresses.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from engine.presets import PRESETS
from spinviz.theme import MATERIAL
from spinviz.widgets.narrow import NARROW

PICTURES = Path(__file__).resolve().parents[2] / "assets" / "index"
PAGES: dict[str, tuple[str, str, str]] = {  # name -> module of its function, heading, text
    "live": ("spinviz.layout", "Laboratory", "Watch a magnet move; turn field, temperature and damping while it runs; "
             "quench it, record it, see its structure factor and domains grow."),
    "learn": ("spinviz.pages.learn", "Lessons", "From one precessing spin to skyrmions, the Hall effect and learned forces: "
              "predict, then let the simulation decide."),
    "gallery": ("spinviz.pages.gallery", "Gallery", "Recorded runs to replay, scrub and compare side by side. Bring your "
                "own recording, OVF file or checkpoint."),
    "electrons": ("spinviz.pages.electrons", "Electrons", "What the electrons do in a texture: density of states, currents, "
                  "torques, and the quantized Hall conductivity."),
    "compare": ("spinviz.pages.compare", "Compare", "Two runs from one start, locked in time, with other parameters or "
                "another force: how soon do they part?"),
}  # fmt: skip
ALONE = ("apps", "main")  # last part of the address of the script that can show every page
STYLE = """
<style>
.front{max-width:1180px;margin:0 auto;padding:18px 20px 28px;font-family:inherit}
.front h1{font-size:25px;font-weight:600;margin:4px 0 4px}
.front p.lead{margin:0 0 18px;font-size:15px;opacity:.8;max-width:74ch}
.front .doors{display:grid;grid-template-columns:repeat(6,1fr);gap:16px}
.front a{grid-column:span 2;display:flex;flex-direction:column;text-decoration:none;color:inherit;
 border-radius:10px;overflow:hidden;background:#8881;box-shadow:0 1px 4px #0004;transition:transform .12s,box-shadow .12s}
.front a:nth-child(-n+2){grid-column:span 3}
.front a:hover,.front a:focus-visible{transform:translateY(-2px);box-shadow:0 6px 18px #0005;outline:none}
.front a:focus-visible{outline:3px solid #5c6bc0}
.front img{width:100%;height:168px;object-fit:cover;display:block}
.front a:nth-child(-n+2) img{height:190px}
.front b{font-size:17px;padding:9px 14px 0}
.front span{font-size:13.5px;line-height:1.4;padding:2px 14px 12px;opacity:.85}
.front h2{font-size:19px;font-weight:600;margin:26px 0 10px}
.front .systems{display:grid;grid-template-columns:repeat(6,1fr);gap:12px}
.front .systems a,.front .systems a:nth-child(-n+2){grid-column:span 1}
.front .systems img,.front .systems a:nth-child(-n+2) img{height:108px}
.front .systems b{font-size:13.5px;line-height:1.3;padding:7px 10px 9px;font-weight:500}
@media (max-width:800px){.front .systems{grid-template-columns:repeat(2,1fr)}}
@media (max-width:800px){.front .doors{grid-template-columns:1fr}.front .doors a{grid-column:span 1 !important}}
</style>"""


def address_of(name: str, path: str | None = None) -> str:
    """Relative address of a page ("" for the front door) from the page at ``path`` (default: the one being opened)."""
    if path is None:
        context = pn.state.curdoc.session_context if pn.state.curdoc else None
        path = context.request.path if context is not None and context.request is not None else "/"
    alone = path.rstrip("/").rsplit("/", 1)[-1] in ALONE
    if not name:
        return "?" if alone else "./"
    return f"?page={name}" if alone else name


def live_address(system: str) -> str:
    """Relative address of the live page with this system."""
    page = address_of("live")
    return f"{page}{'&' if '?' in page else '?'}preset={system}"


def links(present: str, running: bool = False, least: int = NARROW) -> Any:
    """Links to all pages, for a head line; the present one stands out. They open another tab where a simulation is
    ``running`` that a click should not end; windows narrower than ``least`` pixels do without."""
    style = 'style="color:inherit;text-decoration:none;opacity:.85"' + (' target="_blank"' if running else "")
    words = [f'<a {style} href="{address_of("")}">home</a>']
    words += [
        f'<b aria-current="page">{name}</b>' if name == present else f'<a {style} href="{address_of(name)}">{name}</a>'
        for name in PAGES
    ]
    row = "".join(f'<span style="margin-left:18px">{word}</span>' for word in words)
    return pn.pane.HTML(
        f'<nav aria-label="Pages" style="color:#fff;font-size:14px;text-align:right;white-space:nowrap">{row}</nav>',
        margin=0, align="center", sizing_mode="stretch_width",
        stylesheets=[f"@media (max-width: {least - 1}px) {{nav {{display: none}}}}"],
    )  # fmt: skip


def front() -> str:
    """The cards of all pages and of all systems, as HTML with their pictures inside."""
    doors = "".join(
        f'<a href="{address_of(name)}" class="door-{name}">{_picture(name)}<b>{heading}</b><span>{text}</span></a>'
        for name, (_, heading, text) in PAGES.items()
    )
    lead = (
        "Classical spins, driven by the electrons they scatter. At every step the electrons' quantum-mechanical force is "
        "computed, exactly, by Chebyshev expansion or by a network trained here, and the spins move."
    )
    systems = "".join(
        f'<a href="{live_address(name)}" class="system-{name}" title="{escape(system.description, quote=True)}">'
        f"{_picture(f'system-{name}')}<b>{escape(system.title)}</b></a>"
        for name, system in PRESETS.items()
    )
    head = f'<h1>Itinerant magnets, live</h1><p class="lead">{lead}</p>'
    return f'{STYLE}<div class="front">{head}<div class="doors">{doors}</div>' + (
        f'<h2>Systems</h2><div class="systems">{systems}</div></div>'
    )


def index_page() -> Any:
    """The front door, or the page that ``?page=`` asks for."""
    asked = (pn.state.session_args or {}).get("page", [b""])[0].decode("utf-8", "replace")
    if asked in PAGES:
        pn.state.curdoc.session_context.request.arguments.pop("page", None)  # it is not the page's own
        return page_function(asked)()
    pn.extension(reconnect=True)
    said = "" if not asked else f"There is no page {asked[:40]!r}; these are the pages:"
    note = pmui.Alert(object=said, severity="warning", visible=bool(said), margin=8)
    return pmui.Page(
        title="spinviz", header=[links("")], main=[note, pn.pane.HTML(front(), sizing_mode="stretch_width", margin=0)],
        theme_config=MATERIAL, busy_indicator=None,
    )  # fmt: skip


def page_function(name: str) -> Callable[[], Any]:
    """What makes a page; imported when it is opened."""
    module = PAGES[name][0]
    made: Callable[[], Any] = getattr(import_module(module), f"{name}_page")
    return made


def _picture(name: str) -> str:
    """The page's picture inside the HTML: no other file needs to be served."""
    path = PICTURES / f"{name}.jpg"
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="" src="data:image/jpeg;base64,{data}">'
