import { get, post } from "/_page/controls.js";
import { showFaults } from "/_page/faults.js";
import { Inspector } from "/_page/inspector.js";
import { NumberCard } from "/_page/number.js";
import { Systems } from "/_page/systems.js";
import { measured, text, translate } from "/_page/texts.js";
import { createWppClient } from "/_page/wpp-client.js";

const $ = (id) => document.getElementById(id);
let config;
let supabase;
let numbers = [];

translate();
await start();

async function start() {
  config = await get("config");
  if (matchMedia("(max-width: 60rem)").matches) for (const tool of document.querySelectorAll("#tools details")) tool.open = false;
  new Systems($("systems"), config.systems).start();
  showFaults($("faults"), $("faults-on"), config.faults);
  showClock();
  $("reset").addEventListener("click", () => $("sure").showModal());
  $("sure").addEventListener("close", () => $("sure").returnValue === "yes" && reset());
  for (const button of document.querySelectorAll("[data-clock]")) button.addEventListener("click", () => putForward(Number(button.dataset.clock)));
  new Inspector($("inspector"), accessToken, config.anonKey, (there) => {
    if (!there) complain(text("ended"));
    else if ($("trouble").textContent === text("ended")) complain("");
  }).start();
  const button = $("sign-in").querySelector("button");
  button.textContent = text("loading");
  const loaded = await loadLibrary();
  button.textContent = text("signIn");
  if (loaded) await offerSignIn();
}

async function loadLibrary() {
  const answer = await fetch("/_page/supabase.js").catch(() => null);
  if (!answer?.ok) {
    complain(`${text("library")} ${answer ? await answer.text() : text("ended")}`);
    return false;
  }
  const script = document.createElement("script");
  script.src = "/_page/supabase.js"; // cached by now
  document.head.append(script);
  await new Promise((resolve) => script.addEventListener("load", resolve));
  $("fetched").hidden = false;
  return true;
}

async function offerSignIn() {
  // As the product's web client has it, for this tab: a reload keeps the user.
  supabase = window.supabase.createClient(location.origin, config.anonKey, { auth: { storage: sessionStorage, autoRefreshToken: false } });
  const form = $("sign-in");
  form.email.value ||= config.email; // people who type before the library is there keep what they typed
  form.password.value ||= config.password;
  form.addEventListener("submit", signIn);
  $("sign-out").addEventListener("click", () => signOut());
  $("add").addEventListener("click", () => addNumber({ add: true }).connect());
  form.querySelector("button").disabled = false;
  // A session of a stack that has ended since is not known to this one.
  if ((await supabase.auth.getSession()).data.session) {
    const { data, error } = await supabase.auth.getUser();
    if (error) await supabase.auth.signOut({ scope: "local" });
    else showNumbers(data.user.email);
  }
}

async function accessToken() {
  return (await supabase?.auth.getSession())?.data.session?.access_token ?? "";
}

async function signIn(event) {
  event.preventDefault();
  const form = $("sign-in"), button = form.querySelector("button");
  button.disabled = true; // for the second click of a double one
  const { data, error } = await supabase.auth.signInWithPassword({ email: form.email.value, password: form.password.value });
  button.disabled = false;
  if (error) return complain(text(error.code) === error.code ? error.message : text(error.code ?? "other"));
  showNumbers(data.user.email);
  numbers[0].focused = true; // its button, once it is shown
}

function showNumbers(email) {
  complain("");
  $("user").textContent = email;
  $("sign-in").hidden = true;
  $("signed-in").hidden = false;
  const further = JSON.parse(sessionStorage[stored()] ?? "[]");
  addNumber({});
  for (const id of further) addNumber({ id, add: true });
  for (const number of numbers) number.look();
}

function signOut(why = "") {
  for (const number of numbers) number.end();
  numbers = [];
  $("numbers").replaceChildren();
  $("signed-in").hidden = $("add").hidden = true;
  $("sign-in").hidden = false;
  $("sign-in").email.focus();
  complain(why);
  supabase.auth.signOut({ scope: "local" });
}

function addNumber(number) {
  const card = new NumberCard(createWppClient(supabase), { ...number, name: `${text("number")} ${numbers.length + 1}` }, {
    changed: numbersChanged,
    signedOut: () => signOut(text("signedOut")),
    gone: (left) => {
      numbers = numbers.filter((kept) => kept !== left);
      left.element.remove();
      numbersChanged();
    },
  });
  numbers.push(card);
  $("numbers").append(card.element);
  numbersChanged();
  return card;
}

// Further numbers are one user's, in what the stack has stored since it was started or reset.
function stored() {
  return `${config.stored} ${$("user").textContent}`;
}

function numbersChanged() {
  sessionStorage[stored()] = JSON.stringify(numbers.filter(({ add, id }) => add && id).map(({ id }) => id));
  const settled = ["connected", "disconnected", "unknown"];
  $("add").hidden = !numbers.some(({ state }) => state === "connected") || !numbers.every(({ state, add }) => !add || settled.includes(state));
}

async function putForward(seconds) {
  if (!(await post("clock", { seconds }))) return;
  config.clock += seconds;
  showClock();
  for (const number of numbers) if (!["idle", "working"].includes(number.state)) number.look();
}

function showClock() {
  const hours = Math.floor(config.clock / 3600), minutes = Math.floor((config.clock % 3600) / 60), seconds = config.clock % 60;
  const parts = Object.entries({ hour: hours, minute: minutes, second: seconds }).filter(([, number]) => number).map(([unit, number]) => measured(number, unit));
  $("clock").textContent = `+${parts.join(" ")}`;
  $("clock").hidden = !parts.length;
}

async function reset() {
  if (!(await post("reset", {}))) return;
  createWppClient(supabase).giveUp();
  location.reload();
}

function complain(message) {
  $("trouble").textContent = message;
}
