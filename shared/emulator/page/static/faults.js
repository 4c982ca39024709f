// The faults as switches, grouped by the system that they are in.
import { post } from "/_page/controls.js";
import { text } from "/_page/texts.js";

export function showFaults(element, badge, faults) {
  const count = () => {
    const on = element.querySelectorAll("input:checked").length;
    badge.textContent = `${on} ${text("on")}`;
    badge.hidden = on === 0;
  };
  for (const [system, switches] of Object.entries(Object.groupBy(faults, (fault) => fault.system))) {
    const group = document.createElement("fieldset");
    group.append(Object.assign(document.createElement("legend"), { textContent: text(system) }));
    group.append(...switches.map((fault) => switchOf(fault, count)));
    element.append(group);
  }
  count();
}

function switchOf({ name, on }, changed) {
  const label = document.createElement("label");
  label.className = "switch";
  label.innerHTML = `<input type="checkbox" role="switch"><span></span><small></small>`;
  const [box, title, effect] = label.children;
  Object.assign(box, { name, checked: on });
  title.textContent = text(name);
  title.id = `fault-${name}`;
  box.setAttribute("aria-labelledby", title.id);
  effect.textContent = text(`${name}_when`);
  box.addEventListener("change", async () => {
    changed();
    if (await post("fault", { name, on: box.checked })) return;
    box.checked = !box.checked; // it was not done
    changed();
  });
  return label;
}
