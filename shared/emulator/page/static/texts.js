// What the page says, in the languages it knows; the browser's first one that is among them is used.
const texts = {
  en: {
    title: "Connect WhatsApp",
    subtitle: "The local stack: a Supabase, a WPP Platform and the functions. Nothing leaves this machine.",
    product: "The product", email: "E-mail", password: "Password", signIn: "Sign in", signOut: "Sign out", signedInAs: "Signed in as",
    primary: "WhatsApp number", further: "Further number", connect: "Connect WhatsApp", addNumber: "Add a further number",
    working: "Connecting…", waiting: "Waiting for a QR…", scan: "Scan this with WhatsApp on your phone: Settings, Linked devices.",
    play: "Play the scan", connected: "Connected", disconnect: "Disconnect", disconnected: "Not connected", again: "Try again",
    session: "session", qrAlt: "QR code that pairs a phone",
    faults: "What goes wrong", faultsHint: "Switch something on, then connect, and see what the functions make of it.",
    platform_slow: "The platform takes 2 seconds for each call", platform_drops: "The platform drops every connection",
    platform_html: "A proxy answers 502 for the platform", secret_refused: "The platform refuses WPP_SECRET",
    key_refused: "The platform refuses the organization's key", answer_lost: "The answer to `create` is lost every time",
    database_slow: "The database takes 2 seconds", database_down: "The database answers 503",
    clock: "Put the clock forward", clockQr: "20 s: next QR", clockLease: "1 min: a lease ends", clockToken: "15 min: platform token ends",
    clockUser: "25 h: you are signed out", ahead: "ahead by", reset: "Reset everything",
    log: "Calls", logHint: "Each call of a function with the calls it made; open one for its answer.", none: "No calls yet.",
    replay: "Replay", curl: "Copy as curl", copied: "Copied", answer: "Answer", sent: "Sent", roundTrips: { one: "round trip", other: "round trips" }, calls: { one: "call", other: "calls" },
    loading: "Loading supabase-js…",
    docs: "The API, to try calls", library: "supabase-js could not be loaded",
    signedOut: "You are signed out. Sign in again.",
    platform_refused: "WhatsApp cannot be connected at the moment: the platform refuses us. Our fault, not yours.",
    platform_unavailable: "The WhatsApp platform cannot be reached. Try again in a moment.",
    platform_timeout: "The WhatsApp platform does not answer in time. Try again in a moment.",
    supabase_unavailable: "Our database cannot be reached. Try again in a moment.",
    supabase_timeout: "Our database does not answer in time. Try again in a moment.",
    deadline_passed: "This took too long. Try again.", creation_in_progress: "It is being connected already. Try again in a moment.",
    other: "That did not work.", ended: "The local stack has ended, or cannot be reached. Start it again with make run.",
  },
  ru: {
    title: "Подключить WhatsApp",
    subtitle: "Локальный стенд: Supabase, WPP Platform и функции. Наружу ничего не уходит.",
    product: "Продукт", email: "Эл. почта", password: "Пароль", signIn: "Войти", signOut: "Выйти", signedInAs: "Вы вошли как",
    primary: "Номер WhatsApp", further: "Ещё один номер", connect: "Подключить WhatsApp", addNumber: "Добавить номер",
    working: "Подключаем…", waiting: "Ждём QR-код…", scan: "Отсканируйте в WhatsApp на телефоне: Настройки, Связанные устройства.",
    play: "Сыграть сканирование", connected: "Подключено", disconnect: "Отключить", disconnected: "Не подключено", again: "Попробовать ещё раз",
    session: "сессия", qrAlt: "QR-код для привязки телефона",
    faults: "Что сломано", faultsHint: "Включите поломку, подключите номер и посмотрите, что сделают функции.",
    platform_slow: "Платформа отвечает на 2 секунды дольше", platform_drops: "Платформа рвёт каждое соединение",
    platform_html: "Вместо платформы прокси отвечает 502", secret_refused: "Платформа не принимает WPP_SECRET",
    key_refused: "Платформа не принимает ключ организации", answer_lost: "Ответ на `create` каждый раз теряется",
    database_slow: "База отвечает на 2 секунды дольше", database_down: "База отвечает 503",
    clock: "Перевести часы вперёд", clockQr: "20 с: новый QR", clockLease: "1 мин: кончается аренда", clockToken: "15 мин: токен платформы",
    clockUser: "25 ч: ваш вход", ahead: "впереди на", reset: "Сбросить всё",
    log: "Вызовы", logHint: "Каждый вызов функции и сделанные ею вызовы; откройте, чтобы увидеть ответ.", none: "Вызовов ещё нет.",
    replay: "Повторить", curl: "Скопировать как curl", copied: "Скопировано", answer: "Ответ", sent: "Отправлено", roundTrips: { one: "обращение подряд", few: "обращения подряд", other: "обращений подряд" },
    calls: { one: "вызов", few: "вызова", other: "вызовов" }, loading: "Загружаем supabase-js…",
    docs: "Описание API с пробными вызовами", library: "Не удалось загрузить supabase-js",
    signedOut: "Вход закончился. Войдите снова.",
    platform_refused: "Сейчас подключить WhatsApp нельзя: платформа нам отказывает. Это наша ошибка, не ваша.",
    platform_unavailable: "Платформа WhatsApp недоступна. Повторите чуть позже.",
    platform_timeout: "Платформа WhatsApp не отвечает вовремя. Повторите чуть позже.",
    supabase_unavailable: "Наша база недоступна. Повторите чуть позже.",
    supabase_timeout: "Наша база не отвечает вовремя. Повторите чуть позже.",
    deadline_passed: "Это заняло слишком много времени. Повторите.", creation_in_progress: "Подключение уже идёт. Повторите чуть позже.",
    other: "Не получилось.", ended: "Стенд остановлен или недоступен. Запустите его снова: make run.",
  },
};

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
