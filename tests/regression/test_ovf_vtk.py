"""OVF 2.0 and VTK files, checked by readers and writers that are not ours."""

from pathlib import Path

import discretisedfield
import numpy as np
import pytest
import pyvista

from engine.frame import Frame
from engine.io.ovf import REPRESENTATIONS, read_ovf, read_vector_field, write_ovf
from engine.io.vtk import inner_plaquettes, write_vtk
from engine.lattice import Lattice, random_sites, square, triangular
from tests.tolerances import FILE_DOUBLE, FILE_SINGLE

THEIRS = {"text": "txt", "binary4": "bin4", "binary8": "bin8"}
ROUNDING = {"text": FILE_SINGLE, "binary4": FILE_SINGLE, "binary8": FILE_SINGLE}
LATTICES = [square(5, 3), triangular(4, 3), random_sites(15, seed=1)]


def make_frame(lattice: Lattice) -> Frame:
    generator = np.random.default_rng(7)
    spin = generator.normal(size=(2, lattice.sites, 3))
    spin = (spin / np.linalg.norm(spin, axis=-1, keepdims=True)).astype(np.float32)
    observables = {
        "energy": np.array([1.0, 2.0]),
        "local_density": generator.random((2, lattice.sites)),
        "scalar_chirality": generator.random((2, len(lattice.plaquettes))),
    }
    return Frame(12, np.array([1.25, 1.25]), spin, lattice, observables)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: lattice.kind)
def test_ovf_round_trip(tmp_path: Path, lattice: Lattice, representation: str) -> None:
    frame = make_frame(lattice)
    write_ovf(tmp_path / "a.ovf", frame, replica=1, representation=representation)
    back = read_ovf(tmp_path / "a.ovf")
    assert back.lattice.description() == lattice.description()
    np.testing.assert_allclose(back.spin[0], frame.spin[1], atol=FILE_SINGLE)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_ovf_is_read_by_discretisedfield(tmp_path: Path, representation: str) -> None:
    frame = make_frame(square(5, 3))
    write_ovf(tmp_path / "a.ovf", frame, representation=representation)
    field = discretisedfield.Field.from_file(str(tmp_path / "a.ovf"))
    assert tuple(field.mesh.n) == (5, 3, 1)
    for site, position in enumerate(frame.lattice.positions):
        np.testing.assert_allclose(field((*position, 0.0)), frame.spin[0, site], atol=ROUNDING[representation])


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_ovf_of_discretisedfield_is_read(tmp_path: Path, representation: str) -> None:
    mesh = discretisedfield.Mesh(p1=(0, 0, 0), p2=(5e-9, 4e-9, 1e-9), n=(5, 4, 1))
    values = np.random.default_rng(2).normal(size=(5, 4, 1, 3))
    field = discretisedfield.Field(mesh, nvdim=3, value=values, norm=8e5)
    field.to_file(str(tmp_path / "a.ovf"), representation=THEIRS[representation])
    frame = read_ovf(tmp_path / "a.ovf")
    assert frame.lattice.kind == "square" and frame.lattice.shape == (5, 4)
    expected = field.orientation.array[:, :, 0].reshape(20, 3)
    np.testing.assert_allclose(frame.spin[0], expected, atol=FILE_SINGLE)


def test_irregular_ovf_says_position_and_spin_in_each_line(tmp_path: Path) -> None:
    frame = make_frame(triangular(4, 3))
    write_ovf(tmp_path / "a.ovf", frame, representation="text")
    text = (tmp_path / "a.ovf").read_text()
    assert "# meshtype: irregular\n# pointcount: 12\n" in text and "nodes" not in text
    rows = np.loadtxt(tmp_path / "a.ovf")  # an independent reader: comments and numbers
    np.testing.assert_allclose(rows[:, :2], frame.lattice.positions, atol=FILE_DOUBLE)
    np.testing.assert_allclose(rows[:, 3:], frame.spin[0], atol=FILE_SINGLE)


def test_irregular_ovf_in_any_order_is_sorted_onto_the_lattice(tmp_path: Path) -> None:
    lattice = triangular(4, 5)
    frame = make_frame(lattice)
    write_ovf(tmp_path / "a.ovf", frame, representation="text")
    lines = (tmp_path / "a.ovf").read_text().splitlines()
    rows = [line for line in lines if not line.startswith("#")]
    shuffled = np.random.default_rng(0).permutation(len(rows))
    first = lines.index(rows[0])
    lines[first : first + len(rows)] = [rows[i] for i in shuffled]
    (tmp_path / "b.ovf").write_text("\n".join(line for line in lines if "Desc: lattice" not in line))
    back = read_ovf(tmp_path / "b.ovf", lattice)
    found = [np.abs(frame.spin[0] - np.roll(back.spin[0].reshape(4, 5, 3), shift, (0, 1)).reshape(-1, 3)).max()
             for shift in np.ndindex(4, 5)]  # fmt: skip
    assert min(found) < FILE_SINGLE  # the origin of a periodic lattice is free
    assert found[0] < FILE_SINGLE  # and kept, where the file has its lowest row
    with pytest.raises(ValueError, match="give lattice="):
        read_ovf(tmp_path / "b.ovf")
    with pytest.raises(ValueError, match="do not lie on the sites"):
        read_ovf(tmp_path / "b.ovf", square(4, 5))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("OVF 2.0", "OVF 1.0", "not an OVF 2.0"),
        ("valuedim: 3", "valuedim: 1", "valuedim"),
        ("xnodes: 5", "xnodes: -5", "positive integer"),
        ("xnodes: 5", "xnodes: 99999999", "at most"),
        ("xnodes: 5", "xnodes: nan", "finite"),
        ("ynodes: 3", "ynodes: 4", "promises"),
        ("meshtype: rectangular", "meshtype: round", "meshtype"),
        ("# Begin: Data Text", "# Begin: Data Base64", "expected Text"),
        ("# Begin: Data Text", "#", "before its"),
        ('"L1": 5', '"L1": 50', "describes a lattice"),
        ('"L1": 5', '"L1": null', "cannot be read"),
        ('"kind": "square"', '"knd": "square"', "cannot be read"),
    ],
)
def test_malformed_ovf_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_ovf(tmp_path / "a.ovf", make_frame(square(5, 3)), representation="text")
    text = (tmp_path / "a.ovf").read_text()
    assert old in text
    (tmp_path / "a.ovf").write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_ovf(tmp_path / "a.ovf")


def test_damaged_ovf_data_are_refused(tmp_path: Path) -> None:
    path, frame = tmp_path / "a.ovf", make_frame(square(5, 3))
    write_ovf(path, frame)
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    with pytest.raises(ValueError, match="truncated"):
        read_ovf(path)
    path.write_bytes(whole.replace(np.array(123456789012345.0).tobytes(), b"\0" * 8))
    with pytest.raises(ValueError, match="check value"):
        read_ovf(path)
    frame.spin[0, 4] = 0
    write_ovf(path, frame)
    with pytest.raises(ValueError, match="without magnetization"):
        read_ovf(path)
    with pytest.raises(ValueError, match="sites"):
        read_ovf(path, square(4))
    with pytest.raises(ValueError, match="representation"):
        write_ovf(path, frame, representation="binary2")
    with pytest.raises(ValueError, match="replicas 0 to 1"):
        write_ovf(path, frame, replica=2)
    assert read_vector_field(path).positions[1].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: lattice.kind)
def test_vtk_is_read_by_pyvista(tmp_path: Path, lattice: Lattice, binary: bool) -> None:
    frame = make_frame(lattice)
    write_vtk(tmp_path / "a.vtk", frame, replica=1, binary=binary)
    mesh = pyvista.read(tmp_path / "a.vtk")
    tolerance = FILE_SINGLE
    np.testing.assert_allclose(mesh.points[:, : lattice.dimension], lattice.positions, atol=tolerance)
    np.testing.assert_allclose(mesh.point_data["spin"], frame.spin[1], atol=tolerance)
    np.testing.assert_allclose(mesh.point_data["local_density"], frame.observables["local_density"][1], atol=tolerance)
    kept = inner_plaquettes(lattice)
    if lattice.is_regular:
        assert mesh.n_cells == kept.sum() == 2 * (lattice.shape[0] - 1) * (lattice.shape[1] - 1)
        assert np.allclose(mesh.compute_cell_sizes()["Area"], np.linalg.det(lattice.primitive_vectors) / 2)
        expected = frame.observables["scalar_chirality"][1][kept]
        np.testing.assert_allclose(mesh.cell_data["scalar_chirality"], expected, atol=tolerance)
    else:
        assert mesh.n_cells == lattice.sites
    with pytest.raises(ValueError, match="replicas 0 to 1"):
        write_vtk(tmp_path / "b.vtk", frame, replica=5)
