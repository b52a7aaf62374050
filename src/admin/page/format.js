// Figures, times and names as the page writes them. Knows no element: what is written where is elsewhere.
// The rule: one unit for one kind of figure, so that a column can be read from top to bottom.

/** Bits per second, in Mbit/s below a thousand of them and in Gbit/s from there. */
export function rate(bitsPerSecond) {
  if (!Number.isFinite(bitsPerSecond)) return "–";
  const mega = bitsPerSecond / 1e6;
  return mega >= 1000 ? `${(mega / 1000).toFixed(2)} Gbit/s` : `${mega.toFixed(mega >= 100 ? 0 : mega >= 10 ? 1 : 2)} Mbit/s`;
}

/** Bytes, in the largest unit that leaves a figure before the point. */
export function size(bytes) {
  if (!Number.isFinite(bytes)) return "–";
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

/** A span of time in its two largest units. */
export function span(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  const pairs = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  const [large, largeName, small, smallName] = pairs.find(([large]) => whole >= large);
  const rest = Math.floor((whole % large) / small);
  return `${Math.floor(whole / large)} ${largeName}${rest ? ` ${rest} ${smallName}` : ""}`;
}

/** Seconds with one digit behind the point. */
export function seconds(value) {
  return Number.isFinite(value) ? `${value.toFixed(1)} s` : "–";
}

/** Milliseconds, in seconds from one of them. */
export function millis(value) {
  if (!Number.isFinite(value)) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(1)} ms`;
}

const GROUPED = new Intl.NumberFormat("en");

/** A whole number, in groups of three digits. */
export function count(value) {
  if (!Number.isFinite(value)) return "–";
  return value < 1000 ? String(value) : GROUPED.format(value);
}

export function percent(part) {
  return Number.isFinite(part) ? `${(part * 100).toFixed(0)} %` : "–";
}

/** The time of day of a moment, on the clock of who looks. */
export function clock(epochMs) {
  return Number.isFinite(epochMs) ? new Date(epochMs).toLocaleTimeString("en-GB") : "–";
}

/** "1 viewer", "2 viewers". */
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

// The first that fits; browsers come last, and among them those that name others too come first.
const PLAYERS = [
  [/^corecast preview$/, "preview of this page"],
  [/^Lavf\/([\d.]+)/i, "ffmpeg"],
  [/VLC\/([\d.]+)/, "VLC"],
  [/Kodi\/([\d.]+)/i, "Kodi"],
  [/TiviMate\/([\d.]+)/i, "TiviMate"],
  [/IPTV ?Smarters[^/]*\/?([\d.]*)/i, "IPTV Smarters"],
  [/ExoPlayer[^/]*\/([\d.]+)/i, "ExoPlayer"],
  [/^mpv ([\d.]+)|mpv\/([\d.]+)/i, "mpv"],
  [/^curl\/([\d.]+)/i, "curl"],
  [/^Wget\/([\d.]+)/i, "Wget"],
  [/Jellyfin[^/]*\/([\d.]+)/i, "Jellyfin"],
  [/Emby[^/]*\/([\d.]+)/i, "Emby"],
  [/Plex[^/]*\/([\d.]+)/i, "Plex"],
  [/GStreamer[^/]*\/([\d.]+)/i, "GStreamer"],
  [/AppleCoreMedia\/([\d.]+)/, "Apple player"],
  [/Tizen ([\d.]+)/, "Samsung TV"],
  [/Web0S|webOS/i, "LG TV"],
  [/Edg\/(\d+)/, "Edge"],
  [/OPR\/(\d+)/, "Opera"],
  [/(?:Headless)?Chrome\/(\d+)/, "Chrome"],
  [/Firefox\/(\d+)/, "Firefox"],
  [/Version\/(\d+)[\d.]* .*Safari/, "Safari"],
];

/** The player's name and version out of its user agent; what nobody knows is shown as it is. */
export function player(userAgent) {
  if (!userAgent) return "";
  for (const [pattern, name] of PLAYERS) {
    const found = pattern.exec(userAgent);
    if (found) {
      const version = found.slice(1).find(Boolean);
      return version ? `${name} ${version}` : name;
    }
  }
  return userAgent.split(/[ (]/, 1)[0].replace("/", " ") || userAgent;
}
