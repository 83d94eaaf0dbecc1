import { GatewayError, invalid } from "../../canonical/error.ts";
import type { ClientCredentials } from "../../mcp/client-credentials.ts";
import { INVALID_PARAMS, McpError } from "../../mcp/mcp-error.ts";
import type { McpAnswer, McpEndpoint, McpOutcome, McpProgress, McpQuestion, McpTool } from "../../mcp/messages.ts";
import type { McpSession } from "../../mcp/session.ts";
import { OutboundError, type OutboundNetwork } from "../../outbound/bounded-fetch.ts";
import { UrlRefusal } from "../../outbound/public-url.ts";
import { sha256 } from "../../wire/hash.ts";
import type { Execution } from "../state/run.ts";
import type { McpServer } from "../state/server.ts";
import type { McpRunTool } from "../state/tool.ts";
import { openCredentials, openHeaders, type SecretFinder } from "./tool-secrets.ts";

/** How long a server may take to list its tools. Milliseconds. */
const LIST_MS = 20_000;

/** Lists of tools in memory, as JSON; beyond it they are cleared. Characters. */
const MAX_LISTED = 8 * 1024 * 1024;

type ToolList = { tools: readonly McpTool[]; until: number; length: number };

/** By organisation and endpoint, credentials included: a server may list other tools to others. */
const LISTS = new Map<string, ToolList>();

/** Whose server is called, and until when. */
export type ServerAt = { server: McpServer; org: string; signal: AbortSignal };

/** The call of a tool was lost: its task is none that the server knows. */
export class LostTask extends OutboundError {
  constructor(cause: unknown) {
    super("the server does not know the task", { isSent: true, cause });
  }
}

type Client = (typeof import("../../mcp/client.ts"))["mcpClient"];

/** The servers of a session's runs, with the connections that its object has to them. */
export class McpServers {
  readonly #network: OutboundNetwork;
  readonly #findSecret: SecretFinder;
  readonly #sessions = new Map<string, McpSession>();

  constructor(network: OutboundNetwork, findSecret: SecretFinder) {
    this.#network = network;
    this.#findSecret = findSecret;
  }

  /** The tools of a server, for a run that names it at `at`. Throws `request.invalid`, `provider.unavailable`. */
  async listForRun(server: McpServer, org: string, at: string): Promise<readonly McpTool[]> {
    const signal = AbortSignal.timeout(LIST_MS);
    try {
      return await this.#list({ server, org, signal });
    } catch (thrown) {
      if (thrown instanceof UrlRefusal) throw invalid(`${at}.url`, thrown.message);
      const isKnown = thrown instanceof McpError || thrown instanceof OutboundError;
      if (!isKnown && !signal.aborted) throw thrown;
      const why = isKnown ? thrown.message : `it has not answered within ${LIST_MS / 1000} s`;
      throw new GatewayError("provider.unavailable", `${at}: the server has not listed its tools: ${why}`, {
        cause: thrown,
      });
    }
  }

  async #list(at: ServerAt): Promise<readonly McpTool[]> {
    const { session, key, client } = await this.#connect(at);
    const known = LISTS.get(key);
    if (known !== undefined && known.until > Date.now()) return known.tools;
    const { tools, ttlMs } = await client.listTools(session, at);
    const length = JSON.stringify(tools).length;
    LISTS.delete(key);
    if ([...LISTS.values()].reduce((sum, list) => sum + list.length, length) > MAX_LISTED) LISTS.clear();
    LISTS.set(key, { tools, until: Date.now() + ttlMs, length });
    return tools;
  }

  /**
   * Calls a tool, if its server still describes it as when the run started. Throws `McpError`, `OutboundError`, `UrlRefusal`, and the signal's
   * reason.
   */
  async call(
    tool: McpRunTool,
    { execution: { id, handle }, args }: { execution: Pick<Execution, "id" | "handle">; args: string },
    {
      server,
      org,
      ...during
    }: ServerAt & {
      onProgress: (progress: McpProgress) => void;
      onQuestion: (question: McpQuestion, unneeded: AbortSignal) => Promise<McpAnswer>;
    },
  ): Promise<McpOutcome> {
    const at = { server, org, signal: during.signal };
    requireUnchanged(tool, await beforeSending(this.#list(at)));
    const { state, answers } = handle ?? {};
    const isAgain = state !== undefined || answers !== undefined;
    const answered = isAgain && { ...(state !== undefined && { state }), answers: answers ?? {} };
    const call = { name: tool.tool, args, schema: tool.parameters, id, ...(answered && { answered }) };
    const { session, client } = await this.#connect(at);
    return await client.callTool(session, call, during);
  }

  /** The outcome of a task, after it was given `answers`. Throws `LostTask`, and as `call`. */
  async getTask(id: string, answers: Record<string, McpAnswer> | undefined, at: ServerAt): Promise<McpOutcome> {
    const { session, client } = await this.#connect(at);
    try {
      if (answers !== undefined) await client.updateTask(session, { id, answers }, at);
      return await client.getTask(session, id, at);
    } catch (thrown) {
      // How a server refuses the id of a task that it does not know.
      throw thrown instanceof McpError && thrown.code === INVALID_PARAMS ? new LostTask(thrown) : thrown;
    }
  }

  /** Asks the server to end a task. Never rejects: it may be gone. */
  async cancelTask(id: string, at: ServerAt): Promise<void> {
    try {
      const { session, client } = await this.#connect(at);
      await client.cancelTask(session, id, at);
    } catch {}
  }

  /** The connection to a server, which is opened by its first request. Throws `UrlRefusal`. */
  async #connect({ server, org }: ServerAt): Promise<{ session: McpSession; key: string; client: Client }> {
    const opening = { url: server.url, org, findSecret: this.#findSecret };
    const { secret } = server.auth ?? {};
    const bearer = secret === undefined ? {} : { authorization: { secret, prefix: "Bearer " } };
    const endpoint = { url: server.url, headers: await openHeaders({ ...server.headers, ...bearer }, opening) };
    const credentials = await openCredentials(server, opening);
    const key = sha256(JSON.stringify([org, endpoint, credentials]));
    const { mcpClient: client } = await import("../../mcp/client.ts");
    const session = this.#sessions.get(key) ?? this.#createSession(endpoint, credentials, client);
    this.#sessions.set(key, session);
    return { session, key, client };
  }

  #createSession(
    endpoint: McpEndpoint,
    credentials: ClientCredentials | undefined,
    { createAuthorization, createMcpSession }: Client,
  ): McpSession {
    const network = this.#network;
    if (credentials === undefined) return createMcpSession(endpoint, { network });
    const authorization = createAuthorization(credentials, { url: endpoint.url, network, now: Date.now });
    return createMcpSession(endpoint, { network, authorization });
  }
}

/** As `work`, with errors that say that the call has not left yet. */
async function beforeSending<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    if (!(thrown instanceof OutboundError)) throw thrown;
    throw new OutboundError(thrown.message, { isSent: false, cause: thrown });
  }
}

/** A tool that has changed is another one than the model was shown, and than a person has approved. Throws `McpError`. */
function requireUnchanged(tool: McpRunTool, listed: readonly McpTool[]): void {
  const now = listed.find(({ name }) => name === tool.tool);
  if (now === undefined) throw new McpError("the server no longer has the tool; it was not called");
  const isSame =
    now.description === tool.description &&
    JSON.stringify(now.inputSchema) === JSON.stringify(tool.parameters) &&
    (tool.annotations === undefined || JSON.stringify(now.annotations) === JSON.stringify(tool.annotations));
  if (!isSame) throw new McpError("the server has changed the tool since the run started; it was not called");
}
