// Lists that grow at one end: events, newest first, and the tail of the log, newest last.
// Knows how a line looks. The rule: a list holds so many lines and no more, and text from outside stays text.

import { attribute, element } from "./table.js";
import { clock } from "./format.js";

/** The most lines that a list shows. */
const LINES_MOST = 300;

const EVENT_LEVELS = {
  channel_failed: "bad",
  channel_switched: "warn",
  drain: "warn",
  request_refused: "warn",
  upstream_lost: "bad",
};

/** Ends of viewers that somebody may want to know about; the others left by themselves. */
const TROUBLED_ENDS = ["fault", "flood", "peer_lost", "stalled", "too_slow", "upstream_lost"];

/** What happened, newest first. */
export class Events {
  constructor(section) {
    this.list = section.querySelector("ol");
    this.count = section.querySelector(".count");
    this.last = 0;
    this.failed = new Map();
    this.isWritten = true;
  }

  /** Adds what is new; `nameOf` answers what operators call a channel. */
  add(events, nameOf) {
    // What the server wrote into the page comes again.
    if (this.isWritten) this.list.replaceChildren();
    this.isWritten = false;
    for (const event of events) {
      if (event.id <= this.last) continue;
      this.last = event.id;
      if (event.kind === "channel_failed") this.failed.set(event.channel, event.time_ms);
      if (event.kind === "channel_live") this.failed.delete(event.channel);
      const line = element("li");
      const level = event.kind === "viewer_ended" && TROUBLED_ENDS.includes(event.reason) ? "warn" : EVENT_LEVELS[event.kind];
      attribute(line, "data-level", level);
      const time = element("time", "", clock(event.time_ms));
      time.dateTime = new Date(event.time_ms).toISOString();
      line.append(time, element("span", "what", named(event, nameOf)));
      this.list.prepend(line);
      if (this.list.childElementCount > LINES_MOST) this.list.lastElementChild.remove();
    }
    this.count.textContent = this.last ? "newest first" : "none yet";
  }

  /** Forgets everything: another process answers. */
  clear() {
    this.last = 0;
    this.failed.clear();
    this.list.replaceChildren();
  }
}

/** What happened, and to which channel where the text does not name it itself. */
function named(event, nameOf) {
  const name = event.channel === null ? "" : nameOf(event.channel);
  return name && !event.text.includes(name) ? `${name}: ${event.text}` : event.text;
}

const LEVELS = ["error", "warn", "info", "debug", "trace"];
const SHOWN = { error: "bad", warn: "warn" };

/** The log's last lines. */
export class Log {
  constructor(section) {
    this.section = section;
    this.list = section.querySelector("ol");
    this.choice = section.querySelector("select");
    this.last = 0;
    this.choice.addEventListener("change", () => this.#filter());
  }

  add({ lines, last_id: last }) {
    this.section.hidden = false;
    if (last < this.last) this.list.replaceChildren();
    this.last = last;
    const { list } = this;
    const isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
    for (const line of lines) list.append(this.#line(line.text));
    while (list.childElementCount > LINES_MOST) list.firstElementChild.remove();
    if (lines.length && isAtEnd) list.scrollTop = list.scrollHeight;
  }

  #line(said) {
    const { level, words } = split(said);
    const line = element("li");
    attribute(line, "data-level", SHOWN[level]);
    line.dataset.rank = Math.max(0, LEVELS.indexOf(level));
    line.append(element("span", "level", level), element("span", "what", words));
    line.hidden = Number(line.dataset.rank) > LEVELS.indexOf(this.choice.value);
    return line;
  }

  #filter() {
    const most = LEVELS.indexOf(this.choice.value);
    for (const line of this.list.children) line.hidden = Number(line.dataset.rank) > most;
    this.list.scrollTop = this.list.scrollHeight;
  }
}

/** A line of the log in either of its forms: how bad it is, and what it says. */
function split(said) {
  if (said.startsWith("{")) {
    try {
      const { time, level, message } = JSON.parse(said);
      return { level: level.toLowerCase(), words: `${clock(Date.parse(time))} ${message}` };
    } catch {
      // Not a whole object: shown as it is.
    }
  }
  const found = /^(ERROR|WARN|INFO|DEBUG|TRACE) (.*)$/s.exec(said);
  return found ? { level: found[1].toLowerCase(), words: found[2] } : { level: "info", words: said };
}
