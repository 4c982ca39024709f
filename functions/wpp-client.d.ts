/** What a number is doing. The field `status` tells which of the others are there. */
export interface WppState {
  status: "connected" | "qr_issued" | "qr_pending" | "disconnected";
  /** With `qr_issued`: pairing text to draw as a QR code, or a `data:` picture. It changes about every 20 seconds. */
  qrcode: string | null;
  /** Names the number in every other call. */
  integrationId: string | null;
  session: string | null;
  /** A sentence on what is awaited or what to do, from `wpp-status`. */
  message: string | null;
  /** What went wrong without failing the call. */
  warnings: string[];
}

/** A look failed in a way that may pass; `watch` goes on. What was shown before may be outdated. */
export interface WppRetrying {
  status: "retrying";
  error: WppError;
}

export interface WppErrorDetails {
  /** The functions' own code, such as `platform_timeout`; null if somebody else answered, or nobody. */
  code: string | null;
  /** The HTTP status, 0 if there was no answer. */
  status: number;
  /** Whether the same call can succeed later without anybody mending something. */
  retryable: boolean;
  /** Seconds to wait, if the answer says so. */
  retryAfter: number | null;
  /** What the operator finds the call by, in the log. */
  requestId: string | null;
}

export class WppError extends Error implements WppErrorDetails {
  constructor(message: string, details: WppErrorDetails);
  code: string | null;
  status: number;
  retryable: boolean;
  retryAfter: number | null;
  requestId: string | null;
}

/** `sessionStorage`, or anything like it. */
export interface WppStorage {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}

/** A supabase-js client; or `{ functions }` with a FunctionsClient, if the functions are at another address. */
export interface WppSupabase {
  functions: {
    invoke(
      name: string,
      options: { body: object; headers?: Record<string, string>; signal?: AbortSignal },
    ): Promise<{ data: any; error: any }>;
  };
}

export interface WppCallOptions {
  signal?: AbortSignal;
}

export interface WppWatchOptions extends WppCallOptions {
  /** Milliseconds between two looks while a QR is awaited or shown; default 2000. */
  interval?: number;
  /** Whether to go on once the number is connected, to notice that it is unlinked; default false. */
  keepWatching?: boolean;
}

/** Without an `integrationId` a call means the primary number. Each rejects with a WppError, or with the signal's reason. */
export interface WppClient {
  /** For a click: creates the number if it does not exist, and starts its session if that does not run. */
  connect(integrationId?: string, options?: WppCallOptions): Promise<WppState>;
  /** One look. It creates and starts nothing. */
  status(integrationId?: string, options?: WppCallOptions): Promise<WppState>;
  /** Looks until the number is connected. Throws what a retry cannot mend. A disconnected number stays so until `connect`. */
  watch(integrationId?: string, options?: WppWatchOptions): AsyncGenerator<WppState | WppRetrying, void, undefined>;
  /**
   * For a click: a further number; the same one until it is connected, or given up by `disconnect` or `giveUp`. If it was connected
   * unseen, as in another tab, the answer is `connected` once more, and the next click adds one. Its key is in the tab's storage: a
   * number whose tab is closed before the scan is found again by its id alone.
   */
  addNumber(options?: WppCallOptions): Promise<WppState>;
  /** The next `addNumber` adds another number, although this one was not connected. Also for when the user signs out. */
  giveUp(): void;
  /** Stops the session and unlinks the phone. `connect` with the same id connects the number again. */
  disconnect(integrationId?: string, options?: WppCallOptions): Promise<WppState>;
}

export function createWppClient(supabase: WppSupabase, options?: { storage?: WppStorage }): WppClient;
