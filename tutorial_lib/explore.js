// An explorer: controls over a measured table, redrawn in the page itself. Called as explorer(spec, id, compute).
// spec: kind ("heatmap" | "lines"), columns {name: {levels, codes} | {data}}, controls, x, y, value, error, readout …
// (see explore.py). With compute, the rows are not measured: compute(state, controls) returns {columns, note, map} for the controls'
// values, each time they change. Nothing is loaded, nothing leaves the page.
(function explorer(spec, id, compute) {
  "use strict";
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
  const SERIES = ["var(--tl-a)", "var(--tl-b)", "var(--tl-c)", "var(--tl-d)", "var(--tl-e)"];
  const DASHES = ["", "7 4", "2 3", "9 3 2 3", "1 2"];

  let column, everything, found = {};
  function load(columns) {
    column = {};
    for (const [name, c] of Object.entries(columns)) column[name] = c.levels ? c.codes.map((k) => c.levels[k]) : c.data;
    everything = column[spec.value].map((_, i) => i);
  }
  load(spec.columns);

  function make(tag, attributes, parent, text) {
    const svg = ["svg", "g", "rect", "line", "path", "circle", "text", "defs", "pattern", "title"].includes(tag);
    const node = svg ? document.createElementNS(NAMESPACE, tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.appendChild(node);
    return node;
  }
  const short = (v) => (v !== 0 && (Math.abs(v) >= 1e5 || Math.abs(v) < 1e-3) ? v.toExponential(1).replace(".0e", "e").replace("e+", "e") : String(Number(v.toPrecision(5))));
  const show = (v) => (typeof v === "number" ? short(v) : v);
  const field = (v) => (/[",\r\n]/.test(v) ? `"${v.replaceAll('"', '""')}"` : v); // of a CSV file, by RFC 4180; null is empty
  const fixed = (v) => (v === null || v === undefined ? "–" : v.toFixed(spec.digits));
  const distinct = (name, rows) => {
    const found = [...new Set(rows.map((i) => column[name][i]))];
    return found.some((v) => typeof v === "number") ? found.sort((a, b) => a - b) : found;
  };

  function start(root) {
    const state = { ...spec.start };
    root.textContent = "";
    const form = make("div", { class: "tl-controls", role: "group", "aria-label": spec.title + ": controls" }, root);
    const figure = make("div", { class: "tl-figure" }, root);
    const legend = make("div", { class: "tl-legend" }, root);
    const readout = make("p", { class: "tl-readout", "aria-live": "polite" }, root);
    const details = make("details", {}, root);
    make("summary", {}, details, "Data as a table");
    const sheet = make("div", { class: "tl-table" }, details);
    const widgets = spec.controls.map((control, k) => {
      const label = make("label", { for: `${id}-${k}` }, form);
      const name = make("span", {}, label, control.label);
      const numeric = typeof (control.values || column[control.column]).find((v) => v !== null) === "number";
      const input = make(numeric ? "input" : "select", { id: `${id}-${k}`, "data-control": control.column }, label);
      if (numeric) Object.assign(input, { type: "range", min: 0, step: 1 });
      const set = () => {
        state[control.column] = input.available[numeric ? Number(input.value) : input.selectedIndex];
        update();
      };
      input.addEventListener("input", set);
      input.addEventListener("keydown", (event) => event.stopPropagation()); // JupyterLab would take the arrow keys
      return { control, input, name, numeric };
    });

    // The rows that the filters leave; a value that is not there gives way to the nearest that is.
    function settle() {
      let rows = everything;
      for (const { control, input, name, numeric } of widgets) {
        const available = control.values || distinct(control.column, rows).filter((v) => v !== null);
        if (!available.includes(state[control.column])) {
          const wanted = state[control.column];
          state[control.column] = numeric
            ? available.reduce((a, b) => (Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a), available[0])
            : available[0];
        }
        const position = available.indexOf(state[control.column]);
        const same = input.available && input.available.join("|") === available.join("|");
        input.available = available;
        if (numeric) {
          input.max = available.length - 1;
          input.value = position;
          input.setAttribute("aria-valuetext", show(state[control.column]));
          name.textContent = `${control.label} = ${show(state[control.column])}`;
        } else {
          if (!same) input.replaceChildren(...available.map((v) => make("option", {}, null, v)));
          input.selectedIndex = position;
        }
        input.disabled = available.length < 2;
        // a row without a value holds for every value of the control
        if (!control.pick && !control.values) rows = rows.filter((i) => [null, state[control.column]].includes(column[control.column][i]));
      }
      return rows;
    }

    // the rows to draw: those that the controls leave, or those computed from the controls
    function current() {
      const rows = settle();
      if (!compute) return rows;
      found = compute({ ...state }, spec.controls);
      load(found.columns);
      return everything;
    }
    function update() {
      const rows = current();
      const width = Math.max(280, Math.min(760, figure.clientWidth || 640));
      const svg = { heatmap, lines }[spec.kind](rows, width, state, legend, readout, choose);
      figure.replaceChildren(svg);
      if (details.open) fill(rows);
    }
    function choose(picked) {
      Object.assign(state, picked);
      update();
    }
    function fill(rows) {
      const names = Object.keys(column);
      const table = make("table", {});
      const head = make("tr", {}, make("thead", {}, table));
      names.forEach((n) => make("th", { scope: "col" }, head, spec.names[n] || n));
      const body = make("tbody", {}, table);
      for (const i of rows) {
        const line = make("tr", {}, body);
        names.forEach((n) => make("td", {}, line, column[n][i] === null ? "–" : show(column[n][i])));
      }
      const save = make("button", { type: "button" }, null, "Save all data as CSV");
      save.addEventListener("click", () => {
        const text = [names, ...everything.map((i) => names.map((n) => column[n][i]))].map((r) => r.map(field).join(",") + "\r\n").join("");
        const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
        make("a", { href: url, download: spec.file + ".csv" }).click();
        URL.revokeObjectURL(url);
      });
      sheet.replaceChildren(save, table);
    }
    details.addEventListener("toggle", () => details.open && fill(current()));
    let last = 0;
    new ResizeObserver(() => {
      if (Math.abs(figure.clientWidth - last) > 4) {
        last = figure.clientWidth;
        update();
      }
    }).observe(figure);
    update();
  }

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
    const box = { left: 58, top: 10, right: width - 10 };
    const cell = (box.right - box.left) / xs.length, tall = Math.max(17, Math.min(cell, 400 / ys.length));
    box.bottom = box.top + tall * ys.length;
    const height = box.bottom + 48;
    const values = new Map(rows.map((i) => [`${column[spec.x][i]}|${column[spec.y][i]}`, i]));
    const top = Math.max(...rows.map((i) => column[spec.value][i]));
    const shade = (v) => Math.max(0, Math.min(9, Math.round((9 * v) / top)));
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
        make("title", {}, rect, `${spec.names[spec.x]} ${x}, ${spec.names[spec.y]} ${y}: ${level === null ? "no value" : fixed(column[spec.value][i])}`);
        rect.addEventListener("click", () => choose({ [spec.x]: x, [spec.y]: y }));
        if (x === y) make("circle", { cx: left + 6, cy: upper + 6, r: 3, class: "tl-balanced" }, svg);
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
    legend.replaceChildren();
    const bar = make("span", { class: "tl-bar" }, null);
    CIVIDIS.forEach((colour) => make("i", { style: `background:${colour}` }, bar));
    legend.append(`${spec.names[spec.value]}: 0 `, bar, ` ${fixed(top)}`, make("span", { class: "tl-note" }, null, spec.note || ""));
    readout.textContent = text;
    return svg;
  }

  // ---- lines: spec.value over spec.x, one line for each value of spec.series; in panels, or in one ----
  function lines(rows, width, state, legend, readout, choose) {
    const notes = compute ? found.note : spec.notes && spec.notes[spec.controls.map((k) => state[k.column]).join("|")];
    const panels = spec.panels || [{ x: spec.names[spec.x], y: spec.names[spec.value] }];
    const beside = panels.length > 1 && width > 600;
    const wrapper = make("div", { class: beside ? "tl-panels" : "" });
    const told = panels.map((panel, k) => {
      const own = (i) => panel.name === undefined || column.panel[i] === panel.name;
      const size = beside && k + 1 < panels.length + (panels.length + 1) % 2 ? (width - 12) / 2 : width; // an odd one has a row
      if (panel.map) return map(found.map, panel, size, state, wrapper, choose);
      return chart(rows.filter(own), panel, panel.name === undefined || compute ? null : everything.filter(own), size, state, wrapper);
    });
    const text = notes || told.join(" ");
    for (const svg of wrapper.children) svg.setAttribute("aria-label", `${spec.title}. ${text}`);
    legend.replaceChildren();
    for (const name of distinct(spec.series, rows)) {
      const entry = make("span", {}, legend);
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
    y.forEach((b, r) => x.forEach((a, c) => {
      const left = X.at(a / 10 ** X.half), top = Y.at(b * 10 ** Y.half);
      const rect = make("rect", {
        x: left, y: top, width: X.at(a * 10 ** X.half) - left + 0.5, height: Y.at(b / 10 ** Y.half) - top + 0.5,
        class: "tl-cell", fill: CIVIDIS[[0, 4, 7, 9][code[r][c]]], "data-x": a, "data-y": b, "data-value": names[code[r][c]],
      }, svg);
      make("title", {}, rect, `${panel.x} ${show(a)}, ${panel.y} ${show(b)}: ${names[code[r][c]]}`);
      rect.addEventListener("click", () => choose({ [panel.picks[0]]: a, [panel.picks[1]]: b }));
    }));
    names.forEach((name, k) => {
      const left = box.left + ((k % across) * (box.right - box.left)) / across, top = 4 + 20 * Math.floor(k / across);
      make("rect", { x: left, y: top, width: 14, height: 14, fill: CIVIDIS[[0, 4, 7, 9][k]], class: "tl-key" }, svg);
      make("text", { x: left + 19, y: top + 12 }, svg, name);
    });
    const few = (values) => values.filter((v) => Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-3);
    few(x).forEach((v) => make("text", { x: X.at(v), y: box.bottom + 17, "text-anchor": "middle" }, svg, show(v)));
    few(y).forEach((v) => make("text", { x: box.left - 7, y: Y.at(v) + 4, "text-anchor": "end" }, svg, show(v)));
    const inside = line.points.map(([a, b]) => [X.at(a), Y.at(b)]).filter(([a]) => a >= box.left && a <= box.right);
    if (inside.length > 1) {
      for (const style of ["tl-point-outer", "tl-theory"]) make("path", { d: `M${inside.map((p) => p.join(",")).join("L")}`, class: style }, svg);
      make("title", {}, svg.lastChild, line.name);
      make("text", { x: inside[inside.length - 1][0] + 8, y: box.top + 16, class: "tl-value", "font-size": 13 }, svg, line.name);
    }
    const point = { cx: X.at(state[panel.picks[0]]), cy: Y.at(state[panel.picks[1]]) };
    make("circle", { ...point, r: 8, class: "tl-point-outer" }, svg);
    make("circle", { ...point, r: 8, class: "tl-point", "data-x": state[panel.picks[0]], "data-y": state[panel.picks[1]] }, svg);
    axes(svg, box, width, height, panel.x, panel.y);
    return "";
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
          const dot = make("circle", { cx: X(column[spec.x][i]), cy: Y(column[spec.value][i]), r: 3.5, style: look(name).style.replace("stroke", "fill"), "data-series": name, "data-x": column[spec.x][i], "data-value": column[spec.value][i] }, svg);
          make("title", {}, dot, `${name}, ${spec.symbol} = ${column[spec.x][i]}: ${fixed(column[spec.value][i])}`);
        });
      }
      const [a, b] = [line[0], line[line.length - 1]];
      const at = (i) => `${fixed(column[spec.value][i])} at ${spec.symbol} = ${column[spec.x][i]}`;
      return `${name}: ${a === b ? at(a) : at(a) + ", " + at(b)}`;
    });
    axes(svg, box, width, height, panel.x, panel.y);
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

  for (const root of document.querySelectorAll(`.tl-explorer[data-id="${id}"]:not([data-ready])`)) {
    root.dataset.ready = "yes";
    start(root);
  }
})
