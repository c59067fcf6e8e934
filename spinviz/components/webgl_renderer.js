// The map by WebGL2: the bytes of a frame are a texture, one texel a cell; everything else happens in the shaders.
// A full-screen triangle finds the site (its Voronoi cell) or triangle of each pixel; random sites are instanced discs,
// arrows are instanced rectangles in which the outline of the arrow is a signed distance.

const DECODE = `
  vec3 decoded(uvec2 code) {
    vec2 p = (vec2(code) - 127.5) / 127.5;
    float z = 1.0 - abs(p.x) - abs(p.y);
    if (z < 0.0) p = (1.0 - abs(p.yx)) * sign(p);
    return normalize(vec3(p, z));
  }`;

const COLOUR = `
  vec3 hued(vec3 s) {
    float angle = atan(s.y, s.x) * 0.15915494309189535;
    vec3 h = fract(vec3(angle) + vec3(0.0, 2.0 / 3.0, 1.0 / 3.0));
    vec3 base = clamp(abs(6.0 * h - 3.0) - 1.0, 0.0, 1.0);
    return clamp(0.5 + 0.5 * s.z + (1.0 - abs(s.z)) * (base - 0.5), 0.0, 1.0);
  }
  vec4 mapped(uint value) {
    return vec4(texelFetch(palette, ivec2(int(value ^ 128u), 0), 0).rgb, 1.0);
  }`;

const HEAD = `#version 300 es
  precision highp float; precision highp int; precision highp usampler2D;
  uniform usampler2D frame; uniform sampler2D palette; uniform ivec2 shape;`;

const FLAT_VERTEX = `${HEAD}
  uniform vec4 shown; // left, bottom, width, height in the plane
  out vec2 place;
  void main() {
    vec2 corner = vec2(gl_VertexID == 1 ? 2.0 : 0.0, gl_VertexID == 2 ? 2.0 : 0.0);
    place = shown.xy + corner * shown.zw;
    gl_Position = vec4(2.0 * corner - 1.0, 0.0, 1.0);
  }`;

const FLAT_FRAGMENT = `${DECODE}${COLOUR}
  in vec2 place; out vec4 colour;
  const float ROOT = 0.8660254037844386;
  void main() {
    vec2 lengths = vec2(shape), cell;
    bool second = false;
    #ifdef TRIANGLES
      vec2 p = place;
      #ifdef TRIANGULAR
        p.y /= ROOT; p.x -= 0.5 * p.y;
      #endif
      cell = floor(p); p -= cell;
      #ifdef TRIANGULAR
        second = p.x + p.y > 1.0;
      #else
        second = p.y > p.x;
      #endif
    #elif defined(TRIANGULAR)
      float below = floor(place.y / ROOT);
      vec2 rows = vec2(below, below + 1.0);
      vec2 columns = floor(place.x - 0.5 * rows + 0.5);
      vec2 gapX = place.x - columns - 0.5 * rows, gapY = place.y - rows * ROOT;
      vec2 distances = gapX * gapX + gapY * gapY;
      cell = distances.x <= distances.y ? vec2(columns.x, rows.x) : vec2(columns.y, rows.y);
    #else
      cell = floor(place + 0.5);
    #endif
    #ifdef CUT
      if (any(lessThan(cell, vec2(0.0))) || any(greaterThanEqual(cell, lengths))) { colour = vec4(0.0); return; }
    #else
      cell -= lengths * floor((cell + 0.5) / lengths);
    #endif
    uvec2 code = texelFetch(frame, ivec2(cell.yx), 0).rg;
    #ifdef SPIN
      colour = vec4(hued(decoded(code)), 1.0);
    #else
      colour = mapped(second ? code.g : code.r);
    #endif
  }`;

const DISC_VERTEX = `${HEAD}
  uniform vec4 shown; in vec2 centre; in float size; in uint site;
  out vec2 offset; flat out uint which; flat out float pixels; uniform float scale;
  void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
    offset = corner; which = site; pixels = size * scale;
    gl_Position = vec4(2.0 * (centre + size * corner - shown.xy) / shown.zw - 1.0, 0.0, 1.0);
  }`;

const DISC_FRAGMENT = `${DECODE}${COLOUR}
  in vec2 offset; flat in uint which; flat in float pixels; out vec4 colour;
  void main() {
    float inside = clamp(0.5 + pixels * (1.0 - length(offset)), 0.0, 1.0);
    uvec2 code = texelFetch(frame, ivec2(int(which) % shape.y, int(which) / shape.y), 0).rg;
    #ifdef SPIN
      colour = vec4(hued(decoded(code)), 1.0) * inside;
    #else
      colour = mapped(code.r) * inside;
    #endif
  }`;

const ARROW_VERTEX = `${HEAD}${DECODE}
  uniform vec4 shown; uniform float scale, reach; in vec2 centre; in uint site;
  out vec2 along; flat out vec2 form; flat out float light;
  void main() {
    vec3 s = decoded(texelFetch(frame, ivec2(int(site) % shape.y, int(site) / shape.y), 0).rg);
    float planar = length(s.xy);
    vec2 u = s.xy / max(planar, 1e-6);
    form = vec2(reach * planar, max(1.2, 0.38 * reach * (0.4 + 0.6 * planar)));
    light = s.z > ${LIGHT_BELOW.toFixed(2)} ? 0.0 : 1.0;
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
    along = corner * (form + 1.0);
    vec2 p = centre + (along.x * u + along.y * vec2(-u.y, u.x)) / scale;
    gl_Position = vec4(planar < ${SHORTEST.toFixed(2)} ? vec2(9.0) : 2.0 * (p - shown.xy) / shown.zw - 1.0, 0.0, 1.0);
  }`;

const ARROW_FRAGMENT = `#version 300 es
  precision highp float;
  uniform float reach; in vec2 along; flat in vec2 form; flat in float light; out vec4 colour;
  void main() {
    float neck = 0.15 * form.x, thick = max(0.5, 0.1 * reach), side = abs(along.y);
    float shaft = max(side - thick, max(-form.x - along.x, along.x - neck));
    vec2 normal = normalize(vec2(form.y, form.x - neck));
    float head = max(dot(vec2(along.x - form.x, side), normal), neck - along.x);
    vec4 ink = mix(vec4(${DARK_ARROW.join(",")}), vec4(${LIGHT_ARROW.map((v) => v.toFixed(2)).join(",")}), light);
    float cover = clamp(0.5 - min(shaft, head), 0.0, 1.0) * ink.a;
    colour = vec4(ink.rgb * cover, cover);
  }`;

const TEXELS_A_ROW = 256; // of random sites

class WebGLRenderer {
  constructor(canvas, onLost, onRestored) {
    this.name = "webgl2";
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { antialias: false, depth: false, preserveDrawingBuffer: true });
    if (this.gl === null) throw new Error("no WebGL2");
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // asks for a restored one
      onLost();
    });
    canvas.addEventListener("webglcontextrestored", () => {
      this.begin();
      onRestored();
    });
    this.begin();
  }

  // Everything that a context holds; anew after it was lost.
  begin() {
    const { gl } = this;
    this.programs = {};
    this.instances = { arrows: { state: "", buffer: gl.createBuffer() }, discs: { state: "", buffer: gl.createBuffer() } };
    this.frame = { texture: gl.createTexture(), layout: "", data: null };
    this.palette = { texture: gl.createTexture(), table: null };
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    for (const { texture } of [this.frame, this.palette]) {
      gl.bindTexture(gl.TEXTURE_2D, texture);
      for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
      for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    }
  }

  program(name, vertex, fragment) {
    const { gl } = this;
    if (this.programs[name] !== undefined) return this.programs[name];
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      const logs = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
      throw new Error(`shader ${name}: ${gl.getProgramInfoLog(program)} ${logs.join(" ")}`);
    }
    const places = {};
    for (const uniform of ["frame", "palette", "shape", "shown", "scale", "reach"]) {
      places[uniform] = gl.getUniformLocation(program, uniform);
    }
    return (this.programs[name] = { program, places, array: gl.createVertexArray() });
  }

  upload(message) {
    const { gl, frame } = this;
    const bytes = new Uint8Array(message.data);
    const perTexel = message.mode === "sites" ? 1 : 2;
    const random = message.kind === "random_sites";
    const width = random ? TEXELS_A_ROW : message.shape[1];
    const height = random ? Math.ceil(message.shape[0] / width) : message.shape[0];
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, frame.texture);
    this.shape = [height, width];
    if (frame.data === message.data) return;
    frame.data = message.data;
    const layout = [width, height, perTexel].join(" ");
    const [inner, outer] = perTexel === 1 ? [gl.R8UI, gl.RED_INTEGER] : [gl.RG8UI, gl.RG_INTEGER];
    if (layout !== frame.layout) {
      gl.texImage2D(gl.TEXTURE_2D, 0, inner, width, height, 0, outer, gl.UNSIGNED_BYTE, null);
      frame.layout = layout;
    }
    let texels = bytes;
    if (random) {
      texels = new Uint8Array(width * height * perTexel);
      texels.set(bytes);
    }
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, outer, gl.UNSIGNED_BYTE, texels);
  }

  uploadPalette(table) {
    const { gl, palette } = this;
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, palette.texture);
    if (palette.table === table) return;
    palette.table = table;
    const bytes = table === null ? new Uint8Array(4) : new Uint8Array(table.buffer);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, bytes.length / 4, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  }

  use(program, view) {
    const { gl } = this;
    gl.useProgram(program.program);
    gl.bindVertexArray(program.array);
    gl.uniform1i(program.places.frame, 0);
    gl.uniform1i(program.places.palette, 1);
    gl.uniform2i(program.places.shape, ...this.shape);
    const [width, height] = [view.size[0] / view.scale, view.size[1] / view.scale];
    gl.uniform4f(program.places.shown, view.left, view.bottom, width, height);
    gl.uniform1f(program.places.scale, view.scale);
  }

  // Instances of one kind, made anew when their state is another one; rows are [site, ...floats].
  fill(kind, state, rows) {
    const { gl } = this;
    const held = this.instances[kind];
    gl.bindBuffer(gl.ARRAY_BUFFER, held.buffer);
    if (state === held.state) return;
    const list = rows();
    const words = list.length === 0 ? 1 : list[0].length;
    const data = new Float32Array(words * list.length);
    const sites = new Uint32Array(data.buffer);
    list.forEach(([site, ...values], i) => {
      sites[words * i] = site;
      data.set(values, words * i + 1);
    });
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
    [held.state, held.count] = [state, list.length];
  }

  // Rectangles, one an instance, from rows of a site and floats {name: size}.
  drawInstances(kind, program, floats) {
    const { gl } = this;
    const bytes = 4 + 4 * Object.values(floats).reduce((sum, size) => sum + size, 0);
    const attribute = (name, point) => {
      const place = gl.getAttribLocation(program.program, name);
      gl.enableVertexAttribArray(place);
      point(place);
      gl.vertexAttribDivisor(place, 1);
    };
    attribute("site", (place) => gl.vertexAttribIPointer(place, 1, gl.UNSIGNED_INT, bytes, 0));
    let offset = 4;
    for (const [name, size] of Object.entries(floats)) {
      const begin = offset;
      attribute(name, (place) => gl.vertexAttribPointer(place, size, gl.FLOAT, false, bytes, begin));
      offset += 4 * size;
    }
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.instances[kind].count);
  }

  draw(message, view, table, pixelRatio) {
    const { gl, canvas } = this;
    const [width, height] = view.size;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    this.upload(message);
    this.uploadPalette(table);
    const spin = message.mode === "spin" ? "#define SPIN\n" : "";
    const head = HEAD + "\n" + spin;
    if (message.kind === "random_sites") {
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      const program = this.program(`discs ${spin}`, DISC_VERTEX, head + DISC_FRAGMENT);
      this.use(program, view);
      this.fill("discs", view.key, () => discs(message).map(({ site, x, y, radius }) => [site, x, y, radius]));
      this.drawInstances("discs", program, { centre: 2, size: 1 });
    } else {
      const defines = [message.kind === "triangular" && "TRIANGULAR", message.mode === "triangles" && "TRIANGLES",
        message.cut === "parallelogram" && "CUT"].filter(Boolean);
      const lines = head + defines.map((name) => `#define ${name}\n`).join("");
      const program = this.program(`${spin} ${defines}`, FLAT_VERTEX, lines + FLAT_FRAGMENT);
      this.use(program, view);
      gl.disable(gl.BLEND);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      gl.enable(gl.BLEND);
    }
    if (spin && message.arrows) this.drawArrows(message, view, pixelRatio);
  }

  drawArrows(message, view, pixelRatio) {
    const program = this.program("arrows", ARROW_VERTEX, ARROW_FRAGMENT);
    this.use(program, view);
    this.fill("arrows", `${view.state} ${pixelRatio}`, () => {
      const { length, list } = arrowSites(view, message, pixelRatio);
      this.reach = length / 2;
      return list;
    });
    this.gl.uniform1f(program.places.reach, this.reach);
    this.drawInstances("arrows", program, { centre: 2 });
  }

  // Wait until the picture is there, for timing.
  finish() {
    this.gl.readPixels(0, 0, 1, 1, this.gl.RGBA, this.gl.UNSIGNED_BYTE, new Uint8Array(4));
  }
}
