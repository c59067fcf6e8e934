"""What can be measured: functions of spins and lattices, and the registry that names them."""

from engine.electrons.spectral_moments import Sampling
from engine.observables.correlation import correlation_envelope, correlation_length
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
from engine.observables.spectra import (
    Spectrum,
    electron_density,
    local_density_of_states,
    sampled_density_of_states,
)
from engine.observables.spin import magnetization, spin_correlation, torque
from engine.observables.structure_factor import ZonePath, fold_to_zone, ring_average, structure_factor, zone_path
from engine.observables.topology import scalar_chirality, topological_charge, topological_charge_density
from engine.observables.transport import Conductivity, conductivity

__all__ = [
    "OBSERVABLES",
    "Conductivity",
    "Observable",
    "Observation",
    "PowerLaw",
    "Sampling",
    "Spectrum",
    "ZonePath",
    "available_observables",
    "bond_current",
    "cluster_sizes",
    "clusters",
    "conductivity",
    "correlation_envelope",
    "correlation_length",
    "density_of_states",
    "domain_length",
    "electron_density",
    "ferromagnetic_clusters",
    "fold_to_zone",
    "hall_conductivity",
    "local_density",
    "local_density_of_states",
    "magnetization",
    "mean_cluster_size",
    "observe",
    "peak_length",
    "peak_order",
    "power_law_fit",
    "register",
    "ring_average",
    "sampled_density_of_states",
    "scalar_chirality",
    "spin_correlation",
    "structure_factor",
    "topological_charge",
    "topological_charge_density",
    "torque",
    "zone_path",
]
