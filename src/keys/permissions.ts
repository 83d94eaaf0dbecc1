import { GatewayError } from "../canonical/error.ts";
import type { Caller } from "./caller.ts";
import { coversModel, type SurfaceName } from "./policy.ts";
import type { Scope } from "./scopes.ts";

/** Throws `auth.forbidden` if the caller's key has not the scope. The bootstrap key has all. */
export function requireScope({ policy }: Caller, scope: Scope): void {
  if (policy === undefined || policy.scopes.includes(scope)) return;
  throw new GatewayError("auth.forbidden", `the key has no scope ${scope}`);
}

/** Throws `auth.forbidden`. Surfaces below `images.` and `audio.` are allowed as one. */
export function requireSurface({ policy }: Caller, surface: string): void {
  const allowed = policy?.allowed_surfaces;
  const name = (
    surface.startsWith("images.") || surface.startsWith("audio.") ? surface.split(".")[0] : surface
  ) as SurfaceName;
  if (allowed === undefined || allowed.includes(name)) return;
  throw new GatewayError("auth.forbidden", `the key may not use the surface ${name}`);
}

/** Whether the key may use this target: a pattern may match the requested name, the provider's model name, or `provider/model`. */
export function allowsModel(
  { policy }: Caller,
  requested: string,
  { provider, model }: { provider: { id: string }; model: string },
): boolean {
  const allowed = policy?.allowed_models;
  if (allowed === undefined) return true;
  const names = [requested, model, `${provider.id}/${model}`];
  return allowed.some((pattern) => names.some((name) => coversModel(pattern, name)));
}

/** Throws `model.not_allowed` unless `allowsModel`. */
export function requireModel(caller: Caller, requested: string, target: Parameters<typeof allowsModel>[2]): void {
  if (allowsModel(caller, requested, target)) return;
  throw new GatewayError("model.not_allowed", `model: the key may not use ${requested.slice(0, 200)}`, {
    param: "model",
  });
}
