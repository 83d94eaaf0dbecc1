import { fetchBounded, type OutboundNetwork } from "../../outbound/bounded-fetch.ts";
import { signWebhook } from "../../outbound/signature.ts";
import { decodeUtf8 } from "../../wire/bytes.ts";
import type { ToolOutput } from "./native-tools.ts";
import { MAX_RESULT_BYTES } from "./shown-result.ts";

/** `secret`: signs the requests. */
export type HttpTool = { url: string; headers: Record<string, string>; secret: string | undefined };

/** An execution as its tool sees it. `args`: JSON text, as the model wrote it. */
export type HttpExecution = { id: string; run: string; session: string; name: string; args: string };

/**
 * Has a webhook execute a call: a POST with its arguments, byte for byte. Its id is also the idempotency key, so that a receiver can
 * tell a repetition. Any answer is the result: an error from status 300 on. Throws as `fetchBounded`.
 */
export async function callWebhook(
  { url, headers, secret }: HttpTool,
  execution: HttpExecution,
  { network, signal, now }: { network: OutboundNetwork; signal: AbortSignal; now: number },
): Promise<ToolOutput> {
  const { id, run, session, name, args } = execution;
  const facts = JSON.stringify({ execution_id: id, run_id: run, session_id: session, name });
  const timestamp = new Date(now).toISOString();
  const body = `{"type":"tool.call","timestamp":"${timestamp}","data":${facts.slice(0, -1)},"arguments":${args.trim() || "{}"}}}`;
  const answer = await fetchBounded(
    url,
    {
      method: "POST",
      headers: {
        ...headers,
        "content-type": "application/json",
        "idempotency-key": id,
        ...signWebhook({ id, at: now, body }, secret === undefined ? [] : [secret]),
      },
      body,
      maxBytes: MAX_RESULT_BYTES,
      signal,
    },
    network,
  );
  const text =
    decodeUtf8(answer.body) + (answer.isCut ? `\n\n[… the answer is longer than ${MAX_RESULT_BYTES} bytes …]` : "");
  const { status } = answer;
  if (status < 300) return { text, isError: false };
  const isPassing = status === 429 || status >= 500;
  return { text: text.trim() === "" ? `The tool answered with status ${status}.` : text, isError: true, isPassing };
}
