// The QR on its stage, with a ring that counts down to the next one.
import { post } from "/_page/controls.js";
import { text } from "/_page/texts.js";

const RING = `<svg class="ring" viewBox="0 0 100 100" aria-hidden="true"><rect x="1.5" y="1.5" width="97" height="97" rx="8" pathLength="100"/></svg>`;

export class Qr {
  constructor(stage) {
    this.stage = stage;
    this.shown = null;
    this.figure = document.createElement("figure");
    this.figure.hidden = true;
    this.figure.innerHTML = `${RING}<img width="264" height="264">`;
    this.image = this.figure.querySelector("img");
    this.image.alt = text("qrAlt");
    stage.append(this.figure);
  }

  // The value is pairing text to draw, or a picture already; null for none.
  async show(value) {
    if (value === this.shown) return;
    this.shown = value;
    if (value === null) {
      this.figure.hidden = true;
      return;
    }
    const source = value.startsWith("data:image/") ? value : await drawn(value);
    if (value !== this.shown) return; // another one came, or none any more
    if (source === null) this.shown = null; // tried again with the next look
    URL.revokeObjectURL(this.image.src);
    this.image.src = source ?? "";
    this.figure.hidden = source === null;
    const ring = this.figure.querySelector("svg");
    ring.replaceWith(ring.cloneNode(true)); // its animation begins anew
  }
}

// The address of a picture of the pairing text, null where it cannot be drawn.
async function drawn(value) {
  const answer = await post("qr", { text: value });
  return answer && URL.createObjectURL(await answer.blob());
}
