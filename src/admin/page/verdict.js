// Is everything fine, and if not, what is it: one sentence out of everything that is known.
// Knows no element. The rule: nothing in the sentence counts on by itself, so that it is read out only when it changes.

import { clock, counted } from "./format.js";

/** Busier than this a shard has no room left for a burst. */
const BUSY_MOST = 0.9;

/** A channel that opens for so long needs a look, in milliseconds. */
const OPENING_MOST_MS = 5000;

/** Of what a ring holds, a viewer may be so far behind before it is told about. */
export const BEHIND_WARN = 0.5;
export const BEHIND_BAD = 0.8;

/** How a channel is, and why it needs a hand if it does. */
export function channelLevel(channel, nowMs, isRecent) {
  if (channel.state === "stalled") return "bad";
  if (channel.state === "opening") return nowMs - channel.since_ms > OPENING_MOST_MS ? "warn" : "good";
  if (channel.state === "idle") return "idle";
  return isRecent ? "warn" : "good";
}

/** How far behind a viewer is against what its channel's ring holds. */
export function behindLevel(behindMs, ringMs) {
  const part = behindMs / (ringMs || 10000);
  return part >= BEHIND_BAD ? "bad" : part >= BEHIND_WARN ? "warn" : "good";
}

/**
 * What needs a hand, worst first: { level, text, target } with the element that shows it.
 *
 * `recent` says what the last minute had: skips, channels with continuity errors, and the names of channels that failed, each with the time.
 */
export function troubles({ status, channels, far, recent }) {
  const found = [];
  const add = (level, text, target) => found.push({ level, text, target });
  if (status.state === "draining") add("warn", "draining: no new viewers are taken", "state");
  for (const channel of channels) {
    const level = channelLevel(channel, status.time_ms, recent.continuity.has(channel.id));
    if (channel.state === "stalled") add("bad", `${channel.name} stalled at ${clock(channel.since_ms)}`, "channels");
    else if (channel.state === "opening" && level === "warn") add("warn", `${channel.name} has been opening since ${clock(channel.since_ms)}`, "channels");
    else if (level === "warn") add("warn", `${channel.name} has continuity errors`, "channels");
  }
  for (const [name, at] of recent.failed) add("bad", `${name} failed at ${clock(at)}`, "events");
  for (const shard of status.shards) {
    if (shard.is_stale) add("bad", `shard ${shard.shard} does not answer`, "shards");
    else if (shard.busy_ratio >= BUSY_MOST) add("warn", `shard ${shard.shard} has no CPU time left`, "shards");
  }
  if (status.viewers >= status.viewers_max) add("bad", "there are as many viewers as there may be", "viewers-now");
  if (far > 0) add("warn", `${counted(far, "viewer")} far behind live`, "viewers");
  if (recent.skips) add("warn", "viewers skipped in the last minute", "viewers");
  if (status.log_dropped_lines > 0) add("warn", "log lines were lost", "log");
  const weight = { bad: 0, warn: 1 };
  return found.sort((left, right) => weight[left.level] - weight[right.level]);
}

/** The sentence, how bad it is, and where to look. */
export function verdict(known) {
  const found = troubles(known);
  if (found.length) {
    const [worst] = found;
    const more = found.length > 1 ? `, and ${counted(found.length - 1, "more thing")}` : "";
    const sentence = worst.text.charAt(0).toUpperCase() + worst.text.slice(1);
    return { level: worst.level, text: `${sentence}${more}`, target: worst.target };
  }
  const { status } = known;
  const live = status.channels_live;
  return { level: "good", text: live ? `All is well: ${counted(live, "channel")} live` : "All is well: nobody watches", target: "channels" };
}
