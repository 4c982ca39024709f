// What the page says, in the browser's first language that it knows.
import { en } from "/_page/texts-en.js";
import { ru } from "/_page/texts-ru.js";

const texts = { en, ru };
const language = navigator.languages.map((name) => name.slice(0, 2)).find((name) => name in texts) ?? "en";

export const counted = (number, key) => {
  const forms = texts[language][key];
  return `${number} ${forms[new Intl.PluralRules(language).select(number)] ?? forms.other}`;
};

export const measured = (number, unit) => new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short" }).format(number);

export const text = (key) => texts[language][key] ?? key;

export function translate() {
  document.documentElement.lang = language;
  document.title = text("title");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
}
