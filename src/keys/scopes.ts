/** Permissions of a key. A scope for writing does not include reading. */
export const SCOPES = [
  /** Call models on every surface, and list them. */
  "inference",
  /** Sessions, stored responses and conversations, calls, runs and their streams. */
  "sessions:read",
  "sessions:write",
  "keys:read",
  "keys:write",
  /** The key's own organisation: its budgets and those of its tags. */
  "organization:read",
  "organization:write",
  /** The organisation's credentials for providers. They can be set and removed, never read. */
  "credentials:write",
  /** What the shield has decided, and its profiles. */
  "safety:read",
  "safety:write",
] as const;

export type Scope = (typeof SCOPES)[number];
