// Paint noise on a digit, and see what a small network says on the mean over many draws; beside it the noise that a
// generator has learned for a label. Networks, generators and digits are those of page.py.
(() => {
  // SHIPPED, from explorers.py: networks {name: {base, generator, gamma}}, images (float16 in base64), labels, names, inner, width, words
  const { painted: PAINTED, learned: LEARNED, even: EVEN, none: NONE, own: OWN, waiting: WAITING, "as painted": AS_PAINTED } = SHIPPED.words; // in menus
  const KINDS = [PAINTED, LEARNED, EVEN], D = 64, SIDE = 8, CLASSES = 10, PAIRS = 250, FLOOR = 1e-6, PATTERN = 0.3;

  // ---- networks of linear layers with ReLU in between ----
  function layers(text, sizes) {
    const weights = halves(text);
    let at = 0;
    const take = (count) => weights.subarray(at, (at += count));
    return sizes.slice(1).map((outputs, k) => ({ inputs: sizes[k], W: take(outputs * sizes[k]), b: take(outputs) }));
  }
  function affine({ inputs, W, b }, x, to = new Float64Array(b.length)) {
    for (let i = 0, k = 0; i < b.length; i++) {
      let sum = b[i];
      for (let j = 0; j < inputs; j++, k++) sum += W[k] * x[j];
      to[i] = sum;
    }
    return to;
  }
  const rect = (h) => {
    for (let k = 0; k < h.length; k++) if (h[k] < 0) h[k] = 0;
    return h;
  };
  const after = (net, h) => net.slice(1).reduce((a, layer) => affine(layer, rect(a)), h); // from the first layer's h on
  const networks = {};
  function network(name) {
    if (!networks[name]) {
      const { base, generator, gamma } = SHIPPED.networks[name];
      networks[name] = { base: layers(base, [D, ...SHIPPED.inner, CLASSES]), generator: layers(generator, [D, SHIPPED.width, SHIPPED.width, D]), gamma };
    }
    return networks[name];
  }
  const IMAGES = halves(SHIPPED.images);
  const image = (k) => IMAGES.subarray(k * D, (k + 1) * D);
  function logSoftmax(logits) {
    let top = -Infinity, sum = 0;
    for (const v of logits) top = Math.max(top, v);
    for (const v of logits) sum += Math.exp(v - top);
    return logits.map((v) => v - top - Math.log(sum));
  }

  // ---- noise: deviations a pixel, and draws of N(0, 1), always the same, each also with the other sign ----
  const draws = (() => {
    let seed = 20;
    const uniform = () => { // mulberry32
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    return Array.from({ length: PAIRS }, () => Float64Array.from({ length: D }, () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())));
  })();
  // Algorithm 1: the deviation is |f(x + gamma y)|, and a little.
  function learned(name, x, y) {
    const { generator, gamma } = network(name);
    return after(generator, affine(generator[0], x.map((v) => v + gamma * y))).map((v) => Math.abs(v) + FLOOR);
  }
  const strength = (deviation) => Math.sqrt(deviation.reduce((sum, v) => sum + v * v, 0) / D); // root of the mean variance
  // What is painted, as a link keeps it: a word for a pattern, or thousandths in two characters a pixel.
  const SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789~_";
  const packed = (deviation) => (deviation.some((v) => v) ? Array.from(deviation, (v) => {
    const level = Math.min(4095, Math.round(1000 * v));
    return SIGNS[level >> 6] + SIGNS[level & 63];
  }).join("") : "-");
  function unpacked(text, x) {
    const pattern = { "": (v) => v >= 0.25, around: (v) => v < 0.25, everywhere: () => true, "-": () => false }[text];
    if (pattern) return x.map((v) => (pattern(v) ? PATTERN : 0));
    if (!/^[\w~]{128}$/.test(text)) return x.map(() => 0);
    return Float64Array.from(text.match(/../g), ([a, b]) => (64 * SIGNS.indexOf(a) + SIGNS.indexOf(b)) / 1000);
  }

  // ---- the mean answer: probabilities and loss over all draws, with standard errors over pairs, at each strength ----
  function answers(base, x, y, deviation, strengths) {
    const h = affine(base[0], x), pixels = new Float64Array(D), zero = { ...base[0], b: new Float64Array(h.length) };
    const sums = strengths.map(() => new Float64Array(CLASSES + 1)), squares = strengths.map(() => new Float64Array(CLASSES + 1));
    const moved = new Float64Array(h.length), input = new Float64Array(h.length), found = new Float64Array(CLASSES + 1);
    for (const z of draws) {
      for (let k = 0; k < D; k++) pixels[k] = deviation[k] * z[k];
      affine(zero, pixels, moved); // the first layer is linear: its share of the noise grows with the strength
      strengths.forEach((s, i) => {
        found.fill(0);
        for (const sign of [s, -s]) {
          for (let k = 0; k < h.length; k++) input[k] = h[k] + sign * moved[k];
          const log = logSoftmax(after(base, input));
          for (let c = 0; c < CLASSES; c++) found[c] += Math.exp(log[c]) / 2;
          found[CLASSES] -= log[y] / 2;
        }
        for (let c = 0; c <= CLASSES; c++) {
          sums[i][c] += found[c];
          squares[i][c] += found[c] * found[c];
        }
      });
    }
    return strengths.map((s, i) => {
      const mean = sums[i].map((v) => v / PAIRS);
      const error = squares[i].map((v, c) => (s === 0 || Math.max(...deviation) === 0 ? 0 : Math.sqrt(Math.max(0, v / PAIRS - mean[c] ** 2) / (PAIRS - 1))));
      return { p: mean.slice(0, CLASSES), pError: error.slice(0, CLASSES), loss: mean[CLASSES], lossError: error[CLASSES] };
    });
  }

  // ---- all that follows from the controls; what was computed is kept ----
  const kept = new Map();
  function once(key, compute) {
    if (!kept.has(key)) kept.set(key, compute());
    if (kept.size > 120) kept.delete(kept.keys().next().value);
    return kept.get(key);
  }
  let STRENGTHS = [0, 1];
  function follow(state, draft) {
    const at = Math.max(0, SHIPPED.names.indexOf(state.digit)), x = image(at), y = SHIPPED.labels[at], { base } = network(state.network);
    const label = state.label === OWN ? y : Number(state.label), own = draft || unpacked(state.painting || "", x);
    let noise = learned(state.network, x, label);
    if (state.scale === AS_PAINTED) noise = noise.map((v) => (v * strength(own)) / strength(noise));
    const deviations = { [PAINTED]: own, [LEARNED]: noise, [EVEN]: noise.map(() => strength(noise)) };
    const clean = logSoftmax(after(base, affine(base[0], x))), none = { p: clean.map(Math.exp), pError: clean.map(() => 0), loss: -clean[y], lossError: 0 };
    const curves = {};
    for (const kind of KINDS) {
      const strengths = draft ? [state.strength] : STRENGTHS; // while a finger moves, no more than is shown
      curves[kind] = once([state.network, at, strengths.length, state.strength * !!draft, deviations[kind].join()].join("|"), () => answers(base, x, y, deviations[kind], strengths));
    }
    const now = Object.fromEntries(KINDS.map((kind) => [kind, curves[kind][draft ? 0 : STRENGTHS.indexOf(state.strength)]]));
    return { x, y, label, deviations, none, curves, now: { [NONE]: none, ...now } };
  }

  // ---- words ----
  // Two standard errors make a difference; a thousandth of a nat makes none.
  function change({ none, now }, kind) {
    const by = now[kind].loss - none.loss;
    return Math.abs(by) <= Math.max(2 * now[kind].lossError, 1e-3) ? "stays" : by < 0 ? "falls" : "rises";
  }
  const number = (value, error) => {
    const places = !error || error >= 1e-3 ? 3 : error >= 1e-4 ? 4 : 5;
    return value.toFixed(places) + (error ? ` ± ${error.toFixed(places)}` : "");
  };
  const loss = (answer) => number(answer.loss, answer.lossError);
  const called = (kind, { label }) => (kind === PAINTED ? "painted" : kind === LEARNED ? `learned for label ${label}` : "as strong, spread evenly");
  function told(found) {
    const { y, none } = found, clean = `Without noise the loss of the true label, ${y}, is ${none.loss.toFixed(3)} nats.`;
    if (state.guess === WAITING) return `${clean} With the noise on the digit (${called(state.shown, found)}), will its mean fall, rise or stay? Guess, and see.`;
    const right = change(found, state.shown), mine = state.guess === right ? "as you guessed" : `you guessed: ${state.guess}`;
    const rest = KINDS.filter((kind) => kind !== state.shown).map((kind) => `${called(kind, found)} ${loss(found.now[kind])}`);
    return `${clean} With noise, ${called(state.shown, found)}: ${loss(found.now[state.shown])}; it ${right}, ${mine}. Others: ${rest.join("; ")}.`;
  }

  // ---- the page's part: the pad, one noisy draw, and the mean probabilities ----
  let state, found, tools, draft = null, stop = 27, looked = null, draw = 0; // draft: while it is being painted; stop: where Tab arrives
  const box = document.createElement("div");
  box.className = "tl-pad tl-noise";
  box.setAttribute("role", "group");
  box.follow = (wanted) => ({ ...follow({ ...state, ...wanted }), draws, strengths: STRENGTHS }); // for tests
  const make = (tag, attributes, parent, text) => tools.make(tag, attributes, parent, text);
  const words = (parent, x, y, text, attributes) => make("text", { x, y, ...attributes }, parent, text);
  const grey = (v) => `rgb(${Array(3).fill(Math.round(255 * Math.max(0, Math.min(1, v)))).join()})`;
  const HEAD = 20;
  function svg(width, height, attributes) {
    return make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, ...attributes }, box);
  }
  // How wide the square of a deviation is, in a cell of size 1: as a deviation grows, so does its area.
  const wide = (deviation) => Math.min(0.94, 0.94 * Math.sqrt(deviation));
  function square(parent, x, y, size, attributes) {
    make("rect", { x: x - size / 2, y: y - size / 2, width: size, height: size, "pointer-events": "none", style: "fill:var(--tl-b);stroke:#000", "stroke-width": 0.8, ...attributes }, parent);
  }

  // The pad: a button a pixel; arrow keys move among them, space and enter paint or wipe, delete wipes.
  function pad(side) {
    const cell = side / SIDE, deviation = found.deviations[state.shown], times = state.strength;
    const sheet = svg(side, side + HEAD, { role: "group", "aria-label": "The digit's pixels; paint noise on them", class: "tl-paper" });
    words(sheet, 0, 13, side > 200 ? `noise: ${called(state.shown, found)}` : called(state.shown, found), { class: "tl-value", style: "fill:var(--tl-ink)", "font-size": 13 });
    for (let k = 0; k < D; k++) {
      const left = (k % SIDE) * cell, top = HEAD + Math.floor(k / SIDE) * cell, value = deviation[k] * times;
      const part = make("g", {
        role: "button", tabindex: k === stop ? 0 : -1, "aria-pressed": deviation[k] > 0, "data-pixel": k, "data-deviation": deviation[k], style: "outline-offset:-3px",
        "aria-label": `row ${Math.floor(k / SIDE) + 1}, column ${(k % SIDE) + 1}, deviation ${value.toFixed(3)}: paint`,
      }, sheet);
      make("rect", { x: left, y: top, width: cell, height: cell, fill: grey(found.x[k]), style: "stroke:#59606955", "stroke-width": 0.6 }, part);
      if (value > 5e-4) square(part, left + cell / 2, top + cell / 2, cell * wide(value));
      part.addEventListener("keydown", (event) => key(event, k));
      part.addEventListener("focus", () => (stop = k));
    }
    sheet.addEventListener("pointerdown", (event) => brush(event, sheet, side));
  }
  const at = (k) => box.querySelector(`[data-pixel="${k}"]`);
  function touched() { // what is painted on: what the pad shows
    return Float64Array.from(found.deviations[state.shown], (v) => Math.min(4.095, Math.round(1000 * v) / 1000));
  }
  function key(event, k) {
    const to = { ArrowLeft: k - 1, ArrowRight: k + 1, ArrowUp: k - SIDE, ArrowDown: k + SIDE, Home: 0, End: D - 1 }[event.key];
    const wipes = event.key === "Delete" || event.key === "Backspace";
    if (to === undefined && !wipes && event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would take the arrow keys
    if (to !== undefined) {
      if (to < 0 || to >= D) return;
      at(k).setAttribute("tabindex", -1);
      at(to).setAttribute("tabindex", 0);
      return at(to).focus();
    }
    const next = touched();
    next[k] = wipes || next[k] === state.brush ? 0 : state.brush;
    tools.choose({ shown: PAINTED, painting: packed(next) });
    at(k).focus({ preventScroll: true }); // it was drawn anew
  }
  function brush(event, sheet, side) {
    if (event.button > 0) return;
    event.preventDefault();
    const pixel = ({ clientX, clientY }) => {
      const place = box.firstChild.getBoundingClientRect(), scale = side / place.width;
      const [c, r] = [((clientX - place.left) * scale * SIDE) / side, (((clientY - place.top) * scale - HEAD) * SIDE) / side].map(Math.floor);
      return c >= 0 && c < SIDE && r >= 0 && r < SIDE ? r * SIDE + c : -1;
    };
    const first = pixel(event);
    if (first < 0) return;
    draft = touched();
    const value = draft[first] === state.brush ? 0 : state.brush; // on what is painted so already it wipes
    const put = (next) => {
      const k = pixel(next);
      if (k < 0 || (draft[k] === value && state.shown === PAINTED)) return;
      draft[k] = value;
      state.shown = PAINTED;
      found = follow(state, draft);
      paint(box.wide);
    };
    const end = () => {
      removeEventListener("pointermove", put);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      const painting = packed(draft);
      draft = null;
      tools.choose({ shown: PAINTED, painting });
    };
    addEventListener("pointermove", put);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
    put(event);
  }

  // One noisy image, as the network sees it but for values beyond black and white; and what the squares mean.
  function sample(width, height) {
    const sheet = svg(width, height), cell = Math.min(width, height - 118) / SIDE, deviation = found.deviations[state.shown];
    const part = make("g", { role: "button", tabindex: 0, "aria-label": `Noisy draw ${draw + 1} of ${2 * PAIRS}; show another`, style: "cursor:pointer" }, sheet);
    words(part, 0, 13, "one noisy draw");
    const z = draws[draw >> 1], sign = draw % 2 ? -1 : 1;
    for (let k = 0; k < D; k++) {
      make("rect", { x: (k % SIDE) * cell, y: HEAD + Math.floor(k / SIDE) * cell, width: cell + 0.3, height: cell + 0.3, fill: grey(found.x[k] + sign * state.strength * deviation[k] * z[k]) }, part);
    }
    const low = HEAD + SIDE * cell;
    words(part, 0, low + 16, "show another");
    make("path", { d: `M0,${low + 20}h80`, "stroke-dasharray": "2 2", style: "stroke:var(--tl-soft)" }, part);
    const next = () => {
      draw = (draw + 2) % (2 * PAIRS);
      paint(box.wide);
      box.children[1].firstChild.focus({ preventScroll: true });
    };
    part.addEventListener("click", next);
    part.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      event.stopPropagation();
      next();
    });
    words(sheet, 0, low + 44, "squares: deviation");
    [0.03, 0.2, 1].forEach((v, k) => {
      square(sheet, 14 + 40 * k, low + 68, (box.cell || 30) * wide(v));
      words(sheet, 14 + 40 * k, low + 98, v, { "text-anchor": "middle" });
    });
  }

  // The mean probabilities: a row a class, a mark a kind of noise, and lines of one standard error.
  const MARKS = {
    [NONE]: (x, y) => ({ d: `M${x},${y - 9}v18`, "stroke-width": 3 }),
    [PAINTED]: (x, y) => ({ d: `M${x - 4.2},${y}a4.2,4.2 0 1 0 8.4,0a4.2,4.2 0 1 0 -8.4,0` }),
    [LEARNED]: (x, y) => ({ d: `M${x - 3.8},${y - 3.8}h7.6v7.6h-7.6z` }),
    [EVEN]: (x, y) => ({ d: `M${x},${y - 5}l5,5l-5,5l-5,-5z` }),
  };
  const stroke = (kind) => tools.look(kind).style;
  function probabilities(width, height) {
    const sheet = svg(width, height), shown = [NONE, ...(state.guess === WAITING ? [] : KINDS)].filter((kind) => !tools.off.has(kind));
    const inner = { left: 66, right: width - 14, top: HEAD, bottom: height - 104 }, row = (inner.bottom - inner.top) / CLASSES;
    const X = (p) => inner.left + p * (inner.right - inner.left), Y = (c) => inner.top + (c + 0.5) * row;
    const part = make("g", { role: "img", tabindex: 0, "aria-label": "Mean probability of each class; arrow keys go from class to class", style: "outline-offset:-2px" }, sheet);
    words(part, 0, 13, `mean probability over ${2 * PAIRS} draws`);
    [0, 0.25, 0.5, 0.75, 1].forEach((p) => {
      make("line", { x1: X(p), x2: X(p), y1: inner.top, y2: inner.bottom, class: p ? "tl-grid" : "tl-axis" }, part);
      words(part, X(p), inner.bottom + 15, p, { "text-anchor": "middle", "data-axis": "x" });
    });
    const chosen = make("rect", { x: 0, width, height: row, class: "tl-track" }, part);
    for (let c = 0; c < CLASSES; c++) {
      words(part, inner.left - 8, Y(c) + 4.5, c === found.y ? `label ${c}` : c, { "text-anchor": "end", class: c === found.y ? "tl-first" : "" });
      for (const kind of shown) {
        const { p, pError } = found.now[kind], lift = (KINDS.indexOf(kind) - 1) * (kind === NONE ? 0 : 0.26 * row), y = Y(c) + lift;
        if (pError[c]) make("path", { d: `M${X(Math.max(0, p[c] - pError[c]))},${y}H${X(Math.min(1, p[c] + pError[c]))}`, "stroke-width": 2, style: stroke(kind) }, part);
        const look = kind === NONE ? stroke(kind) : `${stroke(kind).replace("stroke", "fill")};stroke:var(--tl-panel)`;
        make("path", { ...MARKS[kind](X(p[c]), y), style: look, "data-kind": kind, "data-class": c, "data-p": p[c], "data-error": pError[c] }, part);
      }
    }
    const below = make("g", { "aria-live": "polite" }, sheet);
    const point = (c) => {
      looked = c;
      chosen.setAttribute("y", Y(c) - row / 2);
      below.replaceChildren();
      words(below, 0, inner.bottom + 38, `class ${c}`, { class: "tl-first" });
      shown.forEach((kind, k) => {
        const { p, pError } = found.now[kind], [x, y] = [inner.left + (k % 2) * (width - inner.left) * 0.45, inner.bottom + 38 + 22 * Math.floor(k / 2)];
        make("path", { ...MARKS[kind](x + 4, y - 4), style: kind === NONE ? stroke(kind) : stroke(kind).replace("stroke", "fill") }, below);
        words(below, x + 14, y, number(p[c], pError[c]));
      });
      const powers = state.guess === WAITING && state.shown === PAINTED ? [PAINTED] : [PAINTED, LEARNED];
      words(below, 0, inner.bottom + 86, `rms deviation: ${powers.map((kind) => `${kind} ${(state.strength * strength(found.deviations[kind])).toFixed(3)}`).join(", ")}`);
    };
    const under = (event) => {
      const place = sheet.getBoundingClientRect(), c = Math.floor(((event.clientY - place.top) * (height / place.height) - inner.top) / row);
      if (c >= 0 && c < CLASSES) point(c);
    };
    sheet.addEventListener("pointermove", under);
    sheet.addEventListener("pointerdown", under);
    part.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      point(Math.max(0, Math.min(CLASSES - 1, looked + step)));
    });
    point(looked === null ? found.y : looked);
  }
  function paint(width) {
    const third = width > 640 ? width - 424 : width, side = width > 640 ? 288 : Math.min(288, width - 128);
    Object.assign(box, { wide: width, cell: side / SIDE });
    box.replaceChildren();
    pad(side);
    sample(120, side + HEAD);
    probabilities(third, width > 640 ? side + HEAD : 330);
  }

  let before = "";
  return function noise(wanted, controls) {
    state = wanted;
    STRENGTHS = controls.find((control) => control.column === "strength").values;
    if (before !== state.digit) looked = null; // another digit: its own label is looked at
    before = state.digit;
    found = follow(state);
    const columns = { panel: [], series: [], x: [], value: [], error: [] };
    const add = (panel, series, x, value, error) => Object.entries({ panel, series, x, value: Number(value.toFixed(5)), error: Number(error.toFixed(5)) }).forEach(([name, v]) => columns[name].push(v));
    const kinds = state.guess === WAITING ? [] : KINDS;
    STRENGTHS.forEach((s) => add("loss (nats) over strength", NONE, s, found.none.loss, 0));
    kinds.forEach((kind) => found.curves[kind].forEach(({ loss, lossError }, k) => add("loss (nats) over strength", kind, STRENGTHS[k], loss, lossError)));
    [NONE, ...kinds].forEach((kind) => found.now[kind].p.forEach((p, c) => add("probability of a class", kind, c, p, found.now[kind].pError[c])));
    KINDS.forEach((kind) => found.deviations[kind].forEach((v, k) => add("deviation of a pixel", kind, k + 1, v * state.strength, 0)));
    return {
      columns: Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, { data }])),
      note: told(found),
      own: (width, given) => {
        tools = given;
        paint(width);
        return box;
      },
    };
  };
})()
