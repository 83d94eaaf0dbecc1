import { McpError } from "../../mcp/mcp-error.ts";
import type { McpMedia, McpOutcome } from "../../mcp/messages.ts";
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
    return { text: `The call has failed: ${thrown.message}`, isError: true, media: [] };
  }
}
