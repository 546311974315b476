// Draw a digit, corrupt it by eq. (8), and see what three small CNNs say: the networks of pad.py, run in the page.
(() => {
  const NETWORKS = SHIPPED; // from explorers.py: {name, program, weights, mean, deviation, size, levels, accuracy}
  const SIZE = NETWORKS[0].size, OWN = "your own";

  // ---- the networks: a list of steps each, and their weights in half precision, in the order of the steps ----
  for (const network of NETWORKS) network.weights = Float32Array.from(halves(network.weights));

  // Logits for `size` x `size` standardised pixels, row by row. a: what has been computed, [channels, size, size].
  function forward({ program, weights }, pixels) {
    let a = pixels, size = SIZE, at = 0;
    const take = (count) => weights.subarray(at, (at += count));
    for (const [step, ...sizes] of program) {
      if (step === "conv") {
        const [outputs, inputs, kernel] = sizes, last = size - kernel + 1, next = new Float32Array(outputs * last * last);
        const w = take(outputs * inputs * kernel * kernel), bias = take(outputs);
        for (let o = 0, k = 0; o < outputs; o++) {
          for (let i = 0; i < last; i++) {
            for (let j = 0; j < last; j++, k++) {
              let sum = bias[o], v = o * inputs * kernel * kernel;
              for (let c = 0; c < inputs; c++) {
                for (let y = 0; y < kernel; y++) {
                  for (let x = 0; x < kernel; x++) sum += w[v++] * a[(c * size + i + y) * size + j + x];
                }
              }
              next[k] = sum;
            }
          }
        }
        [a, size] = [next, last];
      } else if (step === "linear") {
        const [outputs, inputs] = sizes, w = take(outputs * inputs), bias = take(outputs), before = a;
        a = bias.map((b, o) => {
          let sum = b;
          for (let k = 0; k < inputs; k++) sum += w[o * inputs + k] * before[k];
          return sum;
        });
      } else if (step === "elu") {
        a = a.map((v) => (v > 0 ? v : Math.expm1(v)));
      } else if (step === "relu") {
        a = a.map((v) => Math.max(0, v));
      } else if (step === "norm") { // with the running mean and variance of training
        const [channels, epsilon] = sizes, [gain, shift, mean, variance] = [0, 0, 0, 0].map(() => take(channels));
        a = a.map((v, k) => {
          const c = Math.floor(k / (size * size));
          return ((v - mean[c]) / Math.sqrt(variance[c] + epsilon)) * gain[c] + shift[c];
        });
      } else if (step === "pool") { // the largest of 2 x 2
        const half = Math.floor(size / 2), old = a, wide = size, area = half * half;
        a = new Float32Array((a.length / (size * size)) * area).map((_, k) => {
          const c = Math.floor(k / area), top = c * wide * wide + 2 * Math.floor((k % area) / half) * wide + 2 * (k % half);
          return Math.max(old[top], old[top + 1], old[top + wide], old[top + wide + 1]);
        });
        size = half;
      } else throw new Error(`unknown step ${step}`);
    }
    return Array.from(a);
  }
  function softmax(logits) {
    const top = Math.max(...logits), parts = logits.map((v) => Math.exp(v - top)), sum = parts.reduce((a, b) => a + b);
    return parts.map((v) => v / sum);
  }
  // Eq. (8) on standardised pixels: sqrt(1 - sigma^2) x + sigma delta.
  const disturbed = ({ mean, deviation }, pixels, sigma, delta) => pixels.map((v, k) => Math.sqrt(1 - sigma * sigma) * ((v - mean) / deviation) + sigma * delta[k]);

  // ---- the noise: numbered draws of N(0, 1), the same for all networks ----
  const draws = new Map();
  function delta(number) {
    if (!draws.has(number)) {
      let seed = number * 0x9e3779b9;
      const uniform = () => { // mulberry32
        seed = (seed + 0x6d2b79f5) | 0;
        let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
      };
      draws.set(number, Float32Array.from({ length: SIZE * SIZE }, () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())));
    }
    return draws.get(number);
  }

  // ---- digits as strokes, each a list of points; what is drawn is centred and sized as MNIST's digits are ----
  const READY = [
    [[[10, 2], [4, 7], [3, 14], [5, 22], [10, 26], [15, 22], [17, 14], [16, 7], [10, 2]]],
    [[[11, 2], [9, 26]]],
    [[[4, 8], [6, 3], [11, 2], [16, 6], [15, 12], [9, 19], [3, 26]], [[3, 26], [10, 25], [18, 26]]],
    [[[4, 4], [10, 2], [16, 6], [14, 12], [8, 13.5]], [[8, 13.5], [15, 15], [17, 21], [11, 26], [3, 24]]],
    [[[6, 3], [5, 10], [5, 14], [10, 15], [15, 14]], [[15, 3], [15, 14], [14, 27]]],
    [[[16, 2], [6, 2]], [[6, 2], [5, 12]], [[5, 12], [11, 10], [16, 15], [15, 23], [9, 26], [3, 24]]],
    [[[14, 2], [7, 9], [4, 18], [7, 25], [13, 25], [16, 20], [12, 15], [6, 18]]],
    [[[3, 3], [17, 3]], [[17, 3], [12, 13], [8, 26]]],
    [[[15, 5], [9, 2], [5, 6], [9, 12], [15, 18], [14, 24], [9, 26], [4, 22], [7, 15], [13, 10], [15, 5]]],
    [[[16, 6], [11, 2], [5, 6], [6, 12], [12, 13], [16, 8], [16, 6]], [[16, 6], [15, 16], [12, 26]]],
  ].map((strokes) => strokes.map((points) => smooth(points).map(([x, y]) => [(x + 7) / 34, (y + 1) / 34])));
  function smooth(points) { // a curve through the points (Catmull and Rom)
    const found = [points[0]];
    for (let k = 0; k + 1 < points.length; k++) {
      const [a, b, c, d] = [k - 1, k, k + 1, k + 2].map((i) => points[Math.max(0, Math.min(points.length - 1, i))]);
      for (let s = 1; s <= 6; s++) {
        const t = s / 6;
        found.push([0, 1].map((i) => (2 * b[i] + (c[i] - a[i]) * t + (2 * a[i] - 5 * b[i] + 4 * c[i] - d[i]) * t * t + (3 * b[i] - a[i] - 3 * c[i] + d[i]) * t ** 3) / 2));
      }
    }
    return found;
  }
  // Pixels in [0, 1]: ink within 1.7 pixels of a stroke, less towards its edge. Points are in pixels.
  function inked(strokes) {
    return Float32Array.from({ length: SIZE * SIZE }, (_, k) => {
      const [x, y] = [(k % SIZE) + 0.5, Math.floor(k / SIZE) + 0.5];
      let near = Infinity;
      for (const points of strokes) {
        for (let i = 0; i < points.length; i++) {
          const [ax, ay] = points[Math.max(0, i - 1)], [bx, by] = points[i], [dx, dy] = [bx - ax, by - ay], length = dx * dx + dy * dy;
          const t = length ? Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
          near = Math.min(near, (x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2);
        }
      }
      return Math.max(0, Math.min(1, 1.7 - Math.sqrt(near)));
    });
  }
  // The longer side becomes 20 of 28 pixels, ink included; the middle of the ink comes to the middle of the image.
  function image(strokes) {
    const all = strokes.flat();
    if (!all.length) return new Float32Array(SIZE * SIZE);
    const [xs, ys] = [0, 1].map((i) => all.map((p) => p[i])), middle = (v) => (Math.min(...v) + Math.max(...v)) / 2;
    const side = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys), 0.1);
    const place = (dx, dy) => strokes.map((points) => points.map(([x, y]) => [
      ((x - middle(xs)) / side) * (0.63 * SIZE) + SIZE / 2 + dx, ((y - middle(ys)) / side) * (0.63 * SIZE) + SIZE / 2 + dy,
    ]));
    const first = inked(place(0, 0)), mass = first.reduce((a, b) => a + b);
    const off = (at) => SIZE / 2 - first.reduce((sum, v, k) => sum + v * (at(k) + 0.5), 0) / mass;
    return inked(place(off((k) => k % SIZE), off((k) => Math.floor(k / SIZE))));
  }

  // A drawing as text, for a link: two characters a point, of 64 steps each, a comma between strokes.
  const STEPS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const packed = (strokes) => strokes.map((points) => points.map((p) => p.map((v) => STEPS[Math.round(63 * v)]).join(""))
    .filter((point, k, all) => point !== all[k - 1]).join("")).join(",");
  const unpacked = (text) => (/^([\w-]{2}|,)+$/.test(text) ? text.split(",").filter(Boolean).map((points) => points.match(/../g).map((p) => [...p].map((c) => STEPS.indexOf(c) / 63))) : []);

  // ---- the page's part: the pad, what the networks see, and their ten probabilities ----
  let own = [], busy = false, state, choose, tools; // own: the reader's strokes; busy: one of them is being drawn
  const box = document.createElement("div");
  box.className = "tl-pad";
  box.setAttribute("role", "group");
  box.run = (k, pixels, sigma = 0, noise = null) => forward(NETWORKS[k], disturbed(NETWORKS[k], Float32Array.from(pixels), sigma, noise || new Float32Array(SIZE * SIZE)));
  const drawn = () => (state.digit === OWN ? own : READY[Number(state.digit)]);
  const seen = () => image(drawn());
  const probabilities = (pixels) => NETWORKS.map((network) => (drawn().length ? softmax(forward(network, disturbed(network, pixels, state.sigma, delta(state.noise)))) : null));
  const best = (chances) => chances.indexOf(Math.max(...chances));
  const said = (chances) => (chances ? `${best(chances)} (${(100 * Math.max(...chances)).toFixed(0)} %)` : "–");

  function svg(width, height, label) {
    return tools.make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, box);
  }
  function paint(width) {
    const { make, look } = tools, pixels = seen(), wide = width > 600; // then all of it stands side by side
    const side = wide ? 190 : Math.min(230, (width - 8) / 2), third = Math.floor(((wide ? width - 2 * side - 16 : width) - 16) / 3);
    const chances = probabilities(pixels);
    box.replaceChildren();
    const pad = svg(side, side, "Drawing pad. Draw with the mouse or a finger, or choose a digit above.");
    pad.classList.add("tl-paper");
    make("rect", { x: 1, y: 1, width: side - 2, height: side - 2, rx: 6, class: "tl-sheet" }, pad);
    for (const points of drawn()) {
      const at = points.map(([x, y]) => `${(x * side).toFixed(1)},${(y * side).toFixed(1)}`);
      make("path", { d: `M${at.join("L")}${at.length === 1 ? "h.1" : ""}`, class: "tl-ink", "stroke-width": side / 16 }, pad);
    }
    make("text", { x: 10, y: side - 9 }, pad, "draw here");
    if (state.digit === OWN && own.length) {
      const clear = make("g", { class: "tl-clear" }, pad);
      make("rect", { x: side - 58, y: 6, width: 52, height: 26, rx: 5 }, clear);
      make("text", { x: side - 32, y: 24, "text-anchor": "middle" }, clear, "Clear");
      clear.addEventListener("pointerdown", (event) => {
        event.stopPropagation();
        own = [];
        choose({ digit: OWN, drawing: "" });
      });
    }
    const shown = svg(side, side, "What the networks see, values beyond black and white clipped");
    make("image", { x: 0, y: 0, width: side, height: side, href: picture(pixels), style: "image-rendering:pixelated" }, shown);
    make("text", { x: 10, y: side - 9, class: "tl-value tl-line-name", "font-size": 13 }, shown, "what they see");
    NETWORKS.forEach((network, k) => {
      const bars = svg(third, 200, `${network.name}: ${said(chances[k])}`), found = chances[k], style = look(network.name).style.replace("stroke", "fill");
      const words = network.name.split(" "), half = words.length > 2 && third < 150 ? Math.ceil(words.length / 2) : words.length;
      make("text", { x: 0, y: 12 }, bars, words.slice(0, half).join(" "));
      make("text", { x: 0, y: 28 }, bars, words.slice(half).join(" "));
      make("text", { x: 0, y: 46, class: "tl-first" }, bars, said(found));
      for (let digit = 0; digit < 10; digit++) {
        const top = 54 + 14.6 * digit, chance = found ? found[digit] : 0, first = found && digit === best(found);
        make("text", { x: 0, y: top + 11, class: first ? "tl-first" : "" }, bars, digit);
        make("rect", { x: 14, y: top, width: third - 24, height: 12, class: "tl-track" }, bars);
        make("rect", { x: 14, y: top, width: (third - 24) * chance, height: 12, style, "data-network": network.name, "data-digit": digit, "data-chance": chance }, bars);
      }
    });
    pad.addEventListener("pointerdown", (event) => start(event, width));
  }
  function picture(pixels) {
    const { mean, deviation } = NETWORKS[0], noisy = disturbed(NETWORKS[0], pixels, state.sigma, delta(state.noise));
    const sheet = tools.make("canvas", { width: SIZE, height: SIZE }), pen = sheet.getContext("2d"), data = pen.createImageData(SIZE, SIZE);
    noisy.forEach((v, k) => data.data.set([0, 1, 2].map(() => 255 * Math.max(0, Math.min(1, v * deviation + mean))).concat(255), 4 * k));
    pen.putImageData(data, 0, 0);
    return sheet.toDataURL();
  }
  function start(event, width) {
    event.preventDefault();
    if (state.digit !== OWN) [own, state.digit] = [[], OWN];
    const place = () => box.firstChild.getBoundingClientRect();
    const point = ({ clientX, clientY }) => [(clientX - place().left) / place().width, (clientY - place().top) / place().height].map((v) => Math.max(0, Math.min(1, v)));
    own.push([point(event)]);
    busy = true;
    choose({ digit: OWN, drawing: packed(own) });
    const move = (next) => {
      next.preventDefault();
      own[own.length - 1].push(point(next));
      paint(width);
    };
    const stop = () => {
      busy = false;
      ["pointermove", "pointerup", "pointercancel"].forEach((name) => removeEventListener(name, { pointermove: move }[name] || stop));
      choose({ digit: OWN, drawing: packed(own) });
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", stop);
    addEventListener("pointercancel", stop);
  }

  return function pad(wanted) {
    state = wanted;
    if (!busy && (state.drawing || "") !== packed(own)) own = unpacked(state.drawing || "");
    const columns = { panel: [], series: [], x: [], value: [] };
    const add = (panel, series, x, value) => Object.entries({ panel, series, x, value }).forEach(([name, v]) => columns[name].push(v));
    const chances = probabilities(seen());
    NETWORKS.forEach((network, k) => {
      network.levels.forEach((level, i) => add("accuracy", network.name, level, network.accuracy[i]));
      if (chances[k]) chances[k].forEach((chance, digit) => add("probabilities (%)", network.name, digit, Number((100 * chance).toFixed(1))));
    });
    return {
      columns: Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, { data }])),
      note: drawn().length ? NETWORKS.map((network, k) => `${network.name}: ${said(chances[k])}`).join("; ") + "." : "Draw a digit.",
      own: (width, given) => {
        ({ choose } = tools = given);
        paint(width);
        return box;
      },
    };
  };
})()
