// The operator's API as the page uses it: questions, orders, and the stream of snapshots.
// Knows addresses, the token and how a connection ends; what answers mean is told elsewhere. Every address is relative,
// so that the page works below any path of a front.

const TOKEN = "corecast.token";

/** An answer that is a refusal, with its status; 0 where nothing answered. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** How long a question may take, in milliseconds. */
const PATIENCE_MS = 5000;

/** A live connection that says nothing for so long is dead, in milliseconds. */
const SILENCE_MS = 5000;

export class Api {
  /** `askToken(wasWrong)` answers a token, once the operator has given one. */
  constructor(askToken) {
    this.askToken = askToken;
    this.token = sessionStorage.getItem(TOKEN);
  }

  /** The headers that every request carries. */
  headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  /** Answers the JSON at a path; `parameters` without a value are left out. */
  async ask(path, parameters = {}) {
    const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== ""));
    const response = await this.#send(`${path}${query.size ? `?${query}` : ""}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
    return response.json();
  }

  /** Gives an order. */
  async order(method, path) {
    await this.#send(path, { method, signal: AbortSignal.timeout(PATIENCE_MS) });
  }

  /**
   * Hands on what the live stream tells, `told(kind, data)`, until it ends; throws if it ends otherwise than by
   * `signal` or the server's end.
   */
  async live(after, signal, told) {
    const silence = new AbortController();
    let watch;
    const heard = () => {
      clearTimeout(watch);
      watch = setTimeout(() => silence.abort(new Refused(0, "the live connection fell silent")), SILENCE_MS);
    };
    heard();
    try {
      const response = await this.#send(`live${after ? `?after=${after}` : ""}`, { signal: AbortSignal.any([signal, silence.signal]) });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let left = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        heard();
        const blocks = (left + value).split("\n\n");
        left = blocks.pop();
        for (const block of blocks) tell(block, told);
      }
    } finally {
      clearTimeout(watch);
    }
  }

  async #send(path, options) {
    for (;;) {
      const used = this.token;
      let response;
      try {
        response = await fetch(`api/v1/${path}`, { ...options, headers: this.headers(), cache: "no-store" });
      } catch (error) {
        throw error instanceof Refused ? error : new Refused(0, "no answer from the server");
      }
      if (response.ok) return response;
      const said = await response.text();
      if (response.status !== 401) throw new Refused(response.status, reason(said) || `status ${response.status}`);
      // Another request may have asked for the token meanwhile.
      if (this.token === used) await this.#renew(used !== null);
    }
  }

  async #renew(wasWrong) {
    this.renewing ??= this.askToken(wasWrong).then((token) => {
      this.token = token;
      sessionStorage.setItem(TOKEN, token);
      this.renewing = null;
    });
    await this.renewing;
  }
}

/** One block of an event stream, as the standard has it: fields by line, data joined. */
function tell(block, told) {
  let kind = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) kind = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5));
  }
  if (data.length) told(kind, JSON.parse(data.join("\n")));
}

function reason(said) {
  try {
    return JSON.parse(said).error;
  } catch {
    return said.split("\n", 1)[0].slice(0, 200);
  }
}
