// Maps and charts, drawn with the colours that the page's theme gives.
import { SIDES } from "./run.js";

const SVG = "http://www.w3.org/2000/svg";

export function make(tag, attributes, parent, text) {
  const node = ["svg", "path", "line", "text", "circle", "g"].includes(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

/** Colours of the theme: paper, ink, the two classes. */
export function palette(root) {
  const style = getComputedStyle(root), of = (name) => style.getPropertyValue(name).trim();
  return { paper: of("--pg-paper"), ink: of("--pg-ink"), classes: [of("--pg-zero"), of("--pg-one")] };
}

/** A map of probabilities as colours: the paper where the network does not know, a class's colour where it is certain. */
export function drawMap(canvas, sheet, map, { x, y }, colours) {
  const { size, reach, p } = map, side = canvas.width, pen = canvas.getContext("2d"), ink = sheet.getContext("2d");
  const paper = rgb(colours.paper), classes = colours.classes.map(rgb), image = ink.createImageData(size, size);
  for (let k = 0; k < p.length; k++) {
    const sure = 0.75 * Math.abs(2 * p[k] - 1), colour = classes[Number(p[k] > 0.5)], to = 4 * ((size - 1 - Math.floor(k / size)) * size + (k % size));
    for (let c = 0; c < 3; c++) image.data[to + c] = paper[c] + sure * (colour[c] - paper[c]);
    image.data[to + 3] = 255;
  }
  ink.putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = true;
  pen.drawImage(sheet, 0, 0, side, side);
  const at = (v) => ((v + reach) / (2 * reach)) * side;
  pen.strokeStyle = colours.ink;
  pen.lineWidth = side / 160;
  pen.stroke(border(map, at, (v) => side - at(v)));
  const radius = side / 75;
  pen.lineWidth = side / 240;
  for (let i = 0; i < y.length; i++) {
    const [left, top] = [at(x[2 * i]), side - at(x[2 * i + 1])];
    pen.beginPath();
    if (y[i]) pen.rect(left - radius, top - radius, 2 * radius, 2 * radius);
    else pen.arc(left, top, 1.1 * radius, 0, 2 * Math.PI);
    pen.fillStyle = colours.classes[y[i]];
    pen.fill();
    pen.strokeStyle = colours.paper;
    pen.stroke();
  }
  pen.fillStyle = colours.ink;
  pen.font = `${side / 26}px system-ui, sans-serif`;
  for (const v of [-2, 0, 2]) {
    pen.fillText(String(v).replace("-", "−"), at(v) - side / 60, side - side / 60);
    if (v) pen.fillText(String(v).replace("-", "−"), side / 80, side - at(v) + side / 60);
  }
}

/** Where a map is ½: lines through the squares between four middles. */
function border({ size, reach, p }, left, top) {
  const path = new Path2D(), step = (2 * reach) / size, middle = (k) => -reach + step * (k + 0.5);
  for (let i = 0; i + 1 < size; i++) {
    for (let j = 0; j + 1 < size; j++) {
      const corners = [[i, j], [i, j + 1], [i + 1, j + 1], [i + 1, j]], v = corners.map(([a, b]) => p[a * size + b] - 0.5), cuts = [];
      for (let k = 0; k < 4; k++) {
        const next = (k + 1) % 4;
        if (v[k] > 0 === v[next] > 0) continue;
        const t = v[k] / (v[k] - v[next]), [a, b] = corners[k], [c, d] = corners[next];
        cuts.push([left(middle(b + t * (d - b))), top(middle(a + t * (c - a)))]);
      }
      for (let k = 0; k + 1 < cuts.length; k += 2) {
        path.moveTo(...cuts[k]);
        path.lineTo(...cuts[k + 1]);
      }
    }
  }
  return path;
}

const ticks = (from, to) => {
  const size = 10 ** Math.floor(Math.log10(to - from || 1)), step = [0.2, 0.5, 1, 2].map((m) => m * size).find((s) => (to - from) / s <= 4) || size;
  return Array.from({ length: Math.floor(to / step + 1e-9) - Math.ceil(from / step - 1e-9) + 1 }, (_, k) => (Math.ceil(from / step - 1e-9) + k) * step);
};
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
export const short = (v) => (v === 0 ? "0" : Math.abs(v) < 0.01 ? v.toExponential(0) : SHORT.format(v)).replace("-", "−");

/**
 * A chart, in place: lines of [x, y] points, {points, side, thin}, over {from, to, label} axes; y.log in powers of ten.
 * A point that is null or not finite breaks its line.
 */
export function chart(svg, lines, x, y) {
  const wide = Math.max(140, Math.round(svg.getBoundingClientRect().width) || 300), high = 160, [left, right, top, bottom] = [40, 14, 8, 36];
  const scale = y.log ? Math.log10 : (v) => v, [low, far] = [scale(y.from), scale(y.to)];
  const h = (v) => left + ((v - x.from) / (x.to - x.from || 1)) * (wide - left - right);
  const v = (value) => high - bottom - ((Math.min(far, Math.max(low, scale(value))) - low) / (far - low || 1)) * (high - top - bottom);
  svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
  svg.replaceChildren();
  const marks = y.log ? Array.from({ length: Math.round(far) - Math.round(low) + 1 }, (_, k) => 10 ** (Math.round(low) + k)) : ticks(y.from, y.to);
  for (const mark of marks) {
    make("line", { class: "pg-grid", x1: left, x2: wide - right, y1: v(mark), y2: v(mark) }, svg);
    make("text", { x: left - 4, y: v(mark) + 4, "text-anchor": "end" }, svg, short(mark));
  }
  for (const mark of ticks(x.from, x.to)) make("text", { x: h(mark), y: high - bottom + 15, "text-anchor": "middle" }, svg, short(mark));
  make("text", { x: (left + wide - right) / 2, y: high - 5, "text-anchor": "middle" }, svg, x.label);
  if (y.diagonal) make("path", { class: "pg-mark", d: `M${h(x.from)} ${v(y.from)}L${h(x.to)} ${v(y.to)}` }, svg);
  for (const { points, side, thin } of lines) {
    let open = false;
    const d = points.map(([a, b]) => {
      const there = b !== null && Number.isFinite(b) && (!y.log || b > 0), part = there ? `${open ? "L" : "M"}${h(a).toFixed(1)} ${v(b).toFixed(1)}` : "";
      open = there;
      return part;
    });
    make("path", { class: `pg-line pg-${SIDES[side]}${thin ? " pg-thin" : ""}`, d: d.join("") }, svg);
  }
}
