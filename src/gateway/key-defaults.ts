import type { RequestText } from "../surfaces/request.ts";
import type { Caller } from "./call/call.ts";

/** The request as if its caller had said what the key has for those who say nothing. What the caller says wins, member by member. */
export function withKeyDefaults<T extends RequestText>(
  opened: T,
  { policy }: Caller,
  outside: { model?: string } = {},
): T {
  const { defaults } = policy ?? {};
  if (defaults === undefined || Object.keys(defaults).length === 0) return opened;
  const { rhone, members } = opened;
  const { model, ...routing } = defaults.routing ?? {};
  const namesModel = outside.model !== undefined || members.some(({ key }) => key === "model");
  const wished = { ...routing, ...(!namesModel && model !== undefined && { model }), ...rhone.routing };
  return { ...opened, rhone: { ...defaults, ...rhone, ...(Object.keys(wished).length > 0 && { routing: wished }) } };
}
