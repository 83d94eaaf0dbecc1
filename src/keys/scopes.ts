/** What a key may be allowed to do. A scope that writes does not read. */
export const SCOPES = [
  /** To call models, on every surface, and to list them. */
  "inference",
  /** Sessions, stored responses and conversations, calls, runs and their streams. */
  "sessions:read",
  "sessions:write",
  "keys:read",
  "keys:write",
  /** One's own organisation: its budgets and those of its tags. */
  "organization:read",
  "organization:write",
  /** The organisation's own credentials of providers. They can be set and removed, never read. */
  "credentials:write",
] as const;

export type Scope = (typeof SCOPES)[number];
