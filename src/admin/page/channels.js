// The table of channels: the ones in trouble first, then those that are watched, then those that rest.

import { Series, drawSpark, spark } from "./lines.js";
import { Table, attribute, bar, element, fillBar, parts, text } from "./table.js";
import { channelLevel } from "./verdict.js";
import { clock, count, rate, seconds, span } from "./format.js";

/** The most rows that are shown at once; a filter finds the others. */
const ROWS_MOST = 200;

/** What has grown within this time is recent, in milliseconds. */
const RECENT_MS = 60000;

const ORDER = { bad: 0, warn: 1, good: 2, idle: 3 };

export class Channels {
  /** `orders` has what the buttons do: preview, copy and restart, each given a channel and the button. */
  constructor(section, orders) {
    this.count = section.querySelector(".count");
    this.empty = section.querySelector(".empty");
    this.filter = section.querySelector("input");
    section.querySelector(".tools").hidden = false;
    this.orders = orders;
    this.open = new Map();
    this.all = new Map();
    this.lines = new Map();
    this.errors = new Map();
    this.table = new Table(section, [
      { fill: fillState },
      { fill: fillName },
      { fill: fillSource },
      { fill: (cell, row) => this.#fillRate(cell, row) },
      { label: "CC errors", numeric: true, fill: fillErrors },
      { label: "Ring", fill: fillRing },
      { label: "Viewers", numeric: true, fill: (cell, { channel }) => text(cell, count(channel.viewers)) },
      { fill: fillLastError },
      { fill: (cell, row) => this.#fillActions(cell, row) },
    ]);
    this.filter.addEventListener("input", () => this.#draw());
  }

  /** Takes every channel there is; those that are open come with each snapshot. */
  know(channels) {
    this.all = new Map(channels.map((channel) => [channel.id, channel]));
    this.#draw();
  }

  /** Takes the open channels of a snapshot. */
  show(channels, nowMs) {
    this.nowMs = nowMs;
    this.open = new Map(channels.map((channel) => [channel.id, channel]));
    for (const channel of channels) {
      if (!this.lines.has(channel.id)) this.lines.set(channel.id, new Series());
      this.lines.get(channel.id).push(channel.in_bits_per_second ?? channel.media?.bits_per_second ?? 0);
      this.#count(channel);
    }
    for (const id of this.lines.keys()) {
      if (!this.open.has(id)) this.lines.delete(id);
    }
    this.#draw();
  }

  /** The open channel of an id. */
  channel(id) {
    return this.open.get(id) ?? this.all.get(id);
  }

  /** Channels whose continuity errors have grown over the last minute. */
  recent() {
    const grown = [...this.errors].filter(([, errors]) => this.nowMs - errors.grewMs < RECENT_MS);
    return new Set(grown.map(([id]) => id));
  }

  #count(channel) {
    const seen = this.errors.get(channel.id);
    const now = channel.continuity_errors ?? 0;
    if (!seen) this.errors.set(channel.id, { count: now, grewMs: -RECENT_MS });
    else if (now !== seen.count) this.errors.set(channel.id, { count: now, grewMs: now > seen.count ? this.nowMs : -RECENT_MS });
  }

  #draw() {
    if (this.nowMs === undefined) return;
    const recent = this.recent();
    const wanted = this.filter.value.trim().toLowerCase();
    const known = new Map(this.all);
    for (const [id, channel] of known) {
      // What was open when it was asked about may be idle by now.
      if (!this.open.has(id) && channel.state !== "idle") known.set(id, rested(channel));
      if (!this.open.has(id) && channel.is_dynamic) known.delete(id);
    }
    for (const [id, channel] of this.open) known.set(id, channel);
    const rows = [...known.values()].map((channel) => {
      const isRecent = recent.has(channel.id);
      return { channel, isRecent, level: channelLevel(channel, this.nowMs, isRecent), nowMs: this.nowMs };
    });
    const fits = ({ channel }) => !wanted
      || `${channel.name} ${channel.id} ${channel.group ?? ""} ${channel.state}`.toLowerCase().includes(wanted);
    const shown = rows.filter(fits)
      .map((row, place) => ({ row, place }))
      .sort((left, right) => ORDER[left.row.level] - ORDER[right.row.level] || left.place - right.place)
      .map(({ row }) => row);
    this.table.show(shown.slice(0, ROWS_MOST), ({ channel }) => channel.id, ({ level }) => (level === "good" ? undefined : level));
    const open = this.open.size;
    const cut = shown.length > ROWS_MOST ? `, ${ROWS_MOST} of ${count(shown.length)} shown` : "";
    text(this.count, `${count(open)} open, ${count(rows.length - open)} idle${cut}`);
    this.empty.hidden = shown.length > 0;
    text(this.empty, rows.length ? "No channel fits the filter." : "No channel is configured.");
  }

  #fillRate(cell, { channel }) {
    const { line, figure } = parts(cell, () => ({ line: spark(), figure: element("span", "number") }));
    const series = this.lines.get(channel.id);
    attribute(line, "hidden", series ? undefined : "");
    if (series) drawSpark(line, series);
    const bits = channel.media?.bits_per_second || channel.in_bits_per_second;
    text(figure, channel.state === "idle" ? "" : rate(bits || NaN));
    attribute(cell, "title", series ? "Received over the last five minutes; the figure is the media's own bit rate" : undefined);
  }

  #fillActions(cell, row) {
    cell.className = "actions";
    const { play, copy, restart } = parts(cell, () => {
      const made = {};
      for (const [name, label] of [["play", "Preview"], ["copy", "Copy URL"], ["restart", "Restart"]]) {
        const button = element("button", "", label);
        button.type = "button";
        button.addEventListener("click", () => this.orders[name](this.channel(cell.dataset.id) ?? row.channel, button));
        made[name] = button;
      }
      return made;
    });
    attribute(cell, "data-id", row.channel.id);
    attribute(play, "aria-label", `Preview ${row.channel.name}`);
    attribute(copy, "aria-label", `Copy URL of ${row.channel.name}`);
    attribute(restart, "aria-label", `Restart ${row.channel.name}`);
    const isIdle = row.channel.state === "idle";
    if (restart.disabled !== isIdle) restart.disabled = isIdle;
  }
}

function rested(channel) {
  return { ...channel, state: "idle", since_ms: null, viewers: 0, media: null, in_bits_per_second: 0, ring_ms: 0, ring_bytes: 0 };
}

function fillState(cell, { channel, level, nowMs }) {
  const { state, since } = parts(cell, () => ({ state: element("span", "state"), since: element("span", "second") }));
  text(state, channel.state);
  const isOpening = channel.state === "opening" && level === "good";
  attribute(state, "data-level", channel.state === "live" ? "good" : isOpening ? undefined : level);
  text(since, channel.since_ms === null ? "" : `for ${span((nowMs - channel.since_ms) / 1000)}`);
  attribute(since, "title", channel.since_ms === null ? undefined : `since ${clock(channel.since_ms)}`);
}

function fillName(cell, { channel }) {
  const { name, id } = parts(cell, () => ({ name: element("span", "name clip"), id: element("span", "second") }));
  text(name, channel.name);
  attribute(name, "title", channel.name);
  text(id, channel.is_dynamic ? "by content id" : [channel.id, channel.group].filter(Boolean).join(" · "));
}

function fillSource(cell, { channel }) {
  const { source, media } = parts(cell, () => ({ source: element("span", "clip"), media: element("span", "second") }));
  const place = channel.upstreams > 1 ? ` (${channel.upstream ?? "none"} of ${channel.upstreams})` : "";
  text(source, `${channel.source ?? ""}${place}`);
  attribute(source, "title", channel.source ?? undefined);
  const said = describe(channel.media);
  text(media, said);
  attribute(media, "title", said || undefined);
}

/** Codec, size, frames and sound, as far as they are known. */
export function describe(media) {
  if (!media) return "";
  const picture = [
    media.video,
    media.width && media.height ? `${media.width}×${media.height}` : "",
    media.frames_per_second ? `${Number(media.frames_per_second.toFixed(2))} fps` : "",
  ];
  return [picture.filter(Boolean).join(" "), media.audio.join(", ")].filter(Boolean).join(" · ");
}

function fillErrors(cell, { channel, isRecent }) {
  text(cell, channel.continuity_errors === null ? "–" : count(channel.continuity_errors));
  attribute(cell, "class", isRecent ? "number warn" : "number");
}

function fillRing(cell, { channel }) {
  const { whole, figure } = parts(cell, () => ({ whole: bar(), figure: element("span") }));
  whole.hidden = channel.state === "idle";
  fillBar(whole, channel.ring_ms / channel.ring_max_ms);
  text(figure, channel.state === "idle" ? "" : seconds(channel.ring_ms / 1000));
}

function fillLastError(cell, { channel, nowMs }) {
  const error = channel.last_error;
  if (!error) {
    if (cell.parts) {
      cell.parts = undefined;
      cell.replaceChildren();
    }
    return;
  }
  const { what, when } = parts(cell, () => ({ what: element("span", "clip"), when: element("span", "second") }));
  text(what, error.text);
  attribute(what, "title", error.text);
  attribute(what, "class", nowMs - error.time_ms < RECENT_MS ? "clip bad" : "clip");
  text(when, `${span((nowMs - error.time_ms) / 1000)} ago`);
}
