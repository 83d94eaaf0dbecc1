import type { ModelServices, ObjectLifetime, SessionState } from "../gateway/session/services.ts";
import type { AnswerIndex } from "../gateway/session/stored-answers.ts";
import { screenResult } from "../gateway/shield/screen-text.ts";
import { findDefaultHarness, findHarness } from "../platform/harnesses.ts";
import { findToolSecret, subscribersIn } from "../platform/org-secrets.ts";
import { outboundNetworkFor } from "../platform/outbound-network.ts";
import { authenticateSocket } from "../platform/socket-auth.ts";
import { Notifier } from "../runs/notifier.ts";
import { RunEvents } from "../runs/run-events.ts";
import { toApiCheckpoint } from "../runs/run-views.ts";
import { LiveQuestions } from "../runs/servers/live-questions.ts";
import { McpServers } from "../runs/servers/mcp-servers.ts";
import type { RunServices } from "../runs/services.ts";
import type { RunDefinition } from "../runs/state/definition.ts";
import { RunStore } from "../runs/state/run-store.ts";
import type { Run } from "../runs/state/run.ts";
import { storeLong } from "../runs/tools/shown-result.ts";
import type { EventBuffer } from "../session/stream/event-buffer.ts";
import type { Storage } from "../store/sql.ts";
import { SURFACES } from "../surfaces/index.ts";
import { readMembers } from "../surfaces/request.ts";

/** What the runs of a session use of its object. */
type RunParts = {
  storage: Storage;
  state: SessionState;
  models: ModelServices;
  lifetime: ObjectLifetime;
  index: AnswerIndex;
  buffer: EventBuffer;
  env: Cloudflare.Env;
  definitionOf: (run: Run) => RunDefinition;
  /** Sets the object's alarm. */
  schedule: (ms: number) => void;
};

const NO_HEADERS = new Headers();

/** How long a server may take to end a task. Milliseconds. */
const ABANDON_MS = 10_000;

/** Composes what runs need: rows, events, models, tools, their keys and their shields. */
export function runServicesFor(parts: RunParts): RunServices {
  const { storage, state, models, lifetime, index, buffer, env, definitionOf, schedule } = parts;
  const { session, shield } = state;
  const { waitUntil } = lifetime;
  const network = outboundNetworkFor(env);
  const store = new RunStore(storage, {
    owner: () => ({ org: session.row.org, sessionId: session.row.id }),
    subscribersOf: (type) => notifier.subscribersOf(type),
    now: lifetime.now,
  });
  const notifier = new Notifier(
    { store, network, lifetime, subscribers: subscribersIn(env, waitUntil), exists: () => session.exists },
    schedule,
  );
  const events = new RunEvents(buffer, waitUntil);
  const restore: RunServices["restore"] = ({ args, step }, run, viewer = run) => {
    const call = store.listOf("step", run.id).find(({ n }) => n === step)?.call;
    return call === undefined ? args : shield.restoreArguments(args, call, viewer);
  };
  const findSecret: RunServices["findSecret"] = (org, name) => findToolSecret(env, org, name, waitUntil);
  const servers = new McpServers(network, findSecret);
  return {
    store,
    notifier,
    events,
    state,
    models,
    lifetime,
    index,
    network,
    findSecret,
    findHarness: (org, id) => findHarness(env, org, id, waitUntil),
    findDefaultHarness: (caller) => findDefaultHarness(env, caller, waitUntil),
    servers,
    questions: new LiveQuestions(),
    abandon: ({ handle, name }, run) => {
      const { tools, servers: named = {} } = definitionOf(run);
      const tool = tools.find((one) => one.name === name);
      const server = tool?.type === "mcp" ? named[tool.server] : undefined;
      if (handle?.task === undefined || server === undefined) return;
      waitUntil(servers.cancelTask(handle.task, { server, org: run.org, signal: AbortSignal.timeout(ABANDON_MS) }));
    },
    authenticate: ({ org, keyId, address, sessionId }) =>
      authenticateSocket(
        { org, keyId, sessionId, isNew: false, isBound: true, ...(address !== undefined && { address }) },
        env,
        waitUntil,
      ),
    restore,
    screen: async (text, run, caller) => {
      const call = JSON.stringify(definitionOf(run).call);
      const { safety } = readMembers(call, NO_HEADERS, SURFACES.native).rhone;
      const callShield = await models.shield(caller, safety);
      const screened = screenResult(text, callShield);
      if (!screened.isDenied) callShield?.storeValues();
      return await storeLong(screened, state.blobs);
    },
    announce: (run, checkpoint) => {
      const execution = checkpoint.execution === undefined ? undefined : store.find("execution", checkpoint.execution);
      const about = execution && { call: execution.call, args: restore(execution, run) };
      events.emit(run, { type: "checkpoint.created", checkpoint: toApiCheckpoint(checkpoint, about) });
    },
  };
}
