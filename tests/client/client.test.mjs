// The browser client under Node, with the real supabase-js, against a server on a real socket.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, beforeEach, test } from "node:test";
import { FunctionsClient } from "../../.venv/tsc/node_modules/@supabase/functions-js/dist/main/index.js";
import { createWppClient, WppError } from "../../functions/wpp-client.js";

let answers = []; // for the next requests, the last one for all further ones
let requests = [];
const server = createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  requests.push({ name: request.url.slice(1), body: JSON.parse(body), key: request.headers["idempotency-key"] });
  const { status = 200, headers = {}, text, hang, ...json } = answers.length > 1 ? answers.shift() : answers[0];
  if (hang) return hang();
  if (status === 0) return request.socket.destroy();
  if (json.endless) return response.writeHead(status, { "content-type": "application/json" }).write("{");
  response.writeHead(status, { "content-type": text ? "text/html" : "application/json", ...headers });
  response.end(text ?? JSON.stringify({ success: status === 200, ...json.body }));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
after(() => server.closeAllConnections() ?? server.close());

let storage;
const client = () => createWppClient({ functions: new FunctionsClient(`http://127.0.0.1:${server.address().port}`) }, { storage });
const state = (status, more = {}) => ({ body: { status, integration_id: "n1", ...more } });
const failed = (status, body, headers) => ({ status, body, headers });
const FAST = { interval: 1 };
const NO_ANSWER = 65_000; // milliseconds

beforeEach(() => {
  requests = [];
  const kept = new Map();
  storage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value), removeItem: (name) => kept.delete(name), kept };
});

async function watched(options) {
  const seen = [];
  for await (const found of client().watch("n1", { ...FAST, ...options })) seen.push(found.status);
  return seen;
}

test("the pauses: Retry-After, longer after each failure, long once it is settled", async (context) => {
  const waits = [];
  const answers = ["60", "86400000", null, null, null, null, "qr_pending", null, "disconnected", "connected", "qr_pending", "qr_issued"];
  const busy = (retryAfter) => new Response("{}", { status: 503, headers: retryAfter ? { "retry-after": retryAfter } : {} });
  const invoke = async () => {
    const answer = answers.shift();
    if (/[a-z]/.test(answer ?? "")) return { data: { success: true, status: answer }, error: null };
    return { data: null, error: { context: answers.length ? busy(answer) : new Response("{}", { status: 401 }) } };
  };
  // Without sockets, and before any test with them: their own timers would be among the waits.
  context.mock.method(globalThis, "setTimeout", (resume, wait) => wait === NO_ANSWER || (waits.push(wait), setImmediate(resume)));
  await assert.rejects(async () => {
    for await (const found of createWppClient({ functions: { invoke } }, { storage }).watch("n1", { keepWatching: true })) void found;
  });
  assert.deepEqual(waits, [60_000, 300_000, 8000, 16_000, 30_000, 30_000, 2000, 2000, 10_000, 10_000, 2000, 2000]);
});

test("a click calls wpp-create, and its answer has one shape", async () => {
  answers = [state("starting", { session: "client_1", warnings: ["w"] })];
  assert.deepEqual(await client().connect(), {
    status: "qr_pending", qrcode: null, integrationId: "n1", session: "client_1", message: null, warnings: ["w"],
  });
  answers = [state("qr_issued", { qrcode: "2@x", account_number: "client_1" })];
  const found = await client().connect("n1");
  assert.deepEqual([found.status, found.qrcode, found.session], ["qr_issued", "2@x", "client_1"]);
  assert.deepEqual(requests.map(({ name, body }) => [name, body]), [["wpp-create", {}], ["wpp-create", { integration_id: "n1" }]]);
});

test("watching looks with wpp-status alone, until the number is connected", async () => {
  answers = [state("qr_pending"), state("qr_issued", { qrcode: "2@x" }), state("connected")];
  assert.deepEqual(await watched(), ["qr_pending", "qr_issued", "connected"]);
  assert.deepEqual(new Set(requests.map(({ name }) => name)), new Set(["wpp-status"]));
  assert.deepEqual(requests[0].body, { integration_id: "n1" });
});

test("a failure that may pass is told, and looked again after it", async () => {
  const body = { error: "no answer", code: "platform_timeout", retryable: true, request_id: "r1" };
  answers = [failed(504, body), { status: 502, text: "<html>" }, { text: "<html>" }, { status: 0 }, state("connected")];
  const seen = [];
  for await (const found of client().watch("n1", FAST)) seen.push(found);
  assert.deepEqual(seen.map(({ status }) => status), [...Array(4).fill("retrying"), "connected"]);
  const told = ({ error }) => [error.code, error.status, error.retryable, error.requestId];
  assert.deepEqual(seen.slice(0, 4).map(told), [["platform_timeout", 504, true, "r1"], [null, 502, true, null], ...Array(2).fill([null, 0, true, null])]);
});

test("what a retry cannot mend ends the watch", async () => {
  for (const answer of [failed(401, { retryable: false, code: "invalid_token" }), failed(404, { message: "no Route matched" }), failed(502, { retryable: false })]) {
    answers = [answer];
    requests = [];
    await assert.rejects(watched(), (error) => error instanceof WppError && !error.retryable && error.status === answer.status);
    assert.equal(requests.length, 1);
  }
});

for (const [header, seconds] of [["7", 7], [new Date(Date.now() + 3_600_000).toUTCString(), 3600], ["soon", null], ["-5", 0]])
  test(`Retry-After: ${header}`, async () => {
    answers = [failed(503, { retryable: true }, { "retry-after": header })];
    const { retryAfter } = await client().status().catch((error) => error);
    assert.ok(retryAfter === seconds || (seconds > 60 && Math.abs(retryAfter - seconds) < 60), String(retryAfter));
  });

test("somebody else's answer is told as theirs", async () => {
  for (const [body, message] of [
    [{ code: 401, message: "Invalid JWT" }, "Invalid JWT"],
    [{ code: "SUPABASE_EDGE_RUNTIME_ERROR", retryable: true, request_id: 5, error: { message: "boom" } }, "Edge Function returned a non-2xx status code"],
  ]) {
    answers = [failed(403, { success: undefined, ...body })];
    const error = await client().status().catch((error) => error);
    assert.deepEqual([error.message, error.code, error.status, error.retryable, error.requestId], [message, null, 403, false, null]);
  }
});

for (const part of ["an answer", "the body of an error"])
  test(`a call without ${part} ends after a minute, and may be tried again`, async (context) => {
    const wait = globalThis.setTimeout;
    context.mock.method(globalThis, "setTimeout", (resume, time, ...more) => wait(resume, time === NO_ANSWER ? 50 : time, ...more));
    answers = [part === "an answer" ? { hang: () => {} } : { status: 503, endless: true }];
    const error = await client().status().catch((error) => error);
    assert.deepEqual([error instanceof WppError, error.status, error.retryable], [true, part === "an answer" ? 0 : 503, true]);
  });

test("a signal ends a watch that waits, and a call that is under way", async () => {
  answers = [state("qr_pending")];
  const waiting = new AbortController();
  const looks = client().watch("n1", { signal: waiting.signal, interval: 60_000 });
  await looks.next();
  const next = looks.next();
  setImmediate(() => waiting.abort(new Error("enough")));
  await assert.rejects(next, { message: "enough" });
  assert.equal(requests.length, 1);
  const between = new AbortController();
  await assert.rejects(async () => {
    for await (const found of client().watch("n1", { signal: between.signal, interval: 3_600_000 })) between.abort(new Error(found.status));
  }, { message: "qr_pending" });
  requests = [{}];
  const early = client().connect("n1", { signal: AbortSignal.abort(new Error("before")) });
  await assert.rejects(early, { message: "before" });
  assert.equal(requests.length, 1);
  const sent = new AbortController();
  answers = [{ hang: () => sent.abort(new Error("meanwhile")) }];
  await assert.rejects(client().status("n1", { signal: sent.signal }), { message: "meanwhile" });
});

test("a further number has one key until it is connected, whatever happens in between", async () => {
  answers = [{ status: 0 }, state("starting"), state("starting"), state("qr_issued", { integration_id: "other" }), state("connected"), state("starting")];
  await assert.rejects(client().addNumber(), WppError);
  await client().addNumber(); // as after a reload: another client over the same storage
  await client().addNumber();
  await client().connect("other");
  await client().status("n1");
  assert.equal(storage.kept.size, 0);
  await client().addNumber();
  const keys = requests.filter(({ key }) => key).map(({ key }) => key);
  assert.match(keys[0], /^[0-9a-f]{32}$/);
  assert.deepEqual(keys.map((key) => keys.indexOf(key)), [0, 0, 0, 3]);
  assert.deepEqual(requests[0].body, { add_new: true });
});

test("a repeated addition whose answer is lost is still the number that was begun", async () => {
  answers = [state("starting"), { status: 0 }, state("connected")];
  await client().addNumber();
  await assert.rejects(client().addNumber(), WppError);
  await client().status("n1");
  assert.equal(storage.kept.size, 0);
});

test("a number that is given up or disconnected leaves its key behind, and no other number's call does", async () => {
  answers = [state("starting")];
  await client().addNumber();
  answers = [state("disconnected", { integration_id: "other" })];
  await client().disconnect("other");
  assert.equal(storage.kept.size, 1);
  answers = [state("disconnected")];
  await client().disconnect("n1");
  assert.equal(storage.kept.size, 0);
  answers = [state("starting")];
  await client().addNumber();
  client().giveUp();
  await client().addNumber();
  assert.equal(new Set(requests.filter(({ key }) => key).map(({ key }) => key)).size, 3);
});

test("a key that was given up does not come back with a late answer; a number that is connected at once keeps none", async () => {
  answers = [state("starting")];
  const wpp = client();
  const added = wpp.addNumber();
  wpp.giveUp();
  await added;
  assert.equal(storage.kept.size, 0);
  answers = [state("connected")];
  await wpp.addNumber();
  assert.equal(storage.kept.size, 0);
  const late = wpp.addNumber();
  wpp.giveUp();
  storage.setItem("wpp-client:pending-number", JSON.stringify({ key: "of the next one", id: "n2" }));
  await late;
  assert.equal(storage.kept.size, 1);
});

test("a storage that is full, breaks or holds something else keeps nobody from a number", async () => {
  const fail = () => {
    throw new Error("QuotaExceededError");
  };
  const full = { ...storage, setItem: fail };
  for (const broken of [full, { getItem: fail, setItem: fail, removeItem: fail }]) {
    storage = broken;
    requests = [];
    const wpp = client();
    answers = [state("starting")];
    await wpp.addNumber();
    await wpp.addNumber();
    answers = [state("connected")];
    await wpp.status("n1");
    await wpp.addNumber();
    const keys = requests.filter(({ key }) => key).map(({ key }) => key);
    assert.deepEqual(keys.map((key) => keys.indexOf(key)), [0, 0, 2]);
  }
  for (const text of ["{", "5", '"text"', '{"key":5}']) {
    const kept = new Map([["wpp-client:pending-number", text]]);
    storage = { getItem: (name) => kept.get(name), setItem: (name, value) => kept.set(name, value), removeItem: (name) => kept.delete(name) };
    assert.equal((await client().status("n1")).status, "connected");
    assert.equal((await client().addNumber()).status, "connected");
  }
});

test("without sessionStorage the key is kept in memory", async () => {
  storage = undefined;
  answers = [state("starting")];
  const wpp = client();
  await wpp.addNumber();
  await wpp.addNumber();
  assert.equal(requests[0].key, requests[1].key);
});
