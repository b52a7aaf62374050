// The table of viewers: the server filters, sorts and cuts it, so that ten thousand cost the page no more than a page.

import { Table, attribute, bar, element, fillBar, parts, text } from "./table.js";
import { BEHIND_WARN, behindLevel } from "./verdict.js";
import { count, millis, player, rate, seconds, span } from "./format.js";

/** What the server can sort by, and which way each goes. */
const SORTS = {
  behind: { label: "farthest behind", isDescending: true },
  rate: { label: "slowest", isDescending: false },
  skips: { label: "most skips", isDescending: true },
  started: { label: "newest", isDescending: false },
};

/** How often the viewers that are farthest behind are looked for, in snapshots. */
const FAR_EVERY = 5;

/** How many of them are counted. */
const FAR_MOST = 100;

export class Viewers {
  /** `channelOf` answers the channel of an id, as far as it is known; `close` ends a viewer. */
  constructor(section, api, channelOf, close) {
    this.section = section;
    this.api = api;
    this.channelOf = channelOf;
    this.close = close;
    this.count = section.querySelector(".count");
    this.empty = section.querySelector(".empty");
    this.filter = section.querySelector("#viewers-filter");
    this.limit = section.querySelector("#viewers-limit");
    this.choice = section.querySelector("#viewers-sort");
    section.querySelector(".tools").hidden = false;
    this.sort = "started";
    this.order = [];
    this.closing = new Set();
    this.turn = 0;
    this.far = 0;
    this.table = new Table(section, [
      { fill: fillAddress },
      { fill: fillPlayer },
      { fill: fillChannel },
      { label: "Shard", numeric: true, fill: (cell, { viewer }) => text(cell, String(viewer.shard)) },
      { label: "Time", numeric: true, order: "started", fill: (cell, { viewer, nowMs }) => text(cell, span((nowMs - viewer.started_ms) / 1000)) },
      { label: "Rate", numeric: true, order: "rate", fill: fillRate },
      { label: "Behind", order: "behind", fill: fillBehind },
      { label: "Skips", numeric: true, order: "skips", fill: fillSkips },
      { label: "RTT", numeric: true, fill: (cell, { viewer }) => text(cell, viewer.rtt_us === null ? "–" : millis(viewer.rtt_us / 1000)) },
      { label: "Resent", numeric: true, fill: (cell, { viewer }) => text(cell, viewer.retransmits === null ? "–" : count(viewer.retransmits)) },
      { fill: (cell, row) => this.#fillClose(cell, row) },
    ], (sort) => this.#sortBy(sort));
    this.table.sorted(this.sort, SORTS[this.sort].isDescending);
    for (const [value, { label }] of Object.entries(SORTS)) this.choice.append(new Option(label, value));
    this.choice.value = this.sort;
    this.choice.addEventListener("change", () => this.#sortBy(this.choice.value));
    this.filter.addEventListener("input", () => this.refresh());
    this.limit.addEventListener("change", () => this.refresh());
  }

  /** Asks for what is shown; while an answer is on its way, no second one is asked for. */
  async refresh() {
    if (this.isAsking) {
      this.isOverdue = true;
      return;
    }
    this.isAsking = true;
    try {
      do {
        this.isOverdue = false;
        const parameters = { sort: this.sort, limit: this.limit.value, search: this.filter.value.trim().slice(0, 64) };
        this.#show(await this.api.ask("viewers", parameters), parameters.search);
      } while (this.isOverdue);
      if (this.turn % FAR_EVERY === 0) await this.#lookFar();
      this.turn += 1;
    } finally {
      this.isAsking = false;
    }
  }

  async #lookFar() {
    const { viewers } = await this.api.ask("viewers", { sort: "behind", limit: FAR_MOST });
    this.far = viewers.filter((viewer) => viewer.behind_live_ms >= BEHIND_WARN * this.#ringMs(viewer)).length;
  }

  #ringMs(viewer) {
    return this.channelOf(viewer.channel)?.ring_max_ms ?? 10000;
  }

  #sortBy(sort) {
    this.sort = sort;
    this.choice.value = sort;
    this.order = [];
    this.table.sorted(sort, SORTS[sort].isDescending);
    this.refresh().catch(() => {});
  }

  #show({ viewers, total, time_ms: nowMs, stale_shards: stale }, search) {
    const there = new Set(viewers.map((viewer) => viewer.id));
    for (const id of this.closing) {
      if (!there.has(id)) this.closing.delete(id);
    }
    const rows = this.#held(viewers).map((viewer) => ({ viewer, nowMs, ringMs: this.#ringMs(viewer) }));
    this.table.show(rows, ({ viewer }) => viewer.id, (row) => {
      const level = behindLevel(row.viewer.behind_live_ms, row.ringMs);
      return level === "good" ? undefined : level;
    });
    const missing = stale.length ? `; shard ${stale.join(", ")} does not answer` : "";
    text(this.count, `${total > viewers.length ? `${count(viewers.length)} of ${count(total)}` : count(total)}${search ? " that fit" : ""}${missing}`);
    this.empty.hidden = viewers.length > 0;
    text(this.empty, search ? "No viewer fits the filter." : "Nobody watches.");
  }

  /** Rows stay where they are while a pointer or the focus is among them: what is aimed at must not move away. */
  #held(viewers) {
    const { body } = this.table;
    const isHeld = body.matches(":hover") || body.contains(document.activeElement);
    const places = new Map(this.order.map((id, place) => [id, place]));
    const shown = isHeld && places.size
      ? viewers.map((viewer, place) => ({ viewer, place: places.get(viewer.id) ?? places.size + place }))
        .sort((left, right) => left.place - right.place).map(({ viewer }) => viewer)
      : viewers;
    this.order = shown.map((viewer) => viewer.id);
    return shown;
  }

  #fillClose(cell, { viewer }) {
    cell.className = "actions";
    const { button } = parts(cell, () => {
      const made = element("button", "plain", "Close");
      made.type = "button";
      made.addEventListener("click", () => this.#close(cell.dataset.id));
      return { button: made };
    });
    attribute(cell, "data-id", viewer.id);
    attribute(button, "aria-label", `Close the viewer ${viewer.address} of ${viewer.channel_name}`);
    text(button, this.closing.has(viewer.id) ? "…" : "Close");
  }

  async #close(id) {
    if (this.closing.has(id)) return;
    this.closing.add(id);
    try {
      await this.close(id);
    } catch {
      this.closing.delete(id);
    }
    await this.refresh().catch(() => {});
  }
}

function fillAddress(cell, { viewer }) {
  const { address } = parts(cell, () => ({ address: element("span", "clip") }));
  text(address, viewer.account ? `${viewer.address} · ${viewer.account}` : viewer.address);
  attribute(address, "title", viewer.account ? `${viewer.address}, account ${viewer.account}` : viewer.address);
}

function fillPlayer(cell, { viewer }) {
  const { name } = parts(cell, () => ({ name: element("span", "clip") }));
  text(name, player(viewer.user_agent) || "–");
  attribute(name, "title", viewer.user_agent ?? undefined);
}

function fillChannel(cell, { viewer }) {
  const { name } = parts(cell, () => ({ name: element("span", "clip") }));
  text(name, viewer.channel_name);
  attribute(name, "title", `${viewer.channel_name} (${viewer.channel})`);
}

function fillRate(cell, { viewer }) {
  text(cell, rate(viewer.out_bits_per_second));
}

function fillBehind(cell, { viewer, ringMs }) {
  const { whole, figure } = parts(cell, () => ({ whole: bar(), figure: element("span") }));
  const level = behindLevel(viewer.behind_live_ms, ringMs);
  fillBar(whole, viewer.behind_live_ms / ringMs, level);
  text(figure, seconds(viewer.behind_live_ms / 1000));
  attribute(figure, "class", level === "good" ? undefined : level);
  attribute(cell, "title", `of ${seconds(ringMs / 1000)} that the ring holds`);
}

function fillSkips(cell, { viewer }) {
  text(cell, count(viewer.skips));
  attribute(cell, "class", viewer.skips ? "number warn" : "number");
}
