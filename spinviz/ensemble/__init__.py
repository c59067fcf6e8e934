"""Ensembles: many replicas at many parameter points, spread over processes or machines, in one file.

    from spinviz.ensemble import EnsemblePlan, read_ensemble, run_ensemble

    plan = EnsemblePlan("skyrmion", replicas=30, sweep={"field_z": (0.0, 0.005)}, steps=100, every=10, size=24)
    run_ensemble(plan, "fields.h5", workers=2)
    with read_ensemble("fields.h5") as ensemble:
        mean, error = ensemble.mean("topological_charge")

A script that starts workers keeps its own calls under ``if __name__ == "__main__":``, because workers import it.
"""

from spinviz.ensemble.plan import EnsemblePlan, parse_sweep
from spinviz.ensemble.run import Outcome, run_ensemble
from spinviz.ensemble.store import EnsembleFile, read_ensemble
from spinviz.ensemble.workers import local_cluster

__all__ = [
    "EnsembleFile",
    "EnsemblePlan",
    "Outcome",
    "local_cluster",
    "parse_sweep",
    "read_ensemble",
    "run_ensemble",
]
