"""What every picture shows, in words: its formula and where it comes from. Text only; shown by the info buttons.

Notation as in the engine: unit spins S, N sites, lattice constant 1, energies in t1, time in hbar/t1.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """Help of one picture. ``formula`` is HTML (one or more lines), ``source`` a citation."""

    title: str
    text: str
    formula: str
    source: str

    @property
    def html(self) -> str:
        """The whole help as HTML."""
        return (
            f"<b>{self.title}</b><p>{self.text}</p>"
            f'<p style="font-family:Cambria,Georgia,serif;font-size:15px;text-align:center">{self.formula}</p>'
            f'<p style="opacity:.75">{self.source}</p>'
        )


EXPLANATIONS: dict[str, Explanation] = {
    "spin": Explanation(
        "Spin texture",
        "One cell per site. Hue is the direction in the plane (red +x, green 120°, blue 240°), white points up, black "
        "points down. Arrows show the part in the plane, on a subgrid of large lattices.",
        "hue = atan2(S<sub>y</sub>, S<sub>x</sub>), &nbsp; lightness = (1 + S<sub>z</sub>) / 2",
        "The usual colour sphere of the skyrmion literature.",
    ),
    "chirality": Explanation(
        "Scalar chirality",
        "How much the three spins of a triangle twist out of a plane: zero for collinear and coplanar spins, ±1 for "
        "three perpendicular ones. An electron that goes round the triangle collects a Berry phase of half the solid "
        "angle, as from a magnetic flux. Triangles are taken counter-clockwise; the colour range follows the values.",
        "χ = S<sub>a</sub> · (S<sub>b</sub> × S<sub>c</sub>)",
        "X.-G. Wen, F. Wilczek, A. Zee, Phys. Rev. B 39, 11413 (1989).",
    ),
    "charge_density": Explanation(
        "Density of the topological charge",
        "How much of the sphere the three spins of a triangle cover, with the sign of the way round: from −½ to +½, 0 for "
        "coplanar spins that do not go round. The sum over all triangles is the charge Q, a whole number on the torus, "
        "−1 for a skyrmion with its core down. Where the spins turn slowly it is χ/8π. Triangles are taken "
        "counter-clockwise; the colour range follows the values.",
        "ρ = Ω / 4π, &nbsp; Q = Σ<sub>△</sub> ρ, &nbsp; tan(Ω/2) = S<sub>a</sub>·(S<sub>b</sub>×S<sub>c</sub>) / "
        "(1 + S<sub>a</sub>·S<sub>b</sub> + S<sub>b</sub>·S<sub>c</sub> + S<sub>c</sub>·S<sub>a</sub>)",
        "B. Berg, M. Lüscher, Nucl. Phys. B 190, 412 (1981).",
    ),
    "structure_factor": Explanation(
        "Structure factor on the Brillouin zone",
        "Weight of the spin wave of wave vector q in the texture: a helix is a pair of spots, a skyrmion crystal six, "
        "tetrahedral order one at each M point. Colour is √S, or log₁₀ S with the switch, so that weak peaks show. All N "
        "momenta of the periodic lattice are drawn, folded into the hexagon (or square) with the points Γ, K, M (X).",
        "S(q) = | N<sup>−1</sup> Σ<sub>i</sub> S<sub>i</sub> e<sup>i q·r<sub>i</sub></sup> |², &nbsp; "
        "Σ<sub>q</sub> S(q) = 1",
        "C. Cheng et al., Phys. Rev. Research 5, 033188 (2023), eq. 12.",
    ),
    "path": Explanation(
        "Structure factor along Γ–K–M–Γ",
        "S(q) at the momenta of the finite lattice that lie nearest to straight lines between the high-symmetry points. "
        "The lines between the points guide the eye only.",
        "S(q) = | N<sup>−1</sup> Σ<sub>i</sub> S<sub>i</sub> e<sup>i q·r<sub>i</sub></sup> |²",
        "Points of the zone: W. Setyawan, S. Curtarolo, Comput. Mater. Sci. 49, 299 (2010).",
    ),
    "rings": Explanation(
        "Ring average of the structure factor",
        "Mean of S over all momenta of equal length, in rings as wide as the spacing of the momenta: a powder pattern. "
        "Its peak is the wave length 2π/|q| of the texture, its width the inverse of the domain size.",
        "S(|q|) = ⟨ S(q′) ⟩<sub>|q′| ≈ |q|</sub>, &nbsp; q′ folded into the first Brillouin zone",
        "A. J. Bray, Adv. Phys. 43, 357 (1994), sec. 2.",
    ),
    "history": Explanation(
        "History of the structure factor (kymograph)",
        "The ring average at every time, from left to right, in log₁₀: during coarsening the ring sharpens, and the "
        "scaling hypothesis says that it does so without changing its shape. A long run is thinned out evenly.",
        "S(|q|, t) = L<sup>d</sup> g(|q| L(t))",
        "A. J. Bray, Adv. Phys. 43, 357 (1994), sec. 2.",
    ),
    "domains": Explanation(
        "Domain size and correlation length",
        "L spin: size of domains of the order at the highest peaks of S(q). L chirality: size of domains of one "
        "handedness. ξ: where the spins' correlations, without the oscillation of order at a finite q, have fallen to "
        "1/e. The exponents n beside the names are fitted over the last factor of ten in time; 0.34(2) is 0.34 ± 0.02, "
        "the error of the straight line with the points taken as independent. Dashed: slopes 1 (straight walls driven at "
        "constant speed), ½ (curvature-driven, not conserved), ⅓ (conserved). A length near the sample's size is one "
        "domain: the fit means nothing there.",
        "L = 2π / Δk, &nbsp; Δk = Σ<sub>k</sub> |k − k<sub>peak</sub>| S(k) / Σ<sub>k</sub> S(k)<br>"
        "G(ξ) = 1/e, &nbsp; G(r) = Σ<sub>k</sub> S(k) J<sub>0</sub>(|k − k<sub>peak</sub>| r) / Σ<sub>k</sub> S(k)<br>"
        "L, ξ ∝ t<sup>n</sup>",
        "S. Zhang, thesis, Univ. of Virginia (2024), ch. 2 and 3: L; A. J. Bray, Adv. Phys. 43, 357 (1994), sec. 2: "
        "C(r, t) = f(r / L(t)); S. M. Allen, J. W. Cahn, Acta Metall. 27, 1085 (1979): ½; I. M. Lifshitz, V. V. Slyozov "
        "(1961): ⅓.",
    ),
    "series": Explanation(
        "Charge, magnetization and energy",
        "The charge counts how often the spins wrap the sphere, an integer on the torus: −1 for a skyrmion with its core "
        "down. M is the mean spin. The energy per site is the grand potential (fixed μ) or the free energy (fixed "
        "filling) with the classical terms; it falls monotonously only in a bath of zero temperature.",
        "Q = Σ<sub>△</sub> Ω/4π, &nbsp; tan(Ω/2) = S<sub>a</sub>·(S<sub>b</sub>×S<sub>c</sub>) / "
        "(1 + S<sub>a</sub>·S<sub>b</sub> + S<sub>b</sub>·S<sub>c</sub> + S<sub>c</sub>·S<sub>a</sub>), &nbsp; "
        "M = N<sup>−1</sup> Σ S<sub>i</sub>",
        "B. Berg, M. Lüscher, Nucl. Phys. B 190, 412 (1981).",
    ),
    "density_of_states": Explanation(
        "Density of states",
        "Levels of the electrons in the present texture, frozen, per site and energy, both spins. Filled up to the "
        "chemical potential μ (dashed). Levels of a mesh of boundary twists are drawn as Gaussians; the width is the "
        "resolution.",
        "ρ(E) = N<sup>−1</sup> Σ<sub>n</sub> δ(E − ε<sub>n</sub>), &nbsp; ∫ ρ dE = 2",
        "Twisted boundaries: D. Poilblanc, Phys. Rev. B 44, 9562 (1991).",
    ),
    "local_density": Explanation(
        "Local electron density",
        "Electrons on every site, from 0 to 2. Uniform where all sites are equivalent; in the double-exchange model the "
        "holes gather in ferromagnetic puddles.",
        "n<sub>i</sub> = Σ<sub>α</sub> ⟨c†<sub>iα</sub> c<sub>iα</sub>⟩ = Tr ρ<sub>ii</sub>",
        "E. Dagotto, T. Hotta, A. Moreo, Phys. Rep. 344, 1 (2001).",
    ),
    "bond_current": Explanation(
        "Bond currents",
        "Particle current along every bond in equilibrium: no charge is transported, but spins with a chirality drive "
        "loop currents. Arrows are scaled to the largest one; weak ones are left out.",
        "I<sub>i→j</sub> = −2 Im Tr[h<sub>ij</sub> ρ<sub>ji</sub>]",
        "L. N. Bulaevskii et al., Phys. Rev. B 78, 024402 (2008).",
    ),
    "hall_conductivity": Explanation(
        "Hall conductivity",
        "What the chirality of the texture does to a current, without any magnetic field: at every chemical potential, "
        "averaged over boundary twists. In a gap it is a whole number of e²/h (minus the Chern number).",
        "σ<sub>xy</sub> = (e²/h)(2π/A) ⟨ Σ<sub>n≠m</sub> (f<sub>n</sub> − f<sub>m</sub>) Im[⟨n|v<sub>x</sub>|m⟩"
        "⟨m|v<sub>y</sub>|n⟩] / (ε<sub>n</sub> − ε<sub>m</sub>)² ⟩<sub>θ</sub>",
        "D. J. Thouless et al., Phys. Rev. Lett. 49, 405 (1982); I. Martin, C. D. Batista, Phys. Rev. Lett. 101, 156402 "
        "(2008).",
    ),
    "torque": Explanation(
        "Torque of the electrons on the spins",
        "Histogram over the sites of the torque that turns the spins, of exact forces with the field: zero at rest. The "
        "field along the spin itself does nothing.",
        "τ<sub>i</sub> = | S<sub>i</sub> × h<sub>i</sub> |, &nbsp; h<sub>i</sub> = −∂F/∂S<sub>i</sub> = "
        "J ⟨c†<sub>i</sub> σ c<sub>i</sub>⟩ + H",
        "Hellmann–Feynman theorem; C. Cheng et al., Phys. Rev. Research 5, 033188 (2023).",
    ),
    "audit": Explanation(
        "Audit of the running force",
        "Every component of the force across the spin that moves this run, against exact diagonalization at the same "
        "spins. On the line it is right.",
        "ε = rms(h<sub>⊥</sub> running − h<sub>⊥</sub> exact) / rms(h<sub>⊥</sub> exact)",
        "Definition of this project; the part along the spin would flatter every force.",
    ),
    "disagreement": Explanation(
        "Disagreement of two networks",
        "Difference of two learned forces, the quick one and the accurate one, at every site, in units of the rms force "
        "(near rest: of half of that in the data): bright where the quick one errs. Now "
        "and then, as the accurate one takes long.",
        "d<sub>i</sub> = | h<sub>⊥,i</sub><sup>(1)</sup> − h<sub>⊥,i</sub><sup>(2)</sup> | / rms(h<sub>⊥</sub>)",
        "Query by committee: H. S. Seung, M. Opper, H. Sompolinsky, COLT 1992.",
    ),
}
