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
  const REGIONS = ["#d3e6f5", "#3d87bd", "#f2a541", "#6b1d3a"]; // light, middle, bright, dark: apart in print, too
  const ours = !!document.querySelector("article.bd-article"); // the page's address is the book's: state may stand in it

  let column, everything, found = {};
  function load(columns) {
    column = {};
    for (const [name, c] of Object.entries(columns)) column[name] = c.levels ? Array.from(c.codes, (k) => c.levels[typeof k === "string" ? parseInt(k, 36) : k]) : c.data;
    everything = column[spec.value].map((_, i) => i);
  }
  load(spec.columns);

  function make(tag, attributes, parent, text) {
    const svg = ["svg", "g", "rect", "line", "path", "circle", "text", "defs", "pattern", "title", "image"].includes(tag);
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
    const state = { ...spec.start }, off = new Set(); // off: the series that the reader has switched off
    root.textContent = "";
    const head = make("div", { class: "tl-head" }, root);
    make("strong", {}, head, spec.title);
    const choices = make("span", { class: "tl-tools" }, head);
    const form = make("div", { class: "tl-controls", role: "group", "aria-label": spec.title + ": controls" }, root);
    const figure = make("div", { class: "tl-figure" }, root);
    const legend = make("div", { class: "tl-legend" }, root);
    const readout = make("p", { class: "tl-readout", "aria-live": "polite" }, root);
    const taken = make("p", { class: "tl-tools" }, root);
    const details = make("details", {}, root);
    make("summary", {}, details, "Data as a table");
    const sheet = make("div", { class: "tl-table" }, details);
    const playing = [];
    const widgets = spec.controls.map((control, k) => {
      const field = make("div", { class: "tl-field" }, form);
      const label = make("label", { for: `${id}-${k}` }, field);
      const name = make("span", {}, label, control.label);
      const numeric = typeof (control.values || column[control.column]).find((v) => v !== null) === "number";
      const input = make(numeric ? "input" : "select", { id: `${id}-${k}`, "data-control": control.column }, label);
      const ends = numeric && make("div", { class: "tl-ends", "aria-hidden": "true" }, field);
      if (numeric) Object.assign(input, { type: "range", min: 0, step: 1 });
      if (numeric) input.setAttribute("list", make("datalist", { id: `${id}-${k}-stops` }, field).id); // drawn as ticks
      const set = () => {
        state[control.column] = input.available[numeric ? Number(input.value) : input.selectedIndex];
        update();
        write();
      };
      if (control.play) play(make("button", { type: "button", class: "tl-play" }, field), input, set, control.label);
      input.addEventListener("input", () => {
        playing.forEach((stop) => stop());
        set();
      });
      input.addEventListener("keydown", (event) => event.stopPropagation()); // JupyterLab would take the arrow keys
      return { control, input, name, numeric, ends };
    });
    for (const [text, wanted] of Object.entries(spec.presets || {})) tool(choices, text, () => go(wanted));
    tool(choices, "Reset", () => go({ ...spec.start, ...(spec.kept && { [spec.kept]: "" }) }));
    if (ours) tool(taken, "Copy link", link);
    tool(taken, "Save PNG", () => picture(figure, legend, [widgets.map(({ control }) => `${control.label} = ${show(state[control.column])}`).join("; "), readout.textContent]));
    tool(taken, "Save all data as CSV", save);

    function tool(where, text, act) {
      make("button", { type: "button" }, where, text).addEventListener("click", act);
    }
    function go(wanted) {
      playing.forEach((stop) => stop());
      Object.assign(state, wanted);
      off.clear();
      update();
      write();
    }
    // a slider that goes by itself, from its first stop on, until it has reached the last
    function play(button, input, set, label) {
      let timer = null;
      const tell = () => {
        button.textContent = timer ? "❚❚" : "▶";
        button.setAttribute("aria-label", `${timer ? "Pause" : "Play"}: ${label}`);
      };
      const stop = () => {
        clearInterval(timer);
        timer = null;
        tell();
      };
      const move = (position) => {
        input.value = position;
        set();
        if (position >= Number(input.max)) stop();
      };
      button.addEventListener("click", () => {
        if (timer) return stop();
        timer = setInterval(() => (root.isConnected ? move(Number(input.value) + 1) : stop()), 600);
        if (Number(input.value) >= Number(input.max)) move(0);
        tell();
      });
      playing.push(stop);
      tell();
    }

    // ---- the state in the page's address: title.column=value for all that is not as at the start ----
    const key = (name) => `${spec.file}.${name}`;
    function write() {
      if (!ours) return;
      const state_ = new URLSearchParams(location.hash.slice(1));
      for (const name of [...state_.keys()]) if (name.startsWith(key("")) || !name.includes(".")) state_.delete(name);
      for (const { control } of widgets) {
        if (state[control.column] !== spec.start[control.column]) state_.set(key(control.column), state[control.column]);
      }
      if (off.size) state_.set(key("without"), [...off].join("|"));
      if (spec.kept && state[spec.kept]) state_.set(key(spec.kept), state[spec.kept]);
      history.replaceState(null, "", String(state_) ? `#${state_}` : location.pathname + location.search);
    }
    function read() {
      const wanted = new URLSearchParams(location.hash.slice(1));
      if (![...wanted.keys()].some((name) => name.startsWith(key("")))) return false;
      for (const { control, numeric } of widgets) {
        const value = wanted.get(key(control.column)), number = Number(value);
        state[control.column] = value === null || (numeric && !Number.isFinite(number)) ? spec.start[control.column] : numeric ? number : value;
      }
      if (spec.kept) state[spec.kept] = wanted.get(key(spec.kept)) || "";
      off.clear();
      for (const name of (wanted.get(key("without")) || "").split("|")) if (name) off.add(name);
      return true;
    }
    function link(event) {
      write();
      const done = (text) => {
        event.target.textContent = text;
        setTimeout(() => (event.target.textContent = "Copy link"), 1500);
      };
      (navigator.clipboard ? navigator.clipboard.writeText(location.href) : Promise.reject()).then(() => done("Copied"), () => done("It is in the address bar"));
    }

    // The rows that the filters leave; a value that is not there gives way to the nearest that is.
    function settle() {
      let rows = everything;
      for (const { control, input, name, numeric, ends } of widgets) {
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
          if (!same) input.list.replaceChildren(...(available.length > 31 ? [] : available.map((_, k) => make("option", { value: k }))));
          input.value = position;
          input.setAttribute("aria-valuetext", show(state[control.column]));
          name.textContent = `${control.label}\u00a0=\u00a0${show(state[control.column])}`;
          ends.replaceChildren(...[available[0], available[available.length - 1]].map((v) => make("span", {}, null, show(v))));
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
      const svg = { heatmap, lines }[spec.kind](rows, width, state, legend, readout, choose, off);
      figure.replaceChildren(svg);
      if (details.open) fill(rows);
    }
    function choose(picked) {
      Object.assign(state, picked);
      update();
      write();
    }
    legend.addEventListener("click", (event) => {
      const entry = event.target.closest("button[data-name]");
      if (!entry) return;
      if (!off.delete(entry.dataset.name)) off.add(entry.dataset.name);
      update();
      write();
      legend.querySelector(`[data-name="${CSS.escape(entry.dataset.name)}"]`).focus(); // it was drawn anew
    });
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
      sheet.replaceChildren(table);
    }
    function save() {
      current();
      const names = Object.keys(column); // of a table; what is computed depends on the other controls, too
      const set = compute ? widgets.map(({ control }) => control).filter((control) => !names.includes(control.column)) : [];
      const head = [...names.map((n) => spec.names[n] || n), ...set.map((control) => control.label)];
      const lines = everything.map((i) => [...names.map((n) => column[n][i]), ...set.map((control) => state[control.column])]);
      const text = [head, ...lines].map((r) => r.map(field).join(",") + "\r\n").join("");
      give(new Blob([text], { type: "text/csv" }), "csv");
    }
    details.addEventListener("toggle", () => details.open && fill(current()));
    let last = 0;
    new ResizeObserver(() => {
      if (Math.abs(figure.clientWidth - last) > 4) {
        last = figure.clientWidth;
        update();
      }
    }).observe(figure);
    const asked = ours && read();
    update();
    if (!ours) return;
    if (asked) root.scrollIntoView();
    addEventListener("hashchange", () => {
      if (!read()) return;
      update();
      root.scrollIntoView();
    });
  }

  // ---- to take away: a file, or the figure as a picture, with the styles that the page gives it ----
  function give(blob, ending) {
    const url = URL.createObjectURL(blob);
    make("a", { href: url, download: `${spec.file}.${ending}` }).click();
    URL.revokeObjectURL(url);
  }
  async function picture(figure, legend, told) {
    const charts = [...figure.querySelectorAll("svg")].filter((chart) => !chart.closest(".tl-legend"));
    const whole = figure.getBoundingClientRect(), scale = 2, head = 84, apart = legend.closest(".tl-figure") ? 0 : legend.offsetHeight;
    const sheet = make("canvas", { width: scale * whole.width, height: scale * (whole.height + head + apart) }), pen = sheet.getContext("2d");
    const ink = getComputedStyle(figure).color;
    let back = figure;
    while (back.parentElement && /, 0\)$|transparent/.test(getComputedStyle(back).backgroundColor)) back = back.parentElement;
    pen.scale(scale, scale);
    pen.fillStyle = /, 0\)$|transparent/.test(getComputedStyle(back).backgroundColor) ? "#fff" : getComputedStyle(back).backgroundColor;
    pen.fillRect(0, 0, whole.width, whole.height + head + apart);
    pen.fillStyle = pen.strokeStyle = ink;
    pen.font = "bold 15px system-ui, sans-serif";
    pen.fillText(spec.title, 8, 20, whole.width - 16);
    pen.font = "13px system-ui, sans-serif";
    told.forEach((line, k) => pen.fillText(line, 8, 44 + 22 * k, whole.width - 16));
    for (const part of legend.childNodes) { // text as it stands, and a line or a colour in front of it
      const range = document.createRange();
      range.selectNodeContents(part);
      const box = (part.getBoundingClientRect ? part : range).getBoundingClientRect(), left = box.left - whole.left, top = box.top - whole.top + head;
      const line = part.querySelector && part.querySelector("path");
      if (line) {
        pen.strokeStyle = getComputedStyle(line).stroke;
        pen.setLineDash((line.getAttribute("stroke-dasharray") || "").split(" ").filter(Boolean).map(Number));
        pen.lineWidth = 2.4;
        pen.beginPath();
        pen.moveTo(left + 4, top + box.height / 2);
        pen.lineTo(left + 36, top + box.height / 2);
        pen.stroke();
      }
      if (!part.classList || !part.classList.contains("tl-bar")) pen.fillText(part.textContent.trim(), left + (line ? 44 : 0), top + box.height / 2 + 5);
      else [...part.children].forEach((colour, k) => {
        pen.fillStyle = getComputedStyle(colour).backgroundColor;
        pen.fillRect(left + 16 * k, top, 16, 14);
        pen.fillStyle = ink;
      });
    }
    for (const chart of charts) {
      const copy = chart.cloneNode(true), from = [chart, ...chart.querySelectorAll("*")];
      const buttons = copy.querySelectorAll(".tl-clear");
      [copy, ...copy.querySelectorAll("*")].forEach((node, k) => {
        const style = getComputedStyle(from[k]);
        for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "paint-order", "opacity", "font-size", "font-family", "font-weight"]) node.style[name] = style.getPropertyValue(name);
      });
      buttons.forEach((button) => button.remove());
      copy.setAttribute("xmlns", NAMESPACE);
      const image = new Image(), place = chart.getBoundingClientRect();
      image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
      await image.decode();
      pen.drawImage(image, place.left - whole.left, place.top - whole.top + head, place.width, place.height);
    }
    sheet.toBlob((blob) => give(blob, "png"), "image/png");
  }

  // charts.js

  for (const root of document.querySelectorAll(`.tl-explorer[data-id="${id}"]:not([data-ready])`)) {
    root.dataset.ready = "yes";
    start(root);
  }
})
