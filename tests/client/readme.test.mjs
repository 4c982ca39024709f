// The examples of the README, as written, against the local stack. test_readme.py puts them into this file's folder.
import assert from "node:assert/strict";
import { test } from "node:test";

const { SUPABASE_URL, SUPABASE_ANON_KEY, WPP_BASE_URL, PEOPLE } = process.env;
const statuses = []; // of what supabase-js was answered
const sent = globalThis.fetch;
const counted = async (...request) => {
  const response = await sent(...request);
  statuses.push(response.status);
  return response;
};
const wait = globalThis.setTimeout;
const sooner = (resume, milliseconds, ...more) => wait(resume, milliseconds === 2000 ? 20 : milliseconds, ...more); // between two looks
Object.assign(globalThis, { SUPABASE_URL, SUPABASE_ANON_KEY, fetch: counted, setTimeout: sooner });
globalThis.WebSocket ??= class {}; // createClient asks for it, and Node.js 20 has none
const { connectNumber, supabase } = await import("./plain.mjs");
const client = await import("./client.mjs");

const people = JSON.parse(PEOPLE); // each of an organization of their own
const play = (url, name, body) => sent(`${url}/_emulator/${name}`, { method: "POST", body: JSON.stringify(body) });

async function signIn(supabase) {
  const person = people.pop();
  const { error } = await supabase.auth.signInWithPassword(person);
  assert.equal(error, null);
  return async () => {
    const [row] = await (await play(SUPABASE_URL, "rows", person)).json();
    await play(WPP_BASE_URL, "scan", { session: row.settings.wppAccountNumber });
  };
}

// An <img>, and a phone: it is shown a QR, the platform fails for one look, then the QR is scanned.
function imageFor(scan) {
  const shown = [];
  return {
    shown,
    set src(value) {
      shown.push(value);
      if (shown.length === 1) play(WPP_BASE_URL, "faults", { call: "status", status: 200, body: "<html>" });
      if (shown.length > 1 && statuses.includes(502)) scan();
    },
  };
}

for (const [png, start] of [[false, "data:image/svg+xml,%3Csvg"], [true, "data:image/png;base64,"]])
  test(`supabase-js alone shows ${start}, goes on after a failure, and ends connected`, async () => {
    statuses.length = 0;
    await play(WPP_BASE_URL, "settings", { qr_as_png: png });
    const image = imageFor(await signIn(supabase));
    assert.equal(await connectNumber(image), "connected");
    assert.ok(image.shown.every((src) => src.startsWith(start)), image.shown[0]);
    assert.ok(statuses.includes(502));
  });

test("supabase-js alone stops at an error that a retry cannot help, and says which", async () => {
  await supabase.auth.signOut();
  statuses.length = 0;
  const problem = await connectNumber({}).catch((error) => error);
  assert.deepEqual([problem.message, problem.code, problem.retryable], ["Unauthorized", "invalid_token", false]);
  assert.match(problem.request_id, /^[\w-]+$/);
  assert.deepEqual(statuses, [401]);
});

test("the browser client shows each state and ends connected; signed out, it shows the problem", async () => {
  const scan = await signIn(client.supabase);
  const seen = [];
  globalThis.show = ({ status }) => (seen.push(status), status === "qr_issued" && scan());
  globalThis.showProblem = (...problem) => seen.push(problem);
  await client.connectNumber(new AbortController().signal);
  assert.ok(seen.includes("qr_issued"));
  assert.equal(seen.at(-1), "connected");
  await client.supabase.auth.signOut();
  await client.connectNumber();
  assert.deepEqual(seen.at(-1).slice(0, 2), ["Unauthorized", "invalid_token"]);
});

test("at another address, each call comes from the user who is signed in", async () => {
  const { wpp } = await import("./elsewhere.mjs");
  const organizations = [];
  for (const _ of [1, 2]) {
    await signIn(client.supabase);
    organizations.push((await wpp.connect()).integrationId);
    await client.supabase.auth.signOut();
    const problem = await wpp.connect().catch((error) => error);
    assert.deepEqual([problem.status, problem.code], [401, "missing_authorization"]);
  }
  assert.equal(new Set(organizations).size, 2);
});
