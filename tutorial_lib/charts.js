// The charts of an explorer: stands inside the function of explore.js, in place of its line "// charts.js".
  function canvas(width, height, label) {
    return make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  }

  function axes(svg, box, width, height, x, y) {
    make("text", { x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle", "data-axis": "x" }, svg, x);
    const middle = (box.top + box.bottom) / 2;
    make("text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})`, "data-axis": "y" }, svg, y);
  }

  // ---- heatmap: rows by spec.y, columns by spec.x, colour by spec.value; the picked cell is outlined and read out ----
  function heatmap(rows, width, state, legend, readout, choose) {
    const xs = distinct(spec.x, rows), ys = distinct(spec.y, rows);
    const longest = Math.max(...ys.map((y) => `${show(y)}`.length)); // of the names of the rows
    const box = { left: Math.max(58, 30 + 7 * longest), top: 10, right: width - 10 };
    const cell = (box.right - box.left) / xs.length, tall = Math.max(17, Math.min(cell, 400 / ys.length));
    box.bottom = box.top + tall * ys.length;
    const height = box.bottom + 48;
    const values = new Map(rows.map((i) => [`${column[spec.x][i]}|${column[spec.y][i]}`, i]));
    const top = Math.max(...rows.map((i) => column[spec.value][i])), least = Math.min(0, ...rows.map((i) => column[spec.value][i]));
    const shade = (v) => Math.max(0, Math.min(9, Math.round((9 * (v - least)) / (top - least || 1))));
    const picked = values.get(`${state[spec.x]}|${state[spec.y]}`);
    const text = spec.readout.replace(/\{(\w+)\}/g, (_, n) =>
      n in state ? show(state[n]) : picked === undefined ? "–" : n === spec.value || n === spec.error ? fixed(column[n][picked]) : column[n][picked] === null ? "–" : show(column[n][picked]));
    const svg = canvas(width, height, `${spec.title}. ${text}`);
    const hatch = make("pattern", { id: `${id}-hatch`, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, make("defs", {}, svg));
    make("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "tl-hatch" }, hatch);
    const size = Math.min(13, cell / 2.6);
    ys.forEach((y, r) => {
      xs.forEach((x, c) => {
        const i = values.get(`${x}|${y}`), left = box.left + c * cell, upper = box.top + r * tall;
        const level = i === undefined ? null : shade(column[spec.value][i]);
        const rect = make("rect", {
          x: left, y: upper, width: cell, height: tall, fill: level === null ? `url(#${id}-hatch)` : CIVIDIS[level],
          class: "tl-cell", "data-x": x, "data-y": y,
          "data-value": level === null ? "" : column[spec.value][i],
        }, svg);
        rect.addEventListener("click", () => choose({ [spec.x]: x, [spec.y]: y }));
        const told = [`${spec.names[spec.x]} ${show(x)}`, `${spec.names[spec.y]} ${show(y)}`, level === null ? "no value" : measured(i)];
        rect.addEventListener("pointerenter", () => tip(svg, left + cell / 2, upper, told, width));
        if (x === y && typeof x === "number") make("circle", { cx: left + 6, cy: upper + 6, r: 3, class: "tl-balanced" }, svg);
        if (spec.ring && level !== null && column[spec.ring][i]) {
          for (const style of ["tl-ring-outer", "tl-ring"]) make("circle", { cx: left + cell - 6, cy: upper + 6, r: 3.5, class: style }, svg);
        }
        if (level !== null && cell > 26) {
          make("text", {
            x: left + cell / 2, y: upper + tall / 2 + size / 3, "text-anchor": "middle", "font-size": size,
            fill: level > 4 ? "#000" : "#fff", "pointer-events": "none", class: "tl-value",
          }, svg, column[spec.value][i].toFixed(cell > 44 ? 1 : 0));
        }
      });
      make("text", { x: box.left - 6, y: box.top + (r + 0.5) * tall + 4, "text-anchor": "end" }, svg, show(y));
    });
    const every = Math.ceil(24 / cell);
    xs.forEach((x, c) => {
      if (c % every === 0) make("text", { x: box.left + (c + 0.5) * cell, y: box.bottom + 16, "text-anchor": "middle" }, svg, show(x));
    });
    const c = xs.indexOf(state[spec.x]), r = ys.indexOf(state[spec.y]);
    for (const style of ["tl-pick-outer", "tl-pick"]) {
      make("rect", { x: box.left + c * cell, y: box.top + r * tall, width: cell, height: tall, class: style }, svg);
    }
    axes(svg, box, width, height, spec.names[spec.x], spec.names[spec.y]);
    svg.addEventListener("pointerleave", () => tip(svg));
    legend.replaceChildren();
    const bar = make("span", { class: "tl-bar" }, null);
    CIVIDIS.forEach((colour) => make("i", { style: `background:${colour}` }, bar));
    legend.append(`${spec.names[spec.value]}: ${least ? fixed(least) : 0} `, bar, ` ${fixed(top)}`, make("span", { class: "tl-note" }, null, spec.note || ""));
    readout.textContent = text;
    return svg;
  }

  // ---- lines: spec.value over spec.x, one line for each value of spec.series; in panels, or in one ----
  function lines(rows, width, state, legend, readout, choose, off) {
    const notes = compute ? found.note : spec.notes && spec.notes[spec.controls.map((k) => state[k.column]).join("|")];
    const panels = spec.panels || [{ x: spec.names[spec.x], y: spec.names[spec.value] }];
    const plain = panels.filter((panel) => !panel.own), beside = plain.length > 1 && width > 600;
    const wrapper = make("div", { class: beside ? "tl-panels" : "" });
    if (plain.length < panels.length) wrapper.append(found.own(width, { make, look, choose, off })); // a part of the page's own
    wrapper.append(legend);
    const told = plain.map((panel, k) => {
      const own = (i) => panel.name === undefined || column.panel[i] === panel.name;
      const size = beside && k + 1 < plain.length + (plain.length + 1) % 2 ? (width - 12) / 2 : width; // an odd one has a row
      if (panel.map) return map(found.map, panel, size, state, wrapper, choose);
      const shown = rows.filter((i) => own(i) && !off.has(column[spec.series][i]));
      return chart(shown, panel, panel.name === undefined || compute ? null : everything.filter(own), size, state, wrapper);
    });
    const text = notes || told.join(" ");
    for (const part of wrapper.children) if (part !== legend) part.setAttribute("aria-label", `${spec.title}. ${text}`);
    legend.replaceChildren();
    for (const name of plain.length ? distinct(spec.series, rows) : []) {
      const entry = make("button", { type: "button", "aria-pressed": !off.has(name), "data-name": name, title: "show or hide" }, legend);
      const mark = make("svg", { width: 34, height: 10, "aria-hidden": "true" }, entry);
      make("path", { d: "M0,5L34,5", ...look(name) }, mark);
      entry.append(" " + name);
    }
    readout.textContent = text;
    return wrapper;
  }
  // A map of named regions over two controls on log scales, computed, with the reader's point; a click moves the point.
  function map({ x, y, names, code, line }, panel, width, state, parent, choose) {
    const across = width < 480 ? 2 : names.length, height = 280 + 20 * Math.ceil(names.length / across);
    const box = { left: 62, top: height - 266, right: width - 24, bottom: height - 50 };
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" }, parent);
    const scale = (values, from, to) => {
      const logs = values.map(Math.log10), half = (logs[logs.length - 1] - logs[0]) / (logs.length - 1) / 2;
      const at = (v) => from + ((Math.log10(v) - logs[0] + half) / (logs[logs.length - 1] - logs[0] + 2 * half)) * (to - from);
      return { at, half };
    };
    const X = scale(x, box.left, box.right), Y = scale(y, box.bottom, box.top);
    make("image", {
      x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top, preserveAspectRatio: "none",
      href: painted(code), class: "tl-map", "data-codes": code.map((row) => row.join("")).join("|"), style: "image-rendering:pixelated",
    }, svg);
    const under = (event) => {
      const place = svg.getBoundingClientRect(), ratio = width / place.width;
      const [left, top] = [(event.clientX - place.left) * ratio, (event.clientY - place.top) * ratio];
      const c = Math.floor(((left - box.left) / (box.right - box.left)) * x.length);
      const r = Math.floor(((box.bottom - top) / (box.bottom - box.top)) * y.length);
      return x[c] === undefined || y[r] === undefined ? null : { c, r, left, top };
    };
    svg.addEventListener("click", (event) => {
      const at = under(event);
      if (at) choose({ [panel.picks[0]]: x[at.c], [panel.picks[1]]: y[at.r] });
    });
    svg.addEventListener("pointermove", (event) => {
      const at = under(event);
      if (!at) return tip(svg);
      tip(svg, at.left, at.top, [`${panel.x} ${show(x[at.c])}`, `${panel.y} ${show(y[at.r])}`, names[code[at.r][at.c]]], width);
    });
    svg.addEventListener("pointerleave", () => tip(svg));
    names.forEach((name, k) => {
      const left = box.left + ((k % across) * (box.right - box.left)) / across, top = 4 + 20 * Math.floor(k / across);
      make("rect", { x: left, y: top, width: 14, height: 14, fill: REGIONS[k], class: "tl-key" }, svg);
      make("text", { x: left + 19, y: top + 12 }, svg, name);
    });
    const few = (values) => values.filter((v) => Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-3);
    few(x).forEach((v) => make("text", { x: X.at(v), y: box.bottom + 17, "text-anchor": "middle" }, svg, show(v)));
    few(y).forEach((v) => make("text", { x: box.left - 7, y: Y.at(v) + 4, "text-anchor": "end" }, svg, show(v)));
    const inside = line.points.map(([a, b]) => [X.at(a), Y.at(b)]).filter(([a]) => a >= box.left && a <= box.right);
    if (inside.length > 1) {
      for (const style of ["tl-point-outer", "tl-theory"]) make("path", { d: `M${inside.map((p) => p.join(",")).join("L")}`, class: style }, svg);
      make("title", {}, svg.lastChild, line.name);
      make("text", { x: inside[inside.length - 1][0] + 8, y: box.top + 16, class: "tl-value tl-line-name", "font-size": 13 }, svg, line.name);
    }
    const point = { cx: X.at(state[panel.picks[0]]), cy: Y.at(state[panel.picks[1]]) };
    make("circle", { ...point, r: 8, class: "tl-point-outer" }, svg);
    make("circle", { ...point, r: 8, class: "tl-point", "data-x": state[panel.picks[0]], "data-y": state[panel.picks[1]] }, svg);
    axes(svg, box, width, height, panel.x, panel.y);
    return "";
  }
  const paintings = new Map(); // a map's picture, a pixel a cell, drawn once for each map
  function painted(code) {
    const text = code.map((row) => row.join("")).join("|");
    if (!paintings.has(text)) {
      const sheet = make("canvas", { width: code[0].length, height: code.length }), pen = sheet.getContext("2d");
      code.forEach((row, r) => row.forEach((k, c) => {
        pen.fillStyle = REGIONS[k];
        pen.fillRect(c, code.length - 1 - r, 1, 1);
      }));
      paintings.set(text, sheet.toDataURL());
    }
    return paintings.get(text);
  }
  // A row's value as the reader is told it: with its error and the number of its seeds, where the table has them.
  function measured(i) {
    const error = spec.error && column[spec.error][i], seeds = spec.seeds && column[spec.seeds][i];
    return fixed(column[spec.value][i]) + (error ? ` ± ${fixed(error)}` : "") + (seeds ? ` (${seeds} seed${seeds > 1 ? "s" : ""})` : "");
  }
  // A box beside (x, y) with some lines of text, instead of the last one; without lines there is none.
  function tip(svg, x, y, told, width) {
    svg.querySelectorAll(".tl-tip").forEach((old) => old.remove());
    if (!told) return;
    const box = make("g", { class: "tl-tip", "pointer-events": "none" }, svg);
    const sheet = make("rect", { rx: 4 }, box);
    const words = told.map((line, k) => make("text", { x: 8, y: 18 + 17 * k }, box, line));
    const wide = 16 + Math.max(...words.map((word) => word.getComputedTextLength())), tall = 10 + 17 * told.length;
    Object.entries({ width: wide, height: tall }).forEach(([name, value]) => sheet.setAttribute(name, value));
    const left = x + 12 + wide > width ? Math.max(2, x - 12 - wide) : x + 12;
    box.setAttribute("transform", `translate(${left} ${Math.max(2, y - tall / 2)})`);
  }
  // The crosshair of a chart: at the stop that is nearest to the pointer, or, by arrow keys, at the next one.
  function crosshair(svg, box, width, rows, panel, X) {
    const stops = distinct(spec.x, rows);
    let at = -1;
    const point = (k) => {
      svg.querySelectorAll(".tl-cross").forEach((old) => old.remove());
      at = k;
      if (k < 0) return tip(svg);
      const x = X(stops[k]), there = rows.filter((i) => column[spec.x][i] === stops[k]);
      make("line", { x1: x, x2: x, y1: box.top, y2: box.bottom, class: "tl-cross" }, svg);
      tip(svg, x, box.top + 60, [`${panel.x} ${show(stops[k])}`, ...there.map((i) => `${column[spec.series][i]}: ${measured(i)}`)], width);
    };
    const nearest = (event) => {
      const place = svg.getBoundingClientRect(), left = ((event.clientX - place.left) * width) / place.width;
      point(stops.reduce((best, v, k) => (Math.abs(X(v) - left) < Math.abs(X(stops[best]) - left) ? k : best), 0));
    };
    svg.addEventListener("pointermove", nearest);
    svg.addEventListener("pointerdown", nearest);
    svg.addEventListener("pointerleave", () => point(-1));
    svg.addEventListener("blur", () => point(-1));
    svg.setAttribute("tabindex", 0);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      point(Math.max(0, Math.min(stops.length - 1, at + step)));
    });
  }
  function look(name) {
    if (name === spec.reference) return { style: "stroke:var(--tl-soft)", class: "tl-line tl-reference" };
    const k = distinct(spec.series, everything).filter((v) => v !== spec.reference).indexOf(name); // it keeps its colour
    return { class: "tl-line", style: `stroke:${SERIES[k % SERIES.length]}`, "stroke-dasharray": DASHES[k % DASHES.length] };
  }
  // One panel: `rows` drawn; the axes span `whole` (so that they stand still while a slider moves), or else `rows`.
  function chart(rows, panel, whole, width, state, parent) {
    const height = 360, box = { left: 62, top: 12, right: width - 24, bottom: height - 50 };
    const names = distinct(spec.series, rows);
    const grow = spec.log ? Math.log10 : (v) => v;
    const spanned = whole || rows;
    const all = spanned.map((i) => grow(column[spec.x][i]));
    let [low, high] = [Math.min(...all), Math.max(...all)];
    if (low === high) [low, high] = [low - 0.5, high + 0.5];
    const margin = (i) => (spec.error && column[spec.error][i]) || 0;
    const values = spanned.map((i) => column[spec.value][i]);
    let step, top, floor, rise = (v) => v;
    if (panel.log) { // whole powers of ten, eight at most; what lies below is drawn on the lowest line
      rise = (v) => Math.max(floor, Math.log10(v));
      const positive = values.filter((v) => v > 0);
      top = Math.ceil(Math.log10(Math.max(...positive)) - 1e-9);
      floor = Math.max(top - 8, Math.min(top - 1, Math.floor(Math.log10(Math.min(...positive)) + 1e-9)));
      step = top - floor > 5 ? 2 : 1;
    } else {
      const peak = Math.max(...spanned.map((i) => column[spec.value][i] + margin(i)), 1e-9), least = Math.min(...values, 0);
      step = nice((peak - least) / 5);
      top = step * Math.ceil(peak / step - 1e-9);
      floor = step * Math.floor(least / step + 1e-9);
    }
    const X = (v) => box.left + ((grow(v) - low) / (high - low)) * (box.right - box.left);
    const Y = (v) => box.bottom - ((rise(v) - floor) / (top - floor)) * (box.bottom - box.top);
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" }, parent);
    for (let v = floor; v <= top + 1e-9; v += step) {
      const at = panel.log ? 10 ** v : v;
      make("line", { x1: box.left, x2: box.right, y1: Y(at), y2: Y(at), class: "tl-grid" }, svg);
      make("text", { x: box.left - 7, y: Y(at) + 4, "text-anchor": "end" }, svg, show(panel.log ? Number(`1e${v}`) : v));
    }
    const powers = [-4, -3, -2, -1, 0, 1, 2, 3, 4].map((p) => Number(`1e${p}`));
    const ticks = spec.log ? powers.filter((t) => grow(t) >= low - 1e-9 && grow(t) <= high + 1e-9) : span(low, high, nice((high - low) / (width < 420 ? 4 : 6)));
    ticks.forEach((t) => {
      make("line", { x1: X(t), x2: X(t), y1: box.bottom, y2: box.bottom + 5, class: "tl-axis" }, svg);
      make("text", { x: X(t), y: box.bottom + 19, "text-anchor": "middle" }, svg, show(t));
    });
    make("line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, class: "tl-axis" }, svg);
    if (panel.mark) {
      make("line", { x1: X(state[panel.mark]), x2: X(state[panel.mark]), y1: box.top, y2: box.bottom, class: "tl-mark", "data-mark": state[panel.mark] }, svg);
    }
    const ends = names.map((name) => {
      const line = rows.filter((i) => column[spec.series][i] === name).sort((a, b) => column[spec.x][a] - column[spec.x][b]);
      if (spec.error && line.some(margin)) {
        const edge = (i, sign) => `${X(column[spec.x][i])},${Y(Math.max(panel.log ? 10 ** floor : floor, column[spec.value][i] + sign * margin(i)))}`;
        const ring = [...line.map((i) => edge(i, 1)), ...line.slice().reverse().map((i) => edge(i, -1))];
        make("path", { d: `M${ring.join("L")}Z`, style: look(name).style.replace("stroke", "fill") + ";opacity:.18" }, svg);
      }
      const points = line.map((i) => `${X(column[spec.x][i])},${Y(column[spec.value][i])}`);
      make("path", { d: `M${points.join("L")}`, ...look(name), "data-series": name }, svg);
      if (line.length < 40 && name !== spec.reference) {
        line.forEach((i) => {
          make("circle", { cx: X(column[spec.x][i]), cy: Y(column[spec.value][i]), r: 3.5, style: look(name).style.replace("stroke", "fill"), "data-series": name, "data-x": column[spec.x][i], "data-value": column[spec.value][i] }, svg);
        });
      }
      const [a, b] = [line[0], line[line.length - 1]];
      const at = (i) => `${fixed(column[spec.value][i])} at ${spec.symbol} = ${column[spec.x][i]}`;
      return `${name}: ${a === b ? at(a) : at(a) + ", " + at(b)}`;
    });
    axes(svg, box, width, height, panel.x, panel.y);
    if (rows.length) crosshair(svg, box, width, rows, panel, X);
    return ends.join("; ") + ".";
  }
  function nice(v) {
    const power = 10 ** Math.floor(Math.log10(v));
    return power * [1, 2, 2.5, 5, 10].find((m) => m * power >= v * 0.999);
  }
  function span(low, high, step) {
    const found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + step / 1e6; v += step) found.push(Math.round(v * 1e6) / 1e6);
    return found;
  }
