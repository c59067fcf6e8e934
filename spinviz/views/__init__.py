"""One file per picture. Every view has a ``panel`` to place on a page and ``show(frame)``; none sees a tensor."""

from spinviz.views.chirality_view import ChiralityView
from spinviz.views.domain_view import DomainView
from spinviz.views.spin_view import SpinView
from spinviz.views.structure_factor_view import StructureFactorView
from spinviz.views.time_series_view import TimeSeriesView
from spinviz.views.view import View

__all__ = ["ChiralityView", "DomainView", "SpinView", "StructureFactorView", "TimeSeriesView", "View"]
