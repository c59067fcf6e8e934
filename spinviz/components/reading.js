// What a map says about one of its sites or triangles, computed from the last frame; spins are right to one degree.

const signed = (value, digits = 2) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
const vector = (values, digits) => `(${values.map((value) => signed(value, digits)).join(", ")})`;

// Corners of triangle 2 cell + half, counter-clockwise, as in engine.lattice.
function corners(triangle, message) {
  const [cell, second] = [triangle >> 1, triangle & 1];
  const [n1, n2] = [Math.floor(cell / message.shape[1]), cell % message.shape[1]];
  const torus = { ...message, cut: "rectangle" };
  const [right, up, corner] = [[1, 0], [0, 1], [1, 1]].map(([i, j]) => cellIndex(n1 + i, n2 + j, torus));
  if (message.kind === "triangular") return second ? [right, corner, up] : [cell, right, up];
  return second ? [cell, corner, up] : [cell, right, corner];
}

// Mean of Sa . (Sb x Sc) over the triangles that meet at a site.
function chiralityAt(site, message, spin) {
  const [n1, n2] = [Math.floor(site / message.shape[1]), site % message.shape[1]];
  const torus = { ...message, cut: "rectangle" };
  let [sum, count] = [0, 0];
  for (const [i, j] of [[0, 0], [-1, 0], [0, -1], [-1, -1]]) {
    const cell = cellIndex(n1 + i, n2 + j, torus);
    for (const triangle of [2 * cell, 2 * cell + 1]) {
      const sites = corners(triangle, message);
      if (!sites.includes(site)) continue;
      const [a, b, c] = sites.map(spin);
      sum += a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0]);
      count += 1;
    }
  }
  return sum / count;
}

// A scalar of a map: bytes are 127 times the value over the limit, which is the legend's highest text; as many digits
// as they can tell apart.
function scalarAt(element, message) {
  const value = new Int8Array(message.data)[element] / 127;
  const read = Number.parseFloat(message.high ?? "1");
  const limit = Number.isFinite(read) ? read : 1;
  return signed(value * limit, Math.max(3, 2 - Math.floor(Math.log10(limit))));
}

// Arrays of a reading: [{name, unit, digits, data: Float32 bytes (N,) or (N, 3)}].
function arraysAt(site, message, arrays) {
  return arrays.map(({ name, unit, digits, data }) => {
    const values = new Float32Array(data);
    const components = values.length / sitesOf(message);
    if (!Number.isInteger(components) || components === 0) return ""; // of another lattice
    const own = [...values.subarray(components * site, components * (site + 1))];
    return `${name} = ${components === 1 ? signed(own[0], digits) : vector(own, digits)}${unit ? " " + unit : ""}`;
  });
}

// Text about the element at a point of the plane, and its number; null where nothing is.
function reading(x, y, message, arrays) {
  const element = elementAt(x, y, message);
  if (element < 0) return null;
  if (message.mode === "triangles") {
    const text = [`triangle ${element}`, `sites ${corners(element, message).join(", ")}`, `${message.symbol ?? "χ"} = ${scalarAt(element, message)}`];
    return { element, text: text.join("\n") };
  }
  const L2 = message.shape[1];
  const cell = L2 === undefined ? "" : ` (n₁ = ${Math.floor(element / L2)}, n₂ = ${element % L2})`;
  const place = `(${positionOf(element, message).map((value) => value.toFixed(2)).join(", ")})`;
  const text = [`site ${element}${cell}`, `r = ${place} a`];
  if (message.mode === "spin") {
    const words = new Uint16Array(message.data);
    const spin = (site) => spinOf(words[site]);
    text.push(`S = ${vector(spin(element))}`);
    if (L2 !== undefined && !arrays.some(({ name }) => name === "χ")) {
      text.push(`χ = ${signed(chiralityAt(element, message, spin))}`);
    }
    text.push(...arraysAt(element, message, arrays));
  } else {
    text.push(`value ${scalarAt(element, message)}`);
  }
  return { element, text: text.filter(Boolean).join("\n") };
}
