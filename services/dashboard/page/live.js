// The live connection: news as it is recorded, resumed where it broke off, and said aloud when it is gone.

// The server sends a heartbeat every 15 s; two missed ones mean that nobody is there.
const SILENCE_MS = 35_000;
const BACK_OFF_MS = [1_000, 2_000, 5_000, 10_000];

export class Live {
  constructor({ onNews, onState }) {
    this.onNews = onNews;
    this.onState = onState;
    this.last = null;
    this.heard = Date.now();
    this.lostSince = null;
    this.failures = 0;
    this.source = null;
    setInterval(() => this.#listenForSilence(), 5_000);
    // A hidden tab would hold one of the six connections that a browser has for all of its tabs.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#pause() : this.#resume()));
    window.addEventListener("online", () => this.open());
  }

  open() {
    clearTimeout(this.timer);
    this.source?.close();
    const since = this.last === null ? "" : `&since=${this.last}`;
    const source = (this.source = new EventSource(`/api/v1/stream?brief=1${since}`));
    source.onopen = () => this.#alive(true);
    source.addEventListener("heartbeat", () => this.#alive());
    source.addEventListener("news", (event) => {
      this.#alive();
      this.last = event.lastEventId;
      this.onNews(JSON.parse(event.data));
    });
    source.onerror = () => this.#lost(source);
  }

  #alive(opened = false) {
    this.heard = Date.now();
    this.failures = 0;
    const again = this.lostSince !== null;
    this.lostSince = null;
    if (opened || again) this.onState("live", { fresh: opened });
  }

  async #lost(source) {
    if (source !== this.source) return;
    this.lostSince ??= this.heard;
    this.onState("lost", { since: this.lostSince });
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    try {
      const answer = await fetch("/api/v1/mode", { cache: "no-store" });
      if (answer.status === 401) {
        this.onState("ended", {});
        return;
      }
    } catch {
      // The server is not there; it is asked again below.
    }
    if (source !== this.source) return;
    const wait = BACK_OFF_MS[Math.min(this.failures++, BACK_OFF_MS.length - 1)];
    this.timer = setTimeout(() => this.open(), wait);
  }

  #listenForSilence() {
    if (document.hidden || !this.source || this.source.readyState !== EventSource.OPEN) return;
    if (Date.now() - this.heard < SILENCE_MS) return;
    this.lostSince ??= this.heard;
    this.onState("lost", { since: this.lostSince });
    this.open();
  }

  #resume() {
    if (this.source) return;
    this.onState("connecting");
    this.open();
  }

  #pause() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}
