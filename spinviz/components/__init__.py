"""Browser-side components: pictures that are coloured and drawn in the browser from a few bytes per site."""

from spinviz.components.lattice_map import LatticeMap, Pick

__all__ = ["LatticeMap", "Pick"]
