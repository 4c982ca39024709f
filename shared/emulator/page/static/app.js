import { post } from "/_page/controls.js";
import { Inspector } from "/_page/inspector.js";
import { ConnectedNumber } from "/_page/number.js";
import { measured, text, translate } from "/_page/texts.js";

const $ = (id) => document.getElementById(id);
let config;
let supabase;
let numbers = [];
// The idempotency keys of further numbers: after a reload of the page they are the same numbers.
let keys = [];

translate();
await start();

async function start() {
  config = await (await fetch("/_page/config")).json();
  const signInButton = $("sign-in").querySelector("button");
  signInButton.textContent = text("loading");
  const loaded = await loadLibrary();
  signInButton.textContent = text("signIn");
  if (!loaded) return;
  // As the product's web client has it: sign in, then functions.invoke.
  supabase = window.supabase.createClient(location.origin, config.anonKey, { auth: { persistSession: false, autoRefreshToken: false } });
  const form = $("sign-in");
  form.email.value = config.email;
  form.password.value = config.password;
  form.addEventListener("submit", signIn);
  signInButton.disabled = false;
  $("sign-out").addEventListener("click", signOut);
  $("add").addEventListener("click", addFurtherNumber);
  $("reset").addEventListener("click", reset);
  for (const button of document.querySelectorAll("[data-clock]"))
    button.addEventListener("click", () => putForward(Number(button.dataset.clock)));
  showFaults();
  showClock();
  new Inspector($("log"), accessToken, config.anonKey, (there) => {
    if (!there) complain(text("ended"));
    else if ($("trouble").textContent === text("ended")) complain("");
  }).start();
}

function loadLibrary() {
  return new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = "/_page/supabase.js";
    script.onload = () => resolve(true);
    script.onerror = async () => {
      const why = await fetch("/_page/supabase.js").then((answer) => answer.text()).catch(() => text("ended"));
      complain(`${text("library")}: ${why}`);
      resolve(false);
    };
    document.head.append(script);
  });
}

async function accessToken() {
  return (await supabase.auth.getSession()).data.session?.access_token ?? "";
}

async function signIn(event) {
  event.preventDefault();
  const form = $("sign-in"), button = form.querySelector("button");
  button.disabled = true; // for the second click of a double one
  const { data, error } = await supabase.auth.signInWithPassword({ email: form.email.value, password: form.password.value });
  button.disabled = false;
  if (error) return complain(error.message);
  complain("");
  $("user").textContent = data.user.email;
  form.hidden = true;
  $("signed-in").hidden = false;
  addNumber(null);
  keys = JSON.parse(sessionStorage[keysOf(data.user.email)] ?? "[]");
  keys.forEach(addNumber);
  $("numbers").querySelector("button").focus();
}

function signOut(why = "") {
  for (const number of numbers) number.end();
  numbers = [];
  $("numbers").replaceChildren();
  $("signed-in").hidden = $("add").hidden = true;
  $("sign-in").hidden = false;
  $("sign-in").email.focus();
  complain(typeof why === "string" ? why : "");
  supabase.auth.signOut({ scope: "local" });
}

// `key` is null for the organization's primary number, and otherwise that of a further one.
function addNumber(key) {
  const number = new ConnectedNumber(supabase, key, {
    connected: () => ($("add").hidden = false),
    signedOut: () => signOut(text("signedOut")),
  });
  numbers.push(number);
  $("numbers").append(number.element);
  return number;
}

// They are one user's, in what the stack has stored since it was started or reset.
const keysOf = (email) => `${config.stored} ${email}`;

function addFurtherNumber() {
  keys.push(crypto.randomUUID());
  sessionStorage[keysOf($("user").textContent)] = JSON.stringify(keys);
  addNumber(keys.at(-1)).connect();
}

function showFaults() {
  $("faults").replaceChildren(...Object.entries(config.faults).map(([name, on]) => {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", name, checked: on });
    box.addEventListener("change", () => post("fault", { name, on: box.checked }));
    label.append(box, ` ${text(name)}`);
    return label;
  }));
}

async function putForward(seconds) {
  if (!(await post("clock", { seconds }))) return;
  config.clock += seconds;
  showClock();
}

function showClock() {
  const hours = Math.floor(config.clock / 3600), minutes = Math.floor((config.clock % 3600) / 60), seconds = config.clock % 60;
  const parts = Object.entries({ hour: hours, minute: minutes, second: seconds }).filter(([, number]) => number).map(([unit, number]) => measured(number, unit));
  $("clock").textContent = parts.length ? `${text("ahead")} ${parts.join(" ")}` : "";
}

async function reset() {
  if (await post("reset", {})) location.reload();
}

function complain(message) {
  $("trouble").textContent = message;
  $("trouble").hidden = !message;
}
