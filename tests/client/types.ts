// Checked by tsc, never run: how a page uses the client, and what the types must refuse.
import { FunctionsClient } from "@supabase/functions-js";
import { createClient } from "@supabase/supabase-js";
import { createWppClient, WppError, type WppState } from "../../functions/wpp-client.js";

const supabase = createClient("https://project.example.org", "key");
const wpp = createWppClient(supabase);
createWppClient({ functions: new FunctionsClient("https://example.org/functions/v1") }, { storage: sessionStorage });

async function page(signal: AbortSignal): Promise<string> {
  const { integrationId }: WppState = await wpp.connect();
  const further = await wpp.addNumber({ signal });
  for await (const state of wpp.watch(integrationId ?? undefined, { signal, keepWatching: true })) {
    if (state.status === "retrying") return `${state.error.code} ${state.error.retryAfter}`;
    if (state.status === "qr_issued") return state.qrcode ?? "";
    // @ts-expect-error there is no such status
    if (state.status === "starting") return "";
  }
  // @ts-expect-error the id is null for a number that does not exist
  await wpp.disconnect(further.integrationId);
  // @ts-expect-error an option that does not exist
  wpp.watch("id", { every: 5 });
  // @ts-expect-error a client of something else
  createWppClient({ rpc: () => null });
  return new WppError("", { code: null, status: 0, retryable: true, retryAfter: null, requestId: null }).message;
}
void page;
