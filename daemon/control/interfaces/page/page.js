// The page: the daemon's protocol over a WebSocket (docs/control.md), and the controls that follow it.

const OFF_DB = -90, UNITY = 0.75; // of the mixer, and of its faders (daemon/control/mixer.py)
const LEAST_DB = -60; // the lower end of the meters
const LESS_VOICE_DB = -24, IS_LESS_DB = -12;
const METERS_S = 0.1, STATUS_MS = 2000, SILENT_MS = 3000, AGAIN_MS = 1000, LOCKED_MS = 5000;
const SEND_MS = 30; // between two messages of one fader
const HELD_MS = 300; // how long a fader that was just moved does not follow its own echo
const DEVICE_HELP = {
  off: "You connect players to stemd yourself.",
  output: "Choose “stemd (stems)” as the output in the sound settings.",
  all: "Everything that plays to the default output goes through stemd.",
};
const MISSED_MS = 5000; // how long what was pressed without a connection may wait for one

const id = (name) => document.getElementById(name);
const strips = new Map(); // by stem
let status = null, complaint = "";

// ---- the connection ----

let socket = null, waiting = new Map(), nextId = 1, heardAt = 0, retry = 0, missed = [];

function connect() {
  clearTimeout(retry);
  disconnect();
  const mine = socket = new WebSocket(`ws://${location.host}/control`);
  heardAt = Date.now();
  mine.onopen = () => begin().catch(show);
  mine.onmessage = ({ data }) => { heardAt = Date.now(); receive(JSON.parse(data)); };
  mine.onclose = () => {
    if (socket === mine) lost();
  };
}

function disconnect() {
  const old = socket, unanswered = waiting;
  socket = null;
  waiting = new Map();
  old?.close();
  for (const { reject } of unanswered.values()) reject({ code: "lost" });
}

function lost() {
  disconnect();
  if (!id("login").hidden || document.hidden) return;
  id("state").textContent = "no connection to stemd; trying again …";
  document.body.classList.add("lost");
  retry = setTimeout(connect, AGAIN_MS);
}

function ask(verb, keys = {}) {
  return new Promise((resolve, reject) => {
    if (socket?.readyState !== WebSocket.OPEN) return reject({ code: "lost" });
    waiting.set(nextId, { resolve, reject });
    socket.send(JSON.stringify({ do: verb, id: nextId++, ...keys }));
  });
}

function receive(message) {
  if (message.event) return events[message.event]?.(message);
  const { resolve, reject } = waiting.get(message.id) ?? {};
  waiting.delete(message.id);
  if (message.ok) resolve?.(message.result);
  else reject?.(message.error);
}

async function begin() {
  const password = localStorage.getItem("password");
  if (password) await ask("login", { password });
  await ask("subscribe", { meters: METERS_S });
  id("login").hidden = true;
  complain("");
  document.body.classList.remove("lost");
  makeUp();
  await refresh();
}

/** Send what was pressed while there was no connection, unless that is long ago. */
function makeUp() {
  const late = missed.filter(({ at }) => Date.now() - at < MISSED_MS);
  missed = [];
  for (const { verb, keys } of late) command(verb, keys);
}

function show(error) {
  if (error.code === "lost") return;
  if (error.code === "wait") { // the password may be right
    disconnect();
    id("state").textContent = "locked";
    document.body.classList.add("lost");
    complain(error.message);
    retry = setTimeout(connect, LOCKED_MS);
    return;
  }
  if (error.code === "login") {
    const wasTried = localStorage.getItem("password");
    localStorage.removeItem("password");
    id("login").hidden = false;
    id("mixer").hidden = true;
    id("state").textContent = "locked";
    complain(wasTried ? error.message : "");
    disconnect();
    id("password").focus();
    return;
  }
  complain(error.message);
}

function complain(text) {
  complaint = text;
  const shown = text || status?.trouble || "";
  id("trouble").textContent = shown;
  id("trouble").hidden = !shown;
}

function command(verb, keys) {
  const at = Date.now();
  return ask(verb, keys).then(() => complain(""), (error) => {
    if (error.code === "lost") missed.push({ verb, keys, at });
    else show(error);
  });
}

// ---- what the daemon says ----

const events = {
  mixer: ({ stem, gain, mute, solo }) => strips.get(stem)?.follow({ gain, mute, solo }),
  bypass: ({ on }) => press(id("bypass"), on),
  meters: ({ peaks }) => {
    for (const meter of document.querySelectorAll("[data-meter]")) {
      draw(meter, peaks[meter.dataset.meter]);
    }
  },
  device: follow,
  state: look, delay: look, client: look, recording: look,
  reload: ({ error }) => { complain(error); look(); },
};

function look() {
  refresh().catch(show);
}

async function refresh() {
  status = await ask("status");
  const delay = status.delay ? `, ${status.delay.seconds.toFixed(2)} s delay` : "";
  id("state").textContent = status.state + delay;
  complain(complaint);
  press(id("bypass"), status.bypass);
  follow(status.device);
  press(id("record"), status.recording.on);
  id("recording").textContent = recorded(status.recording);
  if (id("change").disabled) id("preset").value = status.preset;
  id("figures").textContent = figures(status);
  arrange(Object.keys(status.mixer));
  for (const [stem, strip] of Object.entries(status.mixer)) strips.get(stem).follow(strip);
  id("mixer").hidden = false;
}

/** Show the sound device. */
function follow({ mode, in_effect, trouble }) {
  for (const button of id("device").children) press(button, button.value === mode);
  const pending = mode === "off" ? "ending …" : "starting …";
  id("device-help").textContent = trouble ?? (in_effect === mode ? DEVICE_HELP[mode] : pending);
}

function recorded({ on, taking, folder, seconds, lost_frames, trouble }) {
  if (trouble) return trouble;
  if (on && !taking) return "waits for sound";
  if (!folder) return "";
  const lost = lost_frames ? `, ${lost_frames} frames lost` : "";
  return `${seconds.toFixed(0)} s in ${folder}${lost}`;
}

function figures({ networks, load, blocks, server }) {
  const parts = [networks ?? "networks not loaded"];
  if (load) {
    const busy = Object.values(load).reduce((sum, share) => sum + share, 0);
    parts.push(`${Math.round(100 * busy)} % of a core`, `${blocks.late} of ${blocks.total} blocks late`);
  }
  if (server) parts.push(`${server.name}, ${server.samplerate} Hz`);
  return parts.join(" · ");
}

function draw(meter, sides = [0]) {
  const peak = Math.max(...sides);
  const level = Math.max(LEAST_DB, peak > 0 ? 20 * Math.log10(peak) : LEAST_DB);
  meter.firstElementChild.style.setProperty("--share", Math.min(1, 1 - level / LEAST_DB));
  meter.classList.toggle("over", peak >= 1);
  meter.setAttribute("aria-valuenow", Math.min(0, Math.round(level)));
  meter.setAttribute("aria-valuetext", level > LEAST_DB ? inWords(level) : "silence");
}

// ---- the strips ----

const gainAt = (position) =>
  position > 0 ? Math.max(OFF_DB, 40 * Math.log10(position / UNITY)) : OFF_DB;
const positionOf = (gain) => gain <= OFF_DB ? 0 : Math.min(1, UNITY * 10 ** (gain / 40));
const inWords = (gain) =>
  gain <= OFF_DB ? "off" : `${gain > 0 ? "+" : ""}${gain.toFixed(1)} dB`.replace("-", "−");
const press = (button, on) => button.setAttribute("aria-pressed", String(on));
const isPressed = (button) => button.getAttribute("aria-pressed") === "true";

function arrange(stems) {
  if (stems.join() !== [...strips.keys()].join()) {
    strips.clear();
    for (const stem of stems) strips.set(stem, new Strip(stem));
    id("strips").replaceChildren(...[...strips.values()].map(({ element }) => element));
  }
  id("less-voice").hidden = !strips.has("vocals");
}

class Strip {
  constructor(stem) {
    this.stem = stem;
    this.element = id("strip").content.firstElementChild.cloneNode(true);
    const [name, output, meter, fader, mute, solo] = this.element.children;
    Object.assign(this, { output, fader, mute, solo, heldUntil: 0, timer: 0 });
    this.element.dataset.stem = stem;
    name.textContent = stem;
    this.element.setAttribute("aria-label", stem);
    meter.dataset.meter = stem;
    meter.setAttribute("aria-label", `${stem} level`);
    fader.setAttribute("aria-label", `${stem} gain`);
    mute.setAttribute("aria-label", `Mute ${stem}`);
    solo.setAttribute("aria-label", `Solo ${stem}`);
    fader.addEventListener("input", () => this.move(gainAt(fader.valueAsNumber)));
    fader.addEventListener("keydown", (key) => {
      if (key.key === "0") this.move(0);
    });
    fader.addEventListener("dblclick", () => this.move(0));
    for (const [button, key] of [[mute, "mute"], [solo, "solo"]]) {
      button.addEventListener("click", () => this.set({ [key]: !isPressed(button) }));
    }
  }

  /** Show what the daemon says, except where the fader is under a finger. */
  follow(strip) {
    this.strip = strip;
    press(this.mute, strip.mute);
    press(this.solo, strip.solo);
    if (Date.now() >= this.heldUntil) this.showGain(strip.gain);
    if (this.stem === "vocals") press(id("less-voice"), isLess(strip));
  }

  showGain(gain) {
    this.gain = gain;
    this.fader.value = positionOf(gain);
    this.output.textContent = inWords(gain);
    this.fader.setAttribute("aria-valuetext", inWords(gain));
  }

  /** Move the fader: send the newest gain, SEND_MS after the last one at the earliest. */
  move(gain) {
    this.heldUntil = Date.now() + HELD_MS;
    this.showGain(gain);
    if (this.timer) return;
    this.set({ gain: this.gain });
    const sent = this.gain;
    this.timer = setTimeout(() => {
      this.timer = 0;
      if (this.gain !== sent) this.move(this.gain);
      else setTimeout(() => this.settle(), HELD_MS);
    }, SEND_MS);
  }

  settle() {
    if (Date.now() >= this.heldUntil && this.strip) this.showGain(this.strip.gain);
  }

  set(change) {
    return command("set", { stem: this.stem, ...change });
  }
}

const isLess = ({ gain, mute }) => mute || gain <= IS_LESS_DB;

// ---- the other controls ----

let fullVoice = 0; // dB

id("less-voice").addEventListener("click", () => {
  const vocals = strips.get("vocals");
  if (isLess(vocals.strip)) return vocals.set({ gain: fullVoice, mute: false });
  fullVoice = vocals.strip.gain;
  return vocals.set({ gain: LESS_VOICE_DB });
});

id("bypass").addEventListener("click", () => command("bypass", { on: !isPressed(id("bypass")) }));

id("record").addEventListener("click", () => command("record", { on: !isPressed(id("record")) }));

for (const button of id("device").children) {
  button.addEventListener("click", () => command("device", { mode: button.value }));
}

id("preset").addEventListener("change", () => {
  id("change").disabled = id("preset").value === status.preset;
});

id("change").addEventListener("click", async () => {
  id("change").disabled = true;
  id("change").textContent = "changing …";
  await command("reload", { preset: id("preset").value });
  id("change").textContent = "Change";
  look();
});

id("login").addEventListener("submit", (event) => {
  event.preventDefault();
  localStorage.setItem("password", id("password").value);
  id("password").value = "";
  complain("");
  connect();
});

document.addEventListener("visibilitychange", () => document.hidden ? disconnect() : connect());

setInterval(() => {
  if (socket && Date.now() - heardAt > SILENT_MS) lost();
  else if (socket && !id("mixer").hidden) look();
}, STATUS_MS);

// The address that `stemd web` prints has the password after #, which no browser sends.
function takePassword() {
  if (location.hash.length <= 1) return;
  localStorage.setItem("password", decodeURIComponent(location.hash.slice(1)));
  history.replaceState(null, "", location.pathname);
}

addEventListener("hashchange", () => { takePassword(); connect(); });
takePassword();
connect();
