import type { Grant, GrantRequest, LedgerRefusal, RateState } from "../../../src/keys/budget/grant.ts";
import type { UsageReport } from "../../../src/keys/budget/wait-queue.ts";
import type { HarnessPage, StoredHarness } from "../../../src/keys/harnesses.ts";
import type { AuthenticatedKey } from "../../../src/keys/key-cache.ts";
import type { Actor, KeyState, NewKey } from "../../../src/keys/key.ts";
import type { Credential, OrganizationState } from "../../../src/keys/organization.ts";
import type { Webhook } from "../../../src/keys/webhooks.ts";
import type { Harness } from "../../../src/runs/state/harness.ts";
import type { McpServer } from "../../../src/runs/state/server.ts";
import type { Members } from "./member.ts";

/** What keys, budgets and organisations store and send. */
export const KEYS = {
  key: {
    id: true,
    org: true,
    policy: true,
    payers: true,
    createdBy: true,
    createdAt: true,
    revokedAt: true,
    hint: true,
    graceUntil: true,
  } satisfies Members<KeyState>,
  newKey: {
    id: true,
    org: true,
    policy: true,
    payers: true,
    createdBy: true,
    digest: true,
    hint: true,
  } satisfies Members<NewKey>,
  actor: { keyId: true, policy: true } satisfies Members<Actor>,
  admitted: { keyId: true, org: true, policy: true, payers: true, expiresAt: true } satisfies Members<AuthenticatedKey>,
  request: { micros: true, tokens: true, calls: true, least: true, isUnpriced: true } satisfies Members<GrantRequest>,
  grant: { id: true, calls: true, micros: true, tokens: true, expiresAt: true, rates: true } satisfies Members<Grant>,
  rate: { limit: true, remaining: true, resetAt: true } satisfies Members<RateState>,
  refused: { code: true, message: true, retryAfterSeconds: true, rates: true } satisfies Members<LedgerRefusal>,
  report: { settled: true, unused: true } satisfies Members<UsageReport>,
  settled: { grant: true, call: true, held: true, took: true } satisfies Members<UsageReport["settled"][number]>,
  unused: { grant: true, calls: true, micros: true, tokens: true } satisfies Members<UsageReport["unused"][number]>,
  organization: { id: true, policy: true, createdAt: true } satisfies Members<OrganizationState>,
  webhook: {
    id: true,
    url: true,
    events: true,
    status: true,
    sealed: true,
    previous: true,
    createdAt: true,
  } satisfies Members<Webhook>,
  previousSecret: { sealed: true, until: true } satisfies Members<NonNullable<Webhook["previous"]>>,
  harness: { name: true, version: true, body: true, createdAt: true } satisfies Members<StoredHarness>,
  harnessBody: {
    name: true,
    description: true,
    model: true,
    routing: true,
    instructions: true,
    servers: true,
    tools: true,
    policy: true,
    effects: true,
    stop: true,
    output: true,
    limits: true,
    assessment: true,
    unattended: true,
  } satisfies Members<Harness>,
  harnessServer: { url: true, headers: true, auth: true, trust_annotations: true } satisfies Members<McpServer>,
  harnessPage: { found: true, hasMore: true } satisfies Members<HarnessPage>,
  credential: { provider: true, sealed: true, hint: true, setAt: true } satisfies Members<Credential>,
};
