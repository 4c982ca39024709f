// The strip at the top: each system's address, whether it is there, its keys to copy, and how many faults are on in it.
import { get } from "/_page/controls.js";
import { text } from "/_page/texts.js";

const EVERY = 3000; // milliseconds

export class Systems {
  constructor(element, systems) {
    this.chips = new Map(systems.map((system) => [system.name, chip(system)]));
    element.replaceChildren(...this.chips.values());
  }

  start() {
    this.refresh();
    setInterval(() => this.refresh(), EVERY);
  }

  async refresh() {
    const health = (await get("health")) ?? {};
    for (const [name, chip] of this.chips) {
      const state = health[name] ? "up" : "down";
      if (chip.dataset.health === state) continue;
      chip.dataset.health = state;
      chip.querySelector(".dot").setAttribute("aria-label", text(state));
    }
  }
}

function chip({ name, address, keys }) {
  const chip = document.createElement("div");
  chip.className = "chip";
  chip.setAttribute("role", "listitem");
  chip.innerHTML = `<i class="dot" role="img"></i><b></b> <code></code>`;
  chip.querySelector("b").textContent = text(name);
  chip.querySelector("code").textContent = address.replace("http://", "");
  for (const [key, value] of Object.entries(keys)) {
    const button = Object.assign(document.createElement("button"), { className: "plain", textContent: key, title: `${text("copy")} ${key}` });
    button.addEventListener("click", () => copy(value, button));
    chip.append(button);
  }
  return chip;
}

// The button says so for a moment, in the same width.
export async function copy(value, button) {
  await navigator.clipboard.writeText(value);
  const label = button.textContent;
  button.style.minWidth = `${button.offsetWidth}px`;
  button.textContent = text("copied");
  button.disabled = true;
  setTimeout(() => Object.assign(button, { textContent: label, disabled: false }), 1200);
}
