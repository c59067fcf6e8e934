"""One file per picture. Every view has a ``panel`` to place on a page and ``show(frame)``; none sees a tensor."""

from spinviz.views.audit_view import AuditView
from spinviz.views.chirality_view import ChiralityView
from spinviz.views.disagreement_view import DisagreementView
from spinviz.views.domain_view import DomainView
from spinviz.views.spin_view import SpinView
from spinviz.views.structure_factor_view import StructureFactorView
from spinviz.views.time_series_view import TimeSeriesView
from spinviz.views.view import View

__all__ = [
    "AuditView",
    "ChiralityView",
    "DisagreementView",
    "DomainView",
    "SpinView",
    "StructureFactorView",
    "TimeSeriesView",
    "View",
]
