// One WhatsApp number of the organization: connect, the QR as long as it changes, connected.
import { post } from "/_page/controls.js";
import { text } from "/_page/texts.js";

const POLL = 2000; // milliseconds between two looks while a QR is shown, and a state may change
const WATCH = 10000; // milliseconds between two looks at a connected number: a phone can be unlinked

export class ConnectedNumber {
  constructor(supabase, key, events) {
    this.supabase = supabase;
    this.key = key;
    this.events = events;
    this.session = null;
    this.id = null; // of its row, once it is known
    this.shownQr = null;
    this.round = 0; // what belongs to an earlier one is not shown any more
    this.element = document.createElement("article");
    this.element.innerHTML = `
      <h3></h3>
      <p class="status" role="status"></p>
      <p class="error" role="alert" hidden></p>
      <figure hidden><img width="264" height="264"></figure>
      <p class="row"><button class="main connect"></button><button class="play" hidden></button><button class="disconnect" hidden></button></p>`;
    this.find("h3").textContent = text(key ? "further" : "primary");
    this.find("img").alt = text("qrAlt");
    this.find(".connect").textContent = text("connect");
    this.find(".play").textContent = text("play");
    this.find(".disconnect").textContent = text("disconnect");
    this.find(".connect").addEventListener("click", () => this.connect());
    this.find(".play").addEventListener("click", () => this.control("scan"));
    this.find(".disconnect").addEventListener("click", () => this.disconnect());
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  end() {
    this.round += 1;
    clearTimeout(this.timer);
  }

  // A click. The primary number waits for its QR in one call; a further one is begun under its key, so that it is begun once.
  async connect() {
    this.end();
    const round = this.round;
    this.say("working");
    this.focused = this.element.contains(document.activeElement);
    this.find(".connect").disabled = true;
    const number = this.id ? { integration_id: this.id } : {};
    const first = this.id || !this.key
      ? await this.invoke("wpp-provision", number)
      : await this.invoke("wpp-create", { add_new: true }, { "Idempotency-Key": this.key });
    if (round === this.round) this.show(first);
  }

  // A look starts nothing: another tab may have disconnected the number.
  async look() {
    const round = this.round;
    const answer = await this.invoke("wpp-status", { integration_id: this.id });
    if (round === this.round) this.show(answer, { looking: true });
  }

  async invoke(name, body, headers = {}) {
    const { data, error } = await this.supabase.functions.invoke(name, { body, headers });
    if (!error) return data;
    const told = await error.context?.json?.().catch(() => null);
    return { failed: true, status: error.context?.status, code: told?.code, error: told?.error ?? error.message };
  }

  show(answer, { looking } = {}) {
    this.find(".connect").disabled = false;
    if (answer.failed) return this.fail(answer, looking);
    this.find(".error").hidden = true;
    if (answer.status === "disconnected") return this.showDisconnected();
    this.session = answer.session ?? answer.account_number;
    this.id = answer.integration_id;
    const connected = answer.status === "connected";
    this.say(connected ? "connected" : answer.qrcode ? "scan" : "waiting", connected ? `${text("session")} ${this.session}` : "");
    this.element.classList.toggle("connected", connected);
    this.find(".connect").hidden = true;
    this.find(".disconnect").hidden = !connected;
    this.find(".play").hidden = !answer.qrcode;
    this.draw(answer.qrcode ?? null);
    this.keepFocus(connected ? ".disconnect" : ".play");
    if (connected) this.events.connected();
    this.again(connected ? WATCH : POLL);
  }

  again(milliseconds) {
    this.timer = setTimeout(() => this.look(), milliseconds);
  }

  // Whoever works with the keyboard stays in this card when the button that they pressed goes away.
  keepFocus(selector) {
    const lost = document.activeElement === document.body || document.activeElement?.hidden;
    if (!this.focused || !lost || this.find(selector).hidden) return;
    this.find(selector).focus();
  }

  fail(answer, looking) {
    if (answer.status === 401) return this.events.signedOut();
    const shown = this.find(".error");
    const known = text(answer.code);
    shown.textContent = `${known === answer.code ? text("other") : known} (${answer.error})`;
    shown.hidden = false;
    // It is the look that failed: what was known a moment ago stands, and is looked at again.
    if (looking) return this.again(this.element.classList.contains("connected") ? WATCH : POLL);
    this.say("disconnected");
    this.draw(null);
    const button = this.find(".connect");
    button.textContent = text("again");
    button.hidden = false;
    this.find(".play").hidden = true;
    this.keepFocus(".connect");
  }

  // The value is pairing text to draw, or a picture already.
  async draw(qr) {
    if (qr === this.shownQr) return;
    this.shownQr = qr;
    if (qr === null) {
      this.find("figure").hidden = true;
      return;
    }
    const source = String(qr).startsWith("data:image/") ? qr : await drawn(String(qr));
    if (qr !== this.shownQr) return; // another one came, or none any more
    if (source === null) this.shownQr = null; // tried again with the next look
    URL.revokeObjectURL(this.find("img").src);
    this.find("img").src = source ?? "";
    this.find("figure").hidden = source === null;
  }

  // Written only where it changes, as a screen reader reads it out each time.
  say(key, more = "") {
    const shown = `${text(key)}${more && ` · ${more}`}`, status = this.find(".status");
    if (status.textContent !== shown) status.textContent = shown;
    this.element.dataset.state = key;
  }

  async control(name) {
    this.focused = true;
    if (!(await post(name, { session: this.session }))) return;
    this.end();
    await this.look();
  }

  async disconnect() {
    this.end();
    const answer = await this.invoke("wpp-disconnect", { integration_id: this.id });
    if (answer.failed) return this.fail(answer, true);
    this.focused = true;
    this.showDisconnected();
  }

  showDisconnected() {
    this.end();
    this.element.classList.remove("connected");
    this.say("disconnected");
    this.draw(null);
    this.find(".disconnect").hidden = this.find(".play").hidden = true;
    this.find(".connect").textContent = text("connect");
    this.find(".connect").hidden = false;
    if (this.focused) this.find(".connect").focus();
  }
}

// The address of a picture of the pairing text, null where it cannot be drawn.
async function drawn(text) {
  const answer = await post("qr", { text });
  return answer && URL.createObjectURL(await answer.blob());
}
