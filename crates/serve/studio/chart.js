// Curves on a canvas. They stay fast with any number of points: each column of pixels draws its least and greatest only.
import { h } from "./dom.js";

const COLORS = ["#b3412c", "#2f6f9f", "#6a8f2a", "#8a5aa8"];

/** A chart of `series` ({name, points: [[x, y], …]}); `log` for a logarithmic y. */
export function chart(series, { log = false, label }) {
  const canvas = h("canvas", { class: "chart", role: "img", "aria-label": label });
  const draw = () => requestAnimationFrame(() => paint(canvas, series, log));
  new ResizeObserver(draw).observe(canvas);
  return canvas;
}

function paint(canvas, series, log) {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width) return;
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const up = log ? (y) => Math.log10(Math.max(y, 1e-6)) : (y) => y;
  const points = series.flatMap((one) => one.points).filter(([, y]) => Number.isFinite(y) && (!log || y > 0));
  if (!points.length) return;
  let [x1, y0, y1] = [1, Infinity, -Infinity];
  for (const [x, y] of points) [x1, y0, y1] = [Math.max(x1, x), Math.min(y0, up(y)), Math.max(y1, up(y))];
  if (y1 - y0 < 1e-9) [y0, y1] = [y0 - 1, y1 + 1];
  const [left, right, top, bottom] = [56, 12, 28, 26];
  const px = (x) => left + (x / x1) * (width - left - right);
  const py = (y) => top + (1 - (up(y) - y0) / (y1 - y0)) * (height - top - bottom);
  c.font = `12px ${style.fontFamily}`;
  c.strokeStyle = style.getPropertyValue("--line");
  c.fillStyle = style.getPropertyValue("--soft");
  c.textBaseline = "middle";
  for (let i = 0; i <= 4; i++) {
    const value = y0 + ((y1 - y0) * i) / 4;
    const y = top + (1 - i / 4) * (height - top - bottom);
    c.beginPath();
    c.moveTo(left, y);
    c.lineTo(width - right, y);
    c.stroke();
    c.textAlign = "right";
    c.fillText(log ? short(10 ** value) : short(value, (y1 - y0) / 4), left - 8, y);
  }
  c.textAlign = "center";
  for (let i = 0; i <= 4; i++) c.fillText(short((x1 * i) / 4), Math.min(px((x1 * i) / 4), width - 24), height - 12);
  c.textAlign = "left";
  let at = left;
  series.forEach((one, i) => {
    c.fillStyle = c.strokeStyle = COLORS[i % COLORS.length];
    c.fillRect(at, 12, 10, 3);
    c.fillStyle = style.color;
    c.fillText(one.name, at + 14, 13);
    at += c.measureText(one.name).width + 34;
    line(c, one.points.filter(([, y]) => Number.isFinite(y) && (!log || y > 0)), px, py);
  });
}

function line(c, points, px, py) {
  c.beginPath();
  let column = null;
  let [low, high, last] = [0, 0, 0];
  const flush = () => {
    if (column === null) return;
    c.lineTo(column, high);
    c.lineTo(column, low);
    c.lineTo(column, last);
  };
  for (const [x, y] of points) {
    const [own, value] = [Math.round(px(x)), py(y)];
    if (own !== column) {
      flush();
      [column, low, high] = [own, value, value];
    }
    [low, high, last] = [Math.max(low, value), Math.min(high, value), value];
  }
  flush();
  c.lineWidth = 1.5;
  c.stroke();
}

/** A number in few digits, but in as many as tell it from the next one, `step` away. */
function short(value, step = Infinity) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const digits = Math.min(7, Math.max(3, 1 + Math.ceil(Math.log10(size / step))));
  if (size >= 10000) return `${+(value / 1000).toPrecision(digits)}k`;
  return size < 0.001 ? value.toExponential(0) : String(+value.toPrecision(digits));
}
