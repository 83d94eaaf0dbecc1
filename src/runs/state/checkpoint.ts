import { sha256 } from "../../wire/hash.ts";
import { newId } from "../../wire/id.ts";
import type { RunDefinition } from "./definition.ts";
import type { Execution, Run, RunCheckpoint } from "./run.ts";
import type { RunTool } from "./tool.ts";

/** How long a person may take to decide where the policy does not say it. Milliseconds. */
const EXPIRY_MS = {
  approval: 86_400_000,
  input: 86_400_000,
  unknown: 30 * 86_400_000,
  limit: 86_400_000,
  safety: 86_400_000,
} as const;

/** What a checkpoint is about. `bound`: all that must be the same when it is decided. */
type NewCheckpoint = Pick<RunCheckpoint, "kind"> &
  Partial<Pick<RunCheckpoint, "approver" | "execution" | "question" | "safety">> & {
    bound: Omit<RunCheckpoint["bound"], "keyId">;
    expiresSeconds?: number;
  };

/** A new checkpoint of a run. */
export const openCheckpoint = (
  { id, keyId }: Run,
  { expiresSeconds, bound, ...members }: NewCheckpoint,
  { now, objectId }: { now: number; objectId: string },
): RunCheckpoint => ({
  id: newId("ckpt", now, objectId),
  run: id,
  revision: 0,
  status: "open",
  approver: "any",
  ...members,
  bound: { keyId, ...bound },
  createdAt: now,
  expiresAt: now + (expiresSeconds === undefined ? EXPIRY_MS[members.kind] : expiresSeconds * 1000),
});

/** The call that a decision is about, to be made as it was when the checkpoint was opened. */
export const toExecutionBinding = (
  { id, name, definition, digest }: Execution,
  { policy }: Pick<RunDefinition, "policy">,
): Pick<NewCheckpoint, "execution" | "bound"> => ({
  execution: id,
  bound: { tool: name, definition, digest, policy: digestPolicy(policy) },
});

/** Whether an execution, its tool and the policy are, byte for byte, those of a checkpoint. */
export const isBound = (
  { args, digest }: Execution,
  { tool, policy }: { tool: RunTool; policy: RunDefinition["policy"] },
  bound: RunCheckpoint["bound"],
): boolean =>
  digestTool(tool) === bound.definition &&
  // A checkpoint of an earlier version has none.
  (bound.policy ?? digestPolicy(policy)) === digestPolicy(policy) &&
  digest === bound.digest &&
  sha256(args) === bound.digest;

export const digestTool = (tool: RunTool): string => sha256(JSON.stringify(tool));

const digestPolicy = (policy: RunDefinition["policy"]): string => sha256(JSON.stringify(policy));
