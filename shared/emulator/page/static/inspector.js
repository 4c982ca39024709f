// The log of calls: each with its upstream calls as a waterfall, its answer, replay, and as a curl line.
import { counted, measured, text } from "/_page/texts.js";

const EVERY = 700; // milliseconds
const KEPT = 100; // calls

export class Inspector {
  constructor(element, accessToken, anonKey, reached) {
    this.element = element;
    this.accessToken = accessToken;
    this.anonKey = anonKey;
    this.reached = reached; // told with each look whether the stack is there
    this.shown = new Map(); // what is on the page stays there: an open one stays open
  }

  start() {
    this.refresh();
    setInterval(() => this.refresh(), EVERY);
  }

  async refresh() {
    const calls = await fetch("/_page/calls").then((answer) => answer.json()).catch(() => null);
    this.reached(calls !== null);
    if (!calls) return;
    if (!calls.length && !this.shown.size) this.element.textContent = text("none");
    for (const call of calls.toReversed()) {
      if (this.shown.has(call.id)) continue;
      if (!this.shown.size) this.element.replaceChildren();
      const item = this.item(call);
      this.shown.set(call.id, item);
      this.element.prepend(item);
    }
    for (const id of [...this.shown.keys()].slice(0, -KEPT)) {
      this.shown.get(id).remove();
      this.shown.delete(id);
    }
  }

  item(call) {
    const item = document.createElement("details");
    const good = call.status === 200;
    item.innerHTML = `
      <summary><time></time> <b class="name"></b> <span class="code ${good ? "good" : "bad"}"></span> <span class="took"></span></summary>
      <div class="waterfall" role="table"></div>
      <p class="row"><button class="replay"></button><button class="curl"></button></p>
      <h3 class="sent-title"></h3><pre class="sent"></pre>
      <h3 class="answer-title"></h3><pre class="answer" tabindex="0"></pre>`;
    const find = (selector) => item.querySelector(selector);
    find("time").textContent = new Date(call.at * 1000).toLocaleTimeString();
    find(".name").textContent = call.function;
    find(".code").textContent = call.status || "—";
    const counts = call.calls === null ? "" : ` · ${counted(call.calls, "calls")}, ${counted(call.roundTrips, "roundTrips")}`;
    find(".took").textContent = `${milliseconds(call.ms)}${counts}`;
    find(".waterfall").append(...call.upstream.map((upstream) => bar(upstream, call.ms)));
    find(".replay").textContent = text("replay");
    find(".curl").textContent = text("curl");
    find(".sent-title").textContent = text("sent");
    find(".answer-title").textContent = text("answer");
    find(".sent").textContent = [...Object.entries(call.headers).map(([name, value]) => `${name}: ${value}`), call.body].join("\n");
    find(".answer").textContent = call.answer;
    find(".replay").addEventListener("click", () => this.replay(call));
    find(".curl").addEventListener("click", (event) => this.copy(call, event.target));
    return item;
  }

  async headers(call) {
    return { ...call.headers, apikey: this.anonKey, authorization: `Bearer ${await this.accessToken()}` };
  }

  async replay(call) {
    const sent = { method: "POST", headers: await this.headers(call), body: call.body };
    await fetch(`/functions/v1/${call.function}`, sent).catch(() => null); // refresh() says that the stack is gone
    await this.refresh();
  }

  async copy(call, button) {
    const headers = Object.entries(await this.headers(call)).map(([name, value]) => ` \\\n  -H ${quoted(`${name}: ${value}`)}`);
    const line = `curl -s -X POST ${location.origin}/functions/v1/${call.function}${headers.join("")} \\\n  -d ${quoted(call.body)}`;
    await navigator.clipboard.writeText(line);
    button.textContent = text("copied");
    setTimeout(() => (button.textContent = text("curl")), 1500);
  }
}

function bar(upstream, total) {
  const row = document.createElement("div");
  row.setAttribute("role", "row");
  row.innerHTML = `<span role="cell"></span><span role="cell" class="track"><i></i></span><span role="cell"></span>`;
  const [name, track, took] = row.children;
  name.textContent = `${upstream.system} ${upstream.call}`;
  name.title = `${upstream.method} ${upstream.path}`;
  const percent = (part) => `${Math.min(100, (100 * part) / Math.max(total, 1))}%`;
  track.firstChild.style.left = percent(upstream.start);
  track.firstChild.style.width = percent(Math.max(upstream.ms, total / 200));
  track.firstChild.className = upstream.status >= 200 && upstream.status < 300 ? "good" : "bad";
  took.textContent = `${upstream.status || "—"} · ${milliseconds(upstream.ms)}`;
  return row;
}

const milliseconds = (number) => measured(Math.round(number), "millisecond");

function quoted(value) {
  return `'${value.replaceAll("'", "'\\''")}'`;
}
