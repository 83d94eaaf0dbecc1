/** Permissions of a key. A scope for writing does not include reading. */
export const SCOPES = [
  /** Call models on every surface, and list them. */
  "inference",
  /** Sessions, stored responses and conversations, calls, runs and their streams. */
  "sessions:read",
  "sessions:write",
  /** Runs: their start and end, results of tools; decisions at their checkpoints. */
  "runs:read",
  "runs:write",
  "runs:approve",
  /** MCP servers that a request names by their URL. */
  "tools:remote",
  /** What runs have in common that are made with a harness. */
  "harnesses:read",
  "harnesses:write",
  "keys:read",
  "keys:write",
  /** The key's own organisation: its budgets and those of its tags. */
  "organization:read",
  "organization:write",
  /** The organisation's credentials for providers. They can be set and removed, never read. */
  "credentials:write",
  /** Secrets of its tools, likewise. */
  "secrets:write",
  /** What the shield has decided, and its profiles. */
  "safety:read",
  "safety:write",
] as const;

export type Scope = (typeof SCOPES)[number];

/** Raised with scopes that are added, where a key could do before what they allow. */
export const SCOPE_SET = 1;

/** Scopes that a key has by others, if these were given before: what it could do, it can do still. */
const BY_OTHERS: readonly { since: number; scope: Scope; by: readonly Scope[] }[] = [
  { since: 1, scope: "runs:read", by: ["sessions:read"] },
  { since: 1, scope: "runs:write", by: ["inference", "sessions:read", "sessions:write"] },
];

/** The scopes of a key whose list was made of the scopes of the set `known`. */
export const withLaterScopes = (scopes: readonly Scope[], known: number): Scope[] => [
  ...scopes,
  ...BY_OTHERS.filter(
    ({ since, scope, by }) => since > known && !scopes.includes(scope) && by.every((one) => scopes.includes(one)),
  ).map(({ scope }) => scope),
];
