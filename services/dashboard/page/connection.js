// Says whether what is on the screen is current: beside the name always, in words when it is not.

const link = document.getElementById("link");
const words = document.getElementById("link-text");
const notice = document.getElementById("notice");

const WORDS = { live: "live", lost: "connection lost", ended: "session ended", connecting: "connecting" };

export class Connection {
  #lostSince = null;
  #state = "connecting";

  state(name, since = null) {
    this.#state = name;
    link.dataset.state = name;
    if (words.textContent !== WORDS[name]) words.textContent = WORDS[name];
    document.body.dataset.stale = String(name === "lost" || name === "ended");
    this.#lostSince = name === "lost" ? since : null;
    if (name === "live") say("", "");
    else if (name === "ended") say("bad", "Your session has ended: what you see is not updated any more. Get a new link with `autopilot status`.");
    else if (name === "lost") say("bad", `Connection lost: what you see is of ${new Date(since).toLocaleTimeString()}. It is being restored; is the stack up? \`autopilot status\` tells.`);
    this.tick();
  }

  // Seconds count beside the name, where no one is read them aloud each time.
  tick() {
    if (this.#lostSince !== null) link.dataset.age = ` ${Math.round((Date.now() - this.#lostSince) / 1000)} s`;
    else delete link.dataset.age;
  }

  unread(why) {
    if (this.#state === "live") say("warn", `The server could not be asked: ${why}. It is tried again.`);
  }

  read() {
    if (this.#state === "live") say("", "");
  }
}

function say(tone, text) {
  notice.dataset.tone = tone;
  if (notice.textContent !== text) notice.textContent = text;
}
