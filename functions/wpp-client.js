// The functions from a page, over supabase-js: copy this file and wpp-client.d.ts beside your page's code.

const SOON = 2000; // milliseconds between two looks while a QR is awaited or shown
const SETTLED = 10_000; // …at a number that is connected or disconnected
const LONGEST = 30_000; // …after failures
const LONGEST_ASKED_FOR = 300_000; // …where an answer asks for it: the functions never ask for more
const NO_ANSWER = 65_000; // after which a call is lost: gateways end it after a minute
const PENDING = "wpp-client:pending-number"; // in the tab's storage: the number that is being added

export class WppError extends Error {
  name = "WppError";

  /** @param {string} message @param {import("./wpp-client.js").WppErrorDetails} details */
  constructor(message, { code, status, retryable, retryAfter, requestId }) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryable = retryable;
    this.retryAfter = retryAfter;
    this.requestId = requestId;
  }
}

/** @type {typeof import("./wpp-client.js").createWppClient} */
export const createWppClient = (supabase, { storage: given = tabStorage() } = {}) => {
  const storage = forgiving(given);

  /** @param {string} name @param {object} body @param {{ headers?: Record<string, string>, signal?: AbortSignal }} options */
  async function call(name, body, { headers, signal }) {
    signal?.throwIfAborted();
    const ending = new AbortController();
    const end = () => ending.abort(signal?.reason);
    const timer = setTimeout(end, NO_ANSWER);
    signal?.addEventListener("abort", end, { once: true });
    try {
      const { data, error } = await supabase.functions.invoke(name, { body, headers, signal: ending.signal });
      const problem = error || data?.success !== true ? await failure(error) : null;
      signal?.throwIfAborted();
      if (problem) throw problem;
      const state = stateOf(data);
      if (state.status === "connected") forget(state.integrationId);
      return state;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
    }
  }

  /** @returns {{ key: string, id: string | null } | null} null also for what somebody else wrote there */
  const pending = () => {
    try {
      const found = JSON.parse(storage.getItem(PENDING) ?? "null");
      return typeof found?.key === "string" ? found : null;
    } catch {
      return null;
    }
  };

  /** @param {string | null} id */
  const forget = (id) => {
    if (id !== null && pending()?.id === id) storage.removeItem(PENDING);
  };

  /** @type {import("./wpp-client.js").WppClient["status"]} */
  const status = (id, { signal } = {}) => call("wpp-status", target(id), { signal });

  return {
    status,

    connect: (id, { signal } = {}) => call("wpp-create", target(id), { signal }),

    // One key until the number is connected or given up: a lost answer, a second click or a reload is the same number.
    async addNumber({ signal } = {}) {
      const key = pending()?.key ?? randomKey();
      storage.setItem(PENDING, JSON.stringify({ id: null, ...pending(), key }));
      const state = await call("wpp-create", { add_new: true }, { headers: { "Idempotency-Key": key }, signal });
      if (pending()?.key !== key) return state; // given up meanwhile
      if (state.status === "connected") storage.removeItem(PENDING);
      else storage.setItem(PENDING, JSON.stringify({ key, id: state.integrationId }));
      return state;
    },

    giveUp: () => storage.removeItem(PENDING),

    async disconnect(id, { signal } = {}) {
      const state = await call("wpp-disconnect", target(id), { signal });
      forget(state.integrationId);
      return state;
    },

    async *watch(id, { signal, interval = SOON, keepWatching = false } = {}) {
      for (let failures = 0; ; ) {
        const state = await status(id, { signal }).catch(retrying);
        yield state;
        if (state.status === "connected" && !keepWatching) return;
        failures = state.status === "retrying" ? failures + 1 : 0;
        await pause(untilNext(state, failures, interval), signal);
      }
    },
  };
};

/** @param {string} [id] */
const target = (id) => (id ? { integration_id: id } : {});

/** @param {any} answer @returns {import("./wpp-client.js").WppState} */
const stateOf = (answer) => ({
  status: answer.status === "starting" ? "qr_pending" : answer.status,
  qrcode: answer.qrcode ?? null,
  integrationId: answer.integration_id ?? null,
  session: answer.session ?? answer.account_number ?? null,
  message: answer.message ?? null,
  warnings: answer.warnings ?? [],
});

/** @param {any} error supabase-js's, whose context is the response if there was one; null if somebody else answered 200 */
async function failure(error) {
  const response = typeof error?.context?.json === "function" ? error.context : null;
  const body = await response?.json().catch(() => null);
  const own = body?.success === false ? body : null; // else a gateway's
  const status = response?.status ?? 0;
  const messages = [own?.error, body?.message, error?.message, "the answer is not one of the functions'"];
  return new WppError(messages.find((message) => message && typeof message === "string"), {
    code: own?.code ?? null,
    status,
    retryable: own?.retryable ?? (status === 0 || status === 408 || status === 429 || status >= 500),
    retryAfter: seconds(response?.headers.get("retry-after")),
    requestId: own?.request_id ?? response?.headers.get("x-request-id") ?? null,
  });
}

/** @param {string | null | undefined} header a number, or a date if a gateway sends it */
function seconds(header) {
  if (!header) return null;
  const found = Number.isNaN(Number(header)) ? (Date.parse(header) - Date.now()) / 1000 : Number(header);
  return Number.isFinite(found) ? Math.max(0, found) : null;
}

/** @param {unknown} error @returns {import("./wpp-client.js").WppRetrying} */
function retrying(error) {
  if (error instanceof WppError && error.retryable) return { status: "retrying", error };
  throw error;
}

/** @param {import("./wpp-client.js").WppState | import("./wpp-client.js").WppRetrying} state @param {number} failures in a row */
function untilNext(state, failures, /** @type {number} */ interval) {
  if (state.status === "retrying") {
    const askedFor = Math.min((state.error.retryAfter ?? 0) * 1000, LONGEST_ASKED_FOR);
    return Math.max(askedFor, interval, Math.min(interval * 2 ** (failures - 1), LONGEST));
  }
  return state.status === "connected" || state.status === "disconnected" ? Math.max(interval, SETTLED) : interval;
}

/** @param {number} milliseconds @param {AbortSignal} [signal] @returns {Promise<void>} */
const pause = (milliseconds, signal) =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => (clearTimeout(timer), reject(signal?.reason));
    const timer = setTimeout(() => (signal?.removeEventListener("abort", abort), resolve()), milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });

// Not randomUUID: browsers have that only on https pages.
const randomKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @returns {import("./wpp-client.js").WppStorage} the tab's; in memory where there is none, or the browser forbids it */
function tabStorage() {
  try {
    if (globalThis.sessionStorage) return globalThis.sessionStorage;
  } catch { /* forbidden */ }
  const kept = /** @type {Map<string, string>} */ (new Map());
  const getItem = (/** @type {string} */ name) => kept.get(name) ?? null;
  return { getItem, setItem: (name, value) => void kept.set(name, value), removeItem: (name) => void kept.delete(name) };
}

/**
 * In memory instead where the storage is full or breaks: the same number is then only not found again after a reload.
 * @param {import("./wpp-client.js").WppStorage} storage @returns {import("./wpp-client.js").WppStorage}
 */
function forgiving(storage) {
  const kept = /** @type {Map<string, string>} */ (new Map());
  return {
    getItem(name) {
      try {
        return kept.get(name) ?? storage.getItem(name);
      } catch {
        return null;
      }
    },
    setItem(name, value) {
      kept.delete(name);
      try {
        storage.setItem(name, value);
      } catch {
        kept.set(name, value);
      }
    },
    removeItem(name) {
      kept.delete(name);
      try {
        storage.removeItem(name);
      } catch { /* then it is not there either */ }
    },
  };
}
