"""Files: trajectories (HDF5), and exchange with other programs (OVF 2.0, VTK)."""

from engine.io.ovf import read_ovf, write_ovf
from engine.io.trajectory import Trajectory, TrajectoryWriter, read_trajectory
from engine.io.vtk import write_vtk

__all__ = ["Trajectory", "TrajectoryWriter", "read_ovf", "read_trajectory", "write_ovf", "write_vtk"]
