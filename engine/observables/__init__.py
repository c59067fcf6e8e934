"""What can be measured: functions of spins and lattices, and the registry that names them."""

from engine.observables.domains import (
    PowerLaw,
    cluster_sizes,
    clusters,
    domain_length,
    ferromagnetic_clusters,
    mean_cluster_size,
    peak_length,
    peak_order,
    power_law_fit,
)
from engine.observables.electron import bond_current, density_of_states, hall_conductivity, local_density
from engine.observables.observable import (
    OBSERVABLES,
    Observable,
    Observation,
    available_observables,
    observe,
    register,
)
from engine.observables.spin import magnetization, spin_correlation, torque
from engine.observables.structure_factor import ZonePath, fold_to_zone, ring_average, structure_factor, zone_path
from engine.observables.topology import scalar_chirality, topological_charge, topological_charge_density

__all__ = [
    "OBSERVABLES",
    "Observable",
    "Observation",
    "PowerLaw",
    "ZonePath",
    "available_observables",
    "bond_current",
    "cluster_sizes",
    "clusters",
    "density_of_states",
    "domain_length",
    "ferromagnetic_clusters",
    "fold_to_zone",
    "hall_conductivity",
    "local_density",
    "magnetization",
    "mean_cluster_size",
    "observe",
    "peak_length",
    "peak_order",
    "power_law_fit",
    "register",
    "ring_average",
    "scalar_chirality",
    "spin_correlation",
    "structure_factor",
    "topological_charge",
    "topological_charge_density",
    "torque",
    "zone_path",
]
