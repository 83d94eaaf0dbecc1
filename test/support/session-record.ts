import type { SessionRecord } from "../../src/store/sessions.ts";

/** A record of one session, of its revision. */
export const sessionRecord = (revision: number): SessionRecord => ({
  object: "session",
  id: "sess_order",
  org: "org_default",
  status: "active",
  turns: revision,
  metadata: {},
  revision,
  createdAt: 1,
  updatedAt: revision,
});
