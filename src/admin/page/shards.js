// The table of shards: how busy each one is, and whether they share the work evenly.

import { Series, drawSpark, spark } from "./lines.js";
import { Table, attribute, bar, element, fillBar, parts, text } from "./table.js";
import { count, counted, percent, rate } from "./format.js";

/** From here on a shard has little room left, and from here on none. */
const BUSY_WARN = 0.75;
const BUSY_BAD = 0.9;

/** A share that differs from the even one by more than this part of it is told about. */
const UNEVEN = 0.5;

/** Fewer viewers than this on each shard are never uneven. */
const UNEVEN_LEAST = 8;

export class Shards {
  constructor(section) {
    this.count = section.querySelector(".count");
    this.busy = new Map();
    this.table = new Table(section, [
      { fill: (cell, { shard }) => text(cell, shard.is_stale ? `${shard.shard} (silent)` : String(shard.shard)) },
      { label: "Busy", fill: (cell, row) => this.#fillBusy(cell, row) },
      { label: "Delay", numeric: true, fill: (cell, { shard }) => text(cell, delay(shard.fanout_delay_p99_ms)) },
      { label: "Viewers", numeric: true, fill: (cell, { shard }) => text(cell, count(shard.viewers)) },
      { label: "Share", fill: fillShare },
      { label: "Out", numeric: true, fill: (cell, { shard }) => text(cell, rate(shard.out_bits_per_second)) },
    ]);
  }

  show(shards) {
    const viewers = shards.reduce((sum, shard) => sum + shard.viewers, 0);
    const even = 1 / shards.length;
    const rows = shards.map((shard) => {
      if (!this.busy.has(shard.shard)) this.busy.set(shard.shard, new Series());
      const series = this.busy.get(shard.shard);
      series.push(shard.busy_ratio);
      const share = viewers ? shard.viewers / viewers : even;
      const isUneven = viewers >= UNEVEN_LEAST * shards.length && Math.abs(share - even) > even * UNEVEN;
      return { shard, series, share, even, viewers, isUneven };
    });
    this.table.show(rows, ({ shard }) => shard.shard, ({ shard }) => (shard.is_stale ? "bad" : undefined));
    const uneven = rows.some((row) => row.isUneven);
    text(this.count, `${counted(shards.length, "pinned thread")}${uneven ? ", unevenly loaded" : ""}`);
  }

  #fillBusy(cell, { shard, series }) {
    const { whole, line, figure } = parts(cell, () => ({ whole: bar(), line: spark(), figure: element("span") }));
    const level = shard.busy_ratio >= BUSY_BAD ? "bad" : shard.busy_ratio >= BUSY_WARN ? "warn" : "good";
    fillBar(whole, shard.busy_ratio, level);
    drawSpark(line, series, 0.1);
    text(figure, percent(shard.busy_ratio));
    attribute(figure, "class", level === "good" ? undefined : level);
  }
}

function fillShare(cell, { share, even, viewers, isUneven }) {
  const { whole, figure } = parts(cell, () => {
    const made = bar();
    made.append(element("b"));
    return { whole: made, figure: element("span") };
  });
  fillBar(whole, viewers ? share : 0, isUneven ? "warn" : "good");
  // A line of its own shows where an even share would end.
  whole.lastChild.style.left = `${even * 100}%`;
  text(figure, viewers ? percent(share) : "–");
  attribute(figure, "class", isUneven ? "warn" : undefined);
}

/** A delay is told as the bound of a class that it lies in. */
function delay(boundMs) {
  return boundMs === null ? "–" : `≤ ${count(boundMs)} ms`;
}
