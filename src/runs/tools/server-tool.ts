import { McpError } from "../../mcp/mcp-error.ts";
import type { McpMedia, McpOutcome } from "../../mcp/messages.ts";
import { OutboundError } from "../../outbound/bounded-fetch.ts";
import type { ToolOutput } from "./native-tools.ts";

/** A call that its server goes on with later: once people have answered, or as a task. */
export type PendingCall = Exclude<McpOutcome, { kind: "result" }>;

/** What a server gives the model. */
export type ServerOutput = ToolOutput & { media: readonly McpMedia[] };

/** A call's outcome as other tools have it: an error of the server is one that the model reads. Throws as `call` otherwise. */
export async function toServerOutput(call: Promise<McpOutcome>): Promise<ServerOutput | PendingCall> {
  try {
    const outcome = await call;
    if (outcome.kind !== "result") return outcome;
    const { kind: _, ...output } = outcome;
    return output;
  } catch (thrown) {
    if (!(thrown instanceof McpError)) throw thrown;
    const { code, status = 200, message } = thrown;
    // Without an error of the protocol, a failing server does not say what became of the call.
    if (code === undefined && status >= 500) throw new OutboundError(message, { isSent: true, cause: thrown });
    const isUnreadable = code === undefined && status === 200;
    const text = isUnreadable ? `The tool has run, but ${message}` : `The call has failed: ${message}`;
    return { text, isError: true, media: [], ...(status === 429 && { isPassing: true }) };
  }
}
