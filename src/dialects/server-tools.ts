import type { Message, Opaque, Tool } from "../canonical/types.ts";
import type { Json, JsonObject } from "../wire/json.ts";

/**
 * A server of the Model Context Protocol that a request names as a tool. `at`: the member that does. `url`: absent if it is named by
 * its label only. `only`: the tools of the server that may be called. `approvals`: which calls need an approval, by patterns of
 * the tools' names, of which the first that matches decides.
 */
export type NamedServer = {
  label: string;
  at: string;
  url?: string;
  headers: Record<string, string>;
  only?: string[];
  approvals: { tool: string; do: "allow" | "ask" }[];
};

/** A server as a request has it at `at`. `isLabelled`: it is named by its label only. */
export type FoundServer = { at: string; isLabelled: boolean; given: JsonObject };

/** A call that was made of a server's tool. `approval`: the id of the request with which its client has approved it. */
export type ServerCall = {
  id: string;
  server: string;
  tool: string;
  arguments: string;
  text: string;
  isError: boolean;
  approval?: string;
};

/** A call that waits for the client's approval. */
export type ServerApproval = Pick<ServerCall, "id" | "server" | "tool" | "arguments">;

/** What a server lets the model call. `id`: of the list in the answer. */
export type ServerToolList = {
  id: string;
  server: string;
  tools: { name: string; description?: string; parameters: JsonObject }[];
};

/** A client's decision about a call that has waited for it. `id`: of the request for the approval. */
export type ClientDecision = { id: string; approves: boolean; reason?: string };

/** How a wire names servers of the Model Context Protocol, and shows the calls of their tools. */
export interface ServerTools {
  /** The members of a request's body that name servers. */
  readonly members: readonly string[];
  /** The servers that these members name. */
  findServers(members: JsonObject): FoundServer[];
  /** Throws `request.invalid`, naming the field. */
  readServer(found: FoundServer): NamedServer;
  /** The label of the server that a tool of a request stands for. */
  labelOf(tool: Tool): string | undefined;
  /** The server, and perhaps the tool of it, that the model has to call. */
  readChoice(choice: Json | undefined): { server: string; tool?: string } | undefined;
  /** The labels of the servers whose tools are listed among messages. */
  findListed(messages: readonly Message[]): string[];
  /** Whether the text of a request may have decisions. */
  readonly mayDecide: RegExp;
  readDecisions(messages: readonly Message[]): ClientDecision[];
  /** The prefixes of the ids of what is shown. */
  readonly prefixes: Record<"list" | "call" | "approval", string>;
  showList(list: ServerToolList): Opaque[];
  showCall(call: ServerCall): Opaque[];
  showApproval(approval: ServerApproval): Opaque[];
}
