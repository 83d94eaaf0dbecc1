import type { ModelServices, ObjectLifetime, SessionState } from "../gateway/session/services.ts";
import { screenResult } from "../gateway/shield/screen-text.ts";
import { authenticateSocket } from "../platform/socket-auth.ts";
import { toolNetworkFor } from "../platform/tool-network.ts";
import { findToolSecret } from "../platform/tool-secrets.ts";
import type { RunDefinition } from "../runs/definition.ts";
import { RunEvents } from "../runs/run-events.ts";
import { RunStore } from "../runs/run-store.ts";
import { toApiCheckpoint } from "../runs/run-views.ts";
import type { Run } from "../runs/run.ts";
import type { RunServices } from "../runs/services.ts";
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
  buffer: EventBuffer;
  env: Cloudflare.Env;
  definitionOf: (run: Run) => RunDefinition;
};

const NO_HEADERS = new Headers();

/** Composes what runs need: rows, events, models, tools, their keys and their shields. */
export function runServicesFor({ storage, state, models, lifetime, buffer, env, definitionOf }: RunParts): RunServices {
  const { session, shield } = state;
  const { waitUntil } = lifetime;
  const store = new RunStore(storage, () => ({ org: session.row.org, sessionId: session.row.id }));
  const events = new RunEvents(buffer, waitUntil);
  const restore: RunServices["restore"] = ({ args, step }, run, viewer = run) => {
    const call = store.listOf("step", run.id).find(({ n }) => n === step)?.call;
    return call === undefined ? args : shield.restore(args, call, viewer);
  };
  return {
    store,
    events,
    state,
    models,
    lifetime,
    network: toolNetworkFor(env),
    findSecret: (org, name) => findToolSecret(env, org, name, waitUntil),
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
      return screened;
    },
    announce: (run, checkpoint) => {
      const execution = checkpoint.execution === undefined ? undefined : store.find("execution", checkpoint.execution);
      const about = execution && { call: execution.call, args: restore(execution, run) };
      events.emit(run, { type: "checkpoint.created", checkpoint: toApiCheckpoint(checkpoint, about) });
    },
  };
}
