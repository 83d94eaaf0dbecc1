import type { Message, Opaque, Tool } from "../canonical/types.ts";
import type { Json, JsonObject } from "../wire/json.ts";

/**
 * A server of the Model Context Protocol that a request names as a tool. `at`: the member that does. `url`: absent if it is named by
 * its label only. `only`: the tools of the server that may be called. `approvals`: which calls need an approval, or are
 * not made, by patterns of the tools' names, of which the first that matches decides; `isDefault`: the request says nothing about them.
 */
export type NamedServer = {
  label: string;
  at: string;
  url?: string;
  headers: Record<string, string>;
  only?: string[];
  approvals: { tool: string; do: "allow" | "ask" | "deny" }[];
  isDefault?: true;
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
  tools: { name: string; description?: string; parameters: JsonObject; isReadOnly: boolean }[];
};

/** A client's decision about a call that has waited for it. `id`: of the request for the approval. */
export type ClientDecision = { id: string; approves: boolean; reason?: string };

/** How a wire names servers of the Model Context Protocol, and shows the calls of their tools. */
export interface ServerTools {
  readonly naming?: ServerNaming;
  readonly lists?: ToolLists;
  readonly calls: {
    /** Of the ids of calls. */
    readonly prefix: string;
    /** Whether the client of a request wants to see calls of servers that it does not name. */
    areShown(body: JsonObject, headers: Headers): boolean;
    show(call: ServerCall): Opaque[];
  };
  readonly approvals?: ClientApprovals;
  /** Whether the text of a request may have items of these that are for the gateway only. */
  mayHaveOwn?(text: string): boolean;
}

/** Requests name servers. */
type ServerNaming = {
  /** The members of a request's body that do. */
  readonly members: readonly string[];
  find(members: JsonObject): FoundServer[];
  /** Throws `request.invalid`, naming the field. */
  read(found: FoundServer): NamedServer;
  /** Whether a tool of a request stands for servers with these labels. */
  isServer(tool: Tool, labels: readonly string[]): boolean;
  /** The servers, and perhaps the tools of them, that the model has to call, or that a choice is among. */
  readChoices?(choice: Json | undefined): { server: string; tool?: string }[];
};

/** Answers start with the tools of the servers that the request names. */
type ToolLists = {
  readonly prefix: string;
  show(list: ServerToolList): Opaque[];
  /** The labels of the servers whose tools are listed among messages. */
  find(messages: readonly Message[]): string[];
};

/** Clients approve calls. */
type ClientApprovals = {
  readonly prefix: string;
  show(approval: ServerApproval): Opaque[];
  /** Whether the text of a request may have decisions. */
  readonly mayDecide: RegExp;
  read(messages: readonly Message[]): ClientDecision[];
};
