// One call of a function, opened: its upstream calls on a time axis, each with request and response, and what came of it.
import { copy } from "/_page/systems.js";
import { measured, text } from "/_page/texts.js";

export function details(call, inspector) {
  const inside = document.createElement("div");
  inside.innerHTML = `<div class="waterfall"></div><p class="row"><button class="replay"></button><button class="curl"></button></p>`;
  const waterfall = inside.querySelector(".waterfall");
  waterfall.append(axis(call.ms), ...call.upstream.map((upstream) => bar(upstream, call.ms)));
  const [replay, curl] = inside.querySelectorAll("button");
  replay.textContent = text("replay");
  replay.addEventListener("click", () => inspector.replay(call));
  curl.textContent = text("curl");
  curl.addEventListener("click", async () => copy(curlOf(call, await inspector.headers(call)), curl));
  const sent = [...Object.entries(call.headers).map(([name, value]) => `${name}: ${value}`), call.body].join("\n");
  inside.append(block("sent", sent), block("answer", call.answer));
  return inside;
}

// Four equal parts of the call's time.
function axis(total) {
  const row = document.createElement("div");
  row.className = "axis";
  row.innerHTML = "<span></span><span></span><span></span>";
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    const tick = Object.assign(document.createElement("i"), { textContent: milliseconds(total * part) });
    tick.style.left = `${100 * part}%`;
    row.children[1].append(tick);
  }
  return row;
}

function bar(upstream, total) {
  const item = document.createElement("details");
  item.className = "upstream";
  item.innerHTML = `<summary><span class="call-name"></span><span class="track"><i></i></span><span class="took"></span></summary>`;
  const [name, track, took] = item.firstChild.children;
  name.textContent = `${text(upstream.system)} ${upstream.call}`;
  const percent = (part) => `${Math.min(100, (100 * part) / Math.max(total, 1))}%`;
  track.firstChild.style.left = percent(upstream.start);
  track.firstChild.style.width = percent(Math.max(upstream.ms, total / 200));
  track.firstChild.className = upstream.status >= 200 && upstream.status < 300 ? "good" : "bad";
  took.textContent = `${upstream.status || "—"} · ${milliseconds(upstream.ms)}`;
  item.append(block("request", upstream.request), block("response", upstream.response));
  return item;
}

function block(title, content) {
  const part = document.createElement("div");
  part.innerHTML = `<h4></h4><pre class="${title}" tabindex="0"></pre>`;
  part.children[0].textContent = text(title);
  part.children[1].textContent = content;
  return part;
}

function curlOf(call, headers) {
  const lines = Object.entries(headers).map(([name, value]) => ` \\\n  -H ${quoted(`${name}: ${value}`)}`);
  return `curl -s -X POST ${location.origin}/functions/v1/${call.function}${lines.join("")} \\\n  -d ${quoted(call.body)}`;
}

const milliseconds = (number) => measured(Math.round(number), "millisecond");

function quoted(value) {
  return `'${value.replaceAll("'", "'\\''")}'`;
}
