// One WhatsApp number as a card: three steps, the QR as long as it changes, connected. The states come from the browser client.
import { post } from "/_page/controls.js";
import { Qr } from "/_page/qr.js";
import { text } from "/_page/texts.js";
import { WppError } from "/_page/wpp-client.js";

const SLOW = 60_000; // milliseconds without a QR after which another click is offered
const STEP = { idle: 1, working: 1, qr_pending: 2, qr_issued: 2, connected: 3, disconnected: 1, failed: 1, unknown: 0, checking: 0 };

export class NumberCard {
  // `id` is null until the number is created; `add` says that this is a further one.
  constructor(wpp, { id = null, add = false, name }, events) {
    Object.assign(this, { wpp, id, add, events, session: null, state: "idle", ending: new AbortController() });
    this.element = document.createElement("article");
    this.element.innerHTML = `
      <div class="bar"><h3></h3><span class="pill"></span></div>
      <ol class="steps"><li></li><li></li><li></li></ol>
      <div class="stage"><div class="mark" aria-hidden="true"></div></div>
      <div class="told"><p class="status" role="status"></p><p class="error" role="alert"></p></div>
      <p class="row"><button class="main connect"></button><button class="main simulate scan"></button>
        <button class="disconnect"></button><button class="simulate unlink"></button><button class="plain give-up"></button></p>`;
    this.find("h3").textContent = name;
    this.element.querySelectorAll("li").forEach((step, index) => (step.textContent = text(`step${index + 1}`)));
    this.qr = new Qr(this.find(".stage"));
    const buttons = { connect: () => this.connect(), scan: () => this.simulate("scan"), unlink: () => this.simulate("disconnect"), disconnect: () => this.disconnect(), "give-up": () => this.giveUp() };
    for (const [button, act] of Object.entries(buttons)) {
      this.find(`.${button}`).textContent = text(button);
      this.find(`.${button}`).addEventListener("click", act);
    }
    this.paint("idle");
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  end() {
    this.ending.abort();
    this.ending = new AbortController();
    return this.ending.signal;
  }

  async connect() {
    const signal = this.end();
    this.paint("working");
    this.pendingSince = Date.now();
    await this.during(signal, async () => {
      const first = await (this.add && !this.id ? this.wpp.addNumber({ signal }) : this.wpp.connect(this.id ?? undefined, { signal }));
      this.show(first);
      await this.watch(signal);
    });
  }

  // Looks start nothing: another tab may have disconnected the number.
  async look() {
    const signal = this.end();
    if (this.state === "idle") this.paint("checking");
    await this.during(signal, () => this.watch(signal));
  }

  async watch(signal) {
    for await (const found of this.wpp.watch(this.id ?? undefined, { signal, keepWatching: true })) this.show(found);
  }

  async during(signal, act) {
    try {
      await act();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof WppError)) throw error;
      if (error.status === 401) return this.events.signedOut();
      this.paint("failed", { error });
    }
  }

  show(found) {
    // What was known before is not shown beside an error: it may have changed.
    if (found.status === "retrying") return this.paint("unknown", { error: found.error });
    this.id = found.integrationId ?? this.id;
    this.session = found.session ?? this.session;
    if (found.status !== "qr_pending") this.pendingSince = Date.now();
    const isNew = found.status === "disconnected" && !found.integrationId;
    this.paint(isNew ? "idle" : found.status, { qrcode: found.qrcode, warnings: found.warnings });
    this.events.changed();
  }

  paint(state, { qrcode = null, error = null, warnings = [] } = {}) {
    this.focused ||= this.element.contains(document.activeElement);
    this.state = this.element.dataset.state = state;
    const slow = state === "qr_pending" && Date.now() - this.pendingSince > SLOW;
    this.find(".pill").textContent = text(`pill_${state}`);
    write(this.find(".status"), [slow ? text("slow") : text(`say_${state}`), ...warnings].join(" "));
    if (state === "connected") write(this.find(".status"), `${text("say_connected")} ${this.session}`);
    write(this.find(".error"), error ? told(error) : "");
    this.element.querySelectorAll("li").forEach((step, index) => {
      step.toggleAttribute("aria-current", index + 1 === STEP[state] && state !== "connected");
      step.classList.toggle("done", index + 1 < STEP[state] || state === "connected");
    });
    this.qr.show(state === "qr_issued" ? qrcode : null);
    const again = state === "failed" || slow;
    this.find(".connect").textContent = text(again ? "again" : "connect");
    this.find(".connect").disabled = state === "working";
    const shown = { connect: again || ["idle", "working", "disconnected"].includes(state), scan: state === "qr_issued", disconnect: state === "connected", unlink: state === "connected", "give-up": this.add && ["qr_pending", "qr_issued", "failed"].includes(state) };
    for (const [button, isShown] of Object.entries(shown)) this.find(`.${button}`).hidden = !isShown;
    this.keepFocus();
  }

  // Whoever works with the keyboard stays in this card when the button that they pressed goes away.
  keepFocus() {
    const lost = document.activeElement === document.body || document.activeElement?.hidden;
    if (this.focused && lost) this.find(".row button:not([hidden], :disabled)")?.focus();
    this.focused = this.element.contains(document.activeElement) || (this.focused && lost);
  }

  async simulate(what) {
    if (await post(what, { session: this.session })) await this.look();
  }

  async disconnect() {
    const signal = this.end();
    await this.during(signal, async () => {
      this.show(await this.wpp.disconnect(this.id, { signal }));
      await this.watch(signal);
    });
  }

  async giveUp() {
    const signal = this.end();
    await this.during(signal, async () => {
      if (this.id) await this.wpp.disconnect(this.id, { signal });
      this.wpp.giveUp();
      this.events.gone(this);
    });
  }
}

const told = (error) => {
  const known = text(error.code ?? "unreachable");
  return `${known === error.code ? text("other") : known} (${error.message})`;
};

// Only where it changes, as a screen reader reads it out each time.
function write(element, shown) {
  if (element.textContent !== shown) element.textContent = shown;
}
