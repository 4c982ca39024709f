// The calls of the functions, the newest first; equal polls in a row are one line. Beside them, the stored rows.
import { details } from "/_page/call.js";
import { get } from "/_page/controls.js";
import { counted, measured, text } from "/_page/texts.js";

const EVERY = 700; // milliseconds
const KEPT = 100; // lines

export class Inspector {
  constructor(section, accessToken, anonKey, reached) {
    this.log = section.querySelector("#log");
    this.rows = section.querySelector("#rows");
    this.errorsOnly = section.querySelector("#errors-only");
    Object.assign(this, { accessToken, anonKey, reached, lines: [], seen: new Set(), shownRows: "" });
    this.errorsOnly.addEventListener("change", () => this.filter());
    this.log.textContent = text("none");
  }

  start() {
    this.refresh();
    setInterval(() => this.refresh(), EVERY);
  }

  async refresh() {
    const found = await get("calls");
    this.reached(found !== null);
    if (!found) return;
    for (const call of found.calls.toReversed()) {
      if (this.seen.has(call.id)) continue;
      this.seen.add(call.id);
      this.add(call);
    }
    this.showRows(found.rows);
  }

  // What is on the page stays there: an open line stays open, and a repeated poll changes only its line.
  add(call) {
    const last = this.lines[0];
    if (last && isRepeat(last.call, call)) {
      last.times += 1;
      last.call = call;
      describe(last);
      if (last.element.open) this.open(last);
      return;
    }
    if (!last) this.log.replaceChildren();
    const line = { call, times: 1, element: document.createElement("details") };
    line.element.className = "call";
    line.element.innerHTML = `
      <summary><time></time><b class="name"></b><span class="times"></span><span class="code"></span><span class="result"></span><span class="took"></span></summary>
      <div class="inside"></div>`;
    line.element.addEventListener("toggle", () => line.element.open && this.open(line));
    describe(line);
    this.lines.unshift(line);
    this.log.prepend(line.element);
    for (const old of this.lines.splice(KEPT)) old.element.remove();
    this.filter();
  }

  async open(line) {
    const { id } = line.call;
    const call = await get(`call?id=${id}`);
    if (call && line.call.id === id) line.element.querySelector(".inside").replaceChildren(details(call, this));
  }

  filter() {
    for (const line of this.lines) line.element.hidden = this.errorsOnly.checked && line.call.status === 200;
    this.log.dataset.empty = this.lines.every((line) => line.element.hidden) ? text("noErrors") : "";
  }

  showRows(rows) {
    const shown = JSON.stringify(rows, null, 2);
    if (shown === this.shownRows) return;
    this.shownRows = shown;
    this.rows.replaceChildren(...rows.map((row, index) => {
      const item = document.createElement("details");
      item.open = index === 0;
      item.innerHTML = "<summary></summary><pre tabindex=0></pre>";
      item.children[0].textContent = `${text("number")} ${index + 1} · ${row.is_active ? text("active") : text("inactive")}`;
      item.children[1].textContent = JSON.stringify(row, null, 2);
      return item;
    }));
    if (!rows.length) this.rows.textContent = text("noRows");
  }

  async headers(call) {
    return { ...call.headers, apikey: this.anonKey, authorization: `Bearer ${await this.accessToken()}` };
  }

  async replay(call) {
    const sent = { method: "POST", headers: await this.headers(call), body: call.body };
    await fetch(`/functions/v1/${call.function}`, sent).catch(() => null); // refresh() says that the stack is gone
    await this.refresh();
  }
}

const isRepeat = (one, other) =>
  ["wpp-status", "wpp-qr"].includes(other.function) && ["function", "status", "result", "number"].every((part) => one[part] === other[part]);

function describe({ call, times, element }) {
  const find = (selector) => element.querySelector(selector);
  find("time").textContent = new Date(call.at * 1000).toLocaleTimeString("en-GB"); // 24 hours: short, and read in each language
  find(".name").textContent = call.function;
  find(".times").textContent = times > 1 ? `×${times}` : "";
  find(".code").textContent = call.status || "—";
  find(".code").className = `code ${call.status === 200 ? "good" : "bad"}`;
  find(".result").textContent = call.result ?? "";
  const counts = call.calls === null ? "" : ` · ${counted(call.calls, "calls")}, ${counted(call.roundTrips, "roundTrips")}`;
  find(".took").textContent = `${measured(Math.round(call.ms), "millisecond")}${counts}`;
}
