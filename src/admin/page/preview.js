// A channel that plays on the page: fetched from the operator's listener, decoded by the browser.
// Knows one video at a time. mpegts.js is there only if it was built in; without it the panel says what to do.

import { element, text } from "./table.js";

/** How mpegts.js plays: no workers, which the page's policy refuses, and close behind live. */
const CONFIG = {
  enableWorker: false,
  enableStashBuffer: false,
  lazyLoad: false,
  liveBufferLatencyChasing: true,
  liveBufferLatencyMaxLatency: 4,
  liveBufferLatencyMinRemain: 0.8,
  autoCleanupSourceBuffer: true,
  autoCleanupMaxBackwardDuration: 20,
  autoCleanupMinBackwardDuration: 10,
};

/** How often a stream that broke off is asked for again, in milliseconds. */
const AGAIN_MS = 2000;

/** The panel in which a channel plays. */
export class Preview {
  constructor(panel, headersOf) {
    this.panel = panel;
    this.headersOf = headersOf;
    this.title = panel.querySelector("h2");
    this.video = panel.querySelector("video");
    this.says = panel.querySelector("#preview-says");
    this.facts = panel.querySelector("#preview-facts");
    this.channel = null;
    this.player = null;
    this.timers = [];
    panel.querySelector("#preview-close").addEventListener("click", () => this.close());
    panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
  }

  /** Plays a channel; `opener` gets the focus back. */
  async open(channel, opener) {
    this.#stop();
    this.channel = channel;
    this.opener = opener;
    this.panel.hidden = false;
    text(this.title, `Preview: ${channel.name}`);
    text(this.facts, "");
    this.#say("Opening …");
    this.title.focus({ preventScroll: true });
    const player = await library();
    if (this.channel !== channel) return;
    if (!player) {
      this.#say("No player is built in. Run ", element("code", "", "scripts/player.sh"), ", build corecast again, and reload this page. ",
        "Any player that takes a URL plays the channel meanwhile.");
      return;
    }
    if (!player.isSupported()) {
      this.#say("This browser has no Media Source Extensions, without which it cannot play MPEG-TS.");
      return;
    }
    this.#play(player);
  }

  close() {
    this.#stop();
    this.channel = null;
    this.panel.hidden = true;
    if (this.opener?.isConnected) this.opener.focus({ preventScroll: true });
  }

  #play(library) {
    this.library = library;
    const url = new URL(`preview/${encodeURIComponent(this.channel.id)}.ts`, document.baseURI).href;
    const player = library.createPlayer({ type: "mpegts", isLive: true, url }, { ...CONFIG, headers: this.headersOf() });
    this.player = player;
    this.video.hidden = false;
    player.attachMediaElement(this.video);
    player.on(library.Events.ERROR, (kind, detail, info) => this.#broke(kind, detail, info));
    player.on(library.Events.LOADING_COMPLETE, () => this.#broke("end"));
    player.on(library.Events.MEDIA_INFO, (media) => { this.media = media; });
    player.load();
    // Who leaves before it plays has it interrupted, which is no fault.
    player.play()?.catch?.(() => {});
    this.timers.push(setInterval(() => this.#tell(), 500));
  }

  #broke(kind, detail, info) {
    const status = info?.code > 0 ? ` (${info.code})` : "";
    const codecs = detail?.includes?.("Codec") || kind === "MediaError";
    const why = codecs ? "This browser does not decode this channel's codec."
      : kind === "end" ? "The channel ended." : `No media${status}.`;
    const channel = this.channel;
    this.#stop();
    this.#say(`${why} Trying again …`);
    this.timers.push(setTimeout(() => {
      if (this.channel === channel && channel) this.#play(this.library);
    }, AGAIN_MS));
  }

  #tell() {
    const { video } = this;
    if (video.readyState < 2) return;
    this.#say();
    const ahead = video.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0;
    const quality = video.getVideoPlaybackQuality();
    const values = [
      [`${video.videoWidth}×${video.videoHeight}`, this.channel.media?.video ?? ""],
      [`${Math.max(0, ahead).toFixed(1)} s`, "buffered"],
      [String(quality.droppedVideoFrames), `of ${quality.totalVideoFrames} frames dropped`],
    ];
    const shown = values.map(([value, what]) => `${value} ${what}`).join(" · ");
    if (this.facts.dataset.shown === shown) return;
    this.facts.dataset.shown = shown;
    this.facts.replaceChildren(...values.map(([value, what]) => {
      const fact = element("span");
      fact.append(element("b", "", value), ` ${what}`);
      return fact;
    }));
  }

  #say(...words) {
    this.says.hidden = words.length === 0;
    if (this.says.textContent !== words.map((word) => word.textContent ?? word).join("")) this.says.replaceChildren(...words);
  }

  #stop() {
    this.timers.forEach((timer) => { clearInterval(timer); clearTimeout(timer); });
    this.timers = [];
    const { player } = this;
    this.player = null;
    player?.destroy();
    this.video.hidden = true;
    delete this.facts.dataset.shown;
    text(this.facts, "");
  }
}

let loading;

/** The player's library, fetched when it is first wanted; null where none is built in. */
function library() {
  loading ??= new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = new URL("page/mpegts.js", document.baseURI).href;
    script.addEventListener("load", () => resolve(window.mpegts ?? null));
    script.addEventListener("error", () => resolve(null));
    document.head.append(script);
  }).then((found) => {
    if (found) found.LoggingControl.enableAll = false;
    else loading = undefined;
    return found;
  });
  return loading;
}
