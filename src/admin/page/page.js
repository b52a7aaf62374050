// The page comes to life: snapshots once a second, each shown in every part of the page.
// What a part shows is in its own module. Without this script the page is what the server wrote into it.

import { Api, Refused } from "./api.js";
import { Channels } from "./channels.js";
import { Events, Log } from "./lists.js";
import { Preview } from "./preview.js";
import { Shards } from "./shards.js";
import { Viewers } from "./viewers.js";
import { SECONDS, drawHistory } from "./lines.js";
import { attribute, text } from "./table.js";
import { clock, count, counted, rate, size, span } from "./format.js";
import { verdict } from "./verdict.js";

const LOG_EVERY_MS = 2000;
const CHANNELS_EVERY_MS = 30000;
const CHANNELS_AFTER_MS = 2000;
/** How long the page waits before it connects again: at first, and at most. */
const AGAIN_MS = 500;
const AGAIN_MOST_MS = 8000;
const RECENT_MS = 60000;

const part = (id) => document.getElementById(id);

const api = new Api(askToken);
const channels = new Channels(part("channels"), { play: (channel, button) => preview.open(channel, button), copy, restart });
const viewers = new Viewers(part("viewers"), api, (id) => channels.channel(id), close);
const shards = new Shards(part("shards"));
const events = new Events(part("events"));
const log = new Log(part("log"));
const preview = new Preview(part("preview"), () => api.headers());
const past = [];
const skips = { count: undefined, grewMs: -RECENT_MS };
let status;
let box;
let soon;
let beat = 0;

function showSnapshot(snapshot) {
  const isAnother = status && status.started_ms !== snapshot.status.started_ms;
  ({ status } = snapshot);
  if (isAnother) {
    events.clear();
    askChannels();
  }
  if (skips.count !== undefined && status.skips > skips.count) skips.grewMs = status.time_ms;
  skips.count = status.skips;
  channels.show(snapshot.channels, status.time_ms);
  shards.show(status.shards);
  // Nobody looks at the list of a page that lies behind others.
  if (!document.hidden) viewers.refresh().catch(() => {});
  const failed = [...events.failed].filter(([, at]) => status.time_ms - at < RECENT_MS).map(([id, at]) => [nameOf(id), at]);
  const recent = { continuity: channels.recent(), skips: status.time_ms - skips.grewMs < RECENT_MS, failed };
  const said = verdict({ status, channels: snapshot.channels, far: viewers.far, recent });
  showVerdict(said);
  showTotals(said.level);
  beat += 1;
  attribute(part("pulse"), "data-live", "yes");
  attribute(part("pulse"), "data-beat", beat % 2 ? "odd" : "even");
  text(part("pulse"), `live, ${clock(status.time_ms)}`);
}

function nameOf(id) {
  return channels.channel(id)?.name ?? id;
}

function showVerdict({ level, text: says, target }) {
  const line = part("verdict");
  attribute(line, "data-level", level);
  if (level === "good") {
    text(line, says);
  } else if (line.textContent !== says || !line.querySelector("a")) {
    const link = document.createElement("a");
    link.href = `#${target}`;
    link.className = level;
    link.textContent = says;
    line.replaceChildren(link);
  }
  const title = level === "good" ? "corecast" : `${says} – corecast`;
  if (document.title !== title) document.title = title;
}

function showTotals(level) {
  text(part("version"), status.version);
  text(part("viewers-now"), count(status.viewers));
  text(part("viewers-max"), `of ${count(status.viewers_max)}${status.viewers_waiting ? `, ${count(status.viewers_waiting)} waiting` : ""}`);
  text(part("out"), rate(status.out_bits_per_second));
  text(part("out-total"), `${size(status.sent_bytes)} in all`);
  text(part("in"), rate(status.in_bits_per_second));
  text(part("in-total"), `${size(status.received_bytes)} in all`);
  text(part("ratio"), status.fan_out_ratio === null ? "–" : `× ${status.fan_out_ratio.toFixed(status.fan_out_ratio < 10 ? 1 : 0)}`);
  text(part("state"), status.state);
  text(part("uptime"), `up ${span(status.uptime_ms / 1000)}`);
  past.push({ out: status.out_bits_per_second, level });
  if (past.length > SECONDS) past.shift();
  drawPast();
}

function drawPast() {
  part("history").hidden = false;
  if (box) drawHistory(part("history").querySelector("canvas"), box, past);
  const troubled = past.filter((second) => second.level !== "good").length;
  const most = Math.max(...past.map((second) => second.out));
  text(part("history-says"), `most ${rate(most)}${troubled ? `, trouble for ${span(troubled)}` : ""}`);
}

/** Keeps a live connection for as long as the page is there. */
async function follow() {
  let wait = AGAIN_MS;
  for (;;) {
    const leaving = new AbortController();
    try {
      await api.live(events.last, leaving.signal, (kind, told) => {
        if (kind === "snapshot") {
          wait = AGAIN_MS;
          showSnapshot(told);
        } else if (kind === "events") {
          events.add(told, nameOf);
          if (told.some((event) => event.kind === "channel_closed")) askChannelsSoon();
        }
      });
      lost("the server ended the connection");
    } catch (error) {
      // Too many pages, or a front that holds the stream back: what is asked for may come all the same.
      if (error instanceof Refused && [0, 503].includes(error.status) && (await poll())) continue;
      lost(error.message);
    }
    await pause(wait);
    wait = Math.min(wait * 2, AGAIN_MOST_MS);
  }
}

/** Asks where no live connection is to be had; says whether it was answered. */
async function poll() {
  try {
    const [answer, open, news] = await Promise.all([api.ask("status"), api.ask("channels", { limit: 1000 }), api.ask("events", { after: events.last })]);
    events.add(news.events, nameOf);
    showSnapshot({ status: answer, channels: open.channels.filter((channel) => channel.state !== "idle") });
    await pause(2000);
    return true;
  } catch {
    return false;
  }
}

function lost(why) {
  attribute(part("pulse"), "data-live", "no");
  text(part("pulse"), status ? `no news since ${clock(status.time_ms)}` : "no connection");
  showVerdict({ level: "bad", text: `No connection: ${why}`, target: "state" });
}

async function askChannels() {
  try {
    let all = [];
    let after;
    do {
      const page = await api.ask("channels", { limit: 1000, after });
      all = all.concat(page.channels);
      after = page.next ?? undefined;
    } while (after !== undefined);
    channels.know(all);
  } catch {
    // The next round asks again; that nothing answers is told by the live connection.
  }
}

/** What is told of a channel that is not fetched any more comes with the list of all, and not with a snapshot. */
function askChannelsSoon() {
  soon ??= setTimeout(() => {
    soon = undefined;
    askChannels();
  }, CHANNELS_AFTER_MS);
}

async function askLog() {
  if (document.hidden) return;
  try {
    log.add(await api.ask("log", { after: log.last, limit: log.last ? 500 : 200 }));
  } catch {
    // As above.
  }
}

async function close(id) {
  try {
    await api.order("DELETE", `viewers/${encodeURIComponent(id)}`);
    toast("The viewer is being closed.");
  } catch (error) {
    toast(`Not closed: ${error.message}`);
    throw error;
  }
}

async function restart(channel) {
  const text = `Its fetch ends and begins anew with the first upstream. ${counted(channel.viewers, "viewer")} will see a cut.`;
  if (!(await sure(`Restart ${channel.name}?`, text, "Restart"))) return;
  try {
    await api.order("POST", `channels/${encodeURIComponent(channel.id)}/restart`);
    toast(`${channel.name} is fetched anew.`);
  } catch (error) {
    toast(`Not restarted: ${error.message}`);
  }
}

async function copy(channel) {
  const url = address(channel);
  try {
    await navigator.clipboard.writeText(url);
    toast(`Copied: ${url}`);
  } catch {
    // A page that is not served over TLS may not write to the clipboard: then it is shown, to be copied by hand.
    window.prompt(`URL of ${channel.name}`, url);
  }
}

/** Where a channel is watched, as far as this page can know. */
function address(channel) {
  const listen = status?.listen.find((it) => !it.startsWith("unix:")) ?? "";
  const port = listen.slice(listen.lastIndexOf(":"));
  const base = status?.public_url ?? `http://${location.hostname}${port}`;
  const [user, password] = status?.is_open ? ["any", "any"] : ["USER", "PASSWORD"];
  if (!channel.is_dynamic) return `${base}/live/${user}/${password}/${channel.id}.ts`;
  const login = status?.is_open ? "" : `&user=${user}&password=${password}`;
  return `${base}/ace/getstream?${channel.id.replace(":", "=")}${login}`;
}

let toasting;

function toast(says) {
  text(part("toast"), says);
  part("toast").hidden = false;
  clearTimeout(toasting);
  toasting = setTimeout(() => { part("toast").hidden = true; }, 4000);
}

function sure(title, says, yes) {
  text(part("sure-title"), title);
  text(part("sure-text"), says);
  text(part("sure-yes"), yes);
  return answered(part("sure")).then((value) => value === "yes");
}

async function askToken(wasWrong) {
  const says = part("token-says");
  says.hidden = !wasWrong;
  text(says, "That token is wrong.");
  for (;;) {
    await answered(part("token"));
    const token = part("token-value").value.trim();
    part("token-value").value = "";
    if (token) return token;
  }
}

function answered(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// Told of the size, nothing has to ask for it in the middle of a change.
new ResizeObserver(([{ contentRect }]) => {
  box = contentRect;
  if (past.length) drawPast();
}).observe(part("history").querySelector("canvas"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => past.length && drawPast());
// Events name channels, so these are asked for first.
askChannels().then(follow);
askLog();
setInterval(askChannels, CHANNELS_EVERY_MS);
setInterval(askLog, LOG_EVERY_MS);
