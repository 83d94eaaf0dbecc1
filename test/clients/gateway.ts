import { inject } from "vitest";
import type { RhoneRequest } from "../../src/surfaces/rhone.ts";

/** The served gateway of `setup.ts`. */
export const { baseUrl, key } = inject("gateway");

/** The object of ours in an answer, as far as clients look at it. */
export type Rhone = {
  session_id: string;
  turn_id: string;
  call_id: string;
  run_id: string;
  context: { mode: "stateful" | "stateless"; turns: number };
  routing: { model: string; provider: string; attempts: number };
};

/** And in a request. */
export type { RhoneRequest };
