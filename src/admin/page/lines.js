// Lines over time: a small one in a table's cell, and the large one of the last five minutes.
// Knows figures and pixels; whose figures they are is told by who draws. Colours come from the style sheet.

const SVG = "http://www.w3.org/2000/svg";

/** How many seconds a line shows. */
export const SECONDS = 300;

/** The last figures of one thing, one for each second. */
export class Series {
  constructor(values = []) {
    this.values = values.slice(-SECONDS);
  }

  push(value) {
    this.values.push(Number.isFinite(value) ? value : 0);
    if (this.values.length > SECONDS) this.values.shift();
  }
}

/** A small line: element first, then drawn as often as there are news. */
export function spark() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 100 24");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const name of ["fill", "stroke"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    svg.append(path);
  }
  return svg;
}

/** Draws a series, the newest figure at the right edge, from zero up. */
export function drawSpark(svg, series, least = 0) {
  const values = thinned(series.values, 100);
  const [fill, stroke] = svg.children;
  if (values.length < 2) {
    fill.removeAttribute("d");
    stroke.removeAttribute("d");
    return;
  }
  const top = Math.max(least, ...values) || 1;
  const wide = Math.min(1, series.values.length / SECONDS) * 100;
  const left = 100 - Math.max(wide, 12);
  const step = (100 - left) / (values.length - 1);
  let line = "";
  values.forEach((value, index) => {
    line += `${index ? "L" : "M"}${(left + index * step).toFixed(1)} ${(23 - (value / top) * 21).toFixed(1)}`;
  });
  stroke.setAttribute("d", line);
  fill.setAttribute("d", `${line}L100 24L${left.toFixed(1)} 24Z`);
}

/** The last five minutes as bars: height is the rate, colour is how the whole was at that second; `box` is its size. */
export function drawHistory(canvas, box, seconds) {
  const scale = window.devicePixelRatio || 1;
  const wide = Math.round(box.width * scale);
  const high = Math.round(box.height * scale);
  if (!wide || !high) return;
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const style = getComputedStyle(canvas);
  const colours = { good: "--accent", warn: "--warn", bad: "--bad" };
  for (const level of Object.keys(colours)) colours[level] = style.getPropertyValue(colours[level]).trim();
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, wide, high);
  pen.fillStyle = style.getPropertyValue("--track").trim();
  pen.fillRect(0, high - scale, wide, scale);
  const top = Math.max(1, ...seconds.map((second) => second.out));
  const step = wide / SECONDS;
  seconds.forEach((second, index) => {
    const right = wide - (seconds.length - 1 - index) * step;
    const tall = Math.max(second.level === "good" ? scale : 4 * scale, (second.out / top) * (high - 2 * scale));
    pen.fillStyle = colours[second.level] ?? colours.good;
    pen.globalAlpha = second.level === "good" ? 0.55 : 1;
    pen.fillRect(right - step, high - tall, Math.max(step - (step > 3 * scale ? scale : 0), 1), tall);
  });
  pen.globalAlpha = 1;
}

/** At most so many values, each the largest of its share. */
function thinned(values, most) {
  if (values.length <= most) return values;
  const share = values.length / most;
  return Array.from({ length: most }, (_, index) =>
    Math.max(...values.slice(Math.floor(index * share), Math.floor((index + 1) * share))));
}
