import { GatewayError, invalid } from "../canonical/error.ts";
import type { AppliedProfile } from "../gateway/shield/applied-profile.ts";
import { CallShield } from "../gateway/shield/call-shield.ts";
import type { QueryJudge } from "../gateway/shield/judge.ts";
import type { PinnedProfile, SessionShield } from "../gateway/shield/session-shield.ts";
import type { Caller } from "../keys/caller.ts";
import type { OrganizationSafety } from "../keys/organization.ts";
import type { SafetyPolicy } from "../shield/policy.ts";
import {
  type CompiledProfile,
  compileProfile,
  DEFAULT_PROFILE,
  DEFAULT_PROFILE_ID,
  isAtLeastAsStrict,
  profileSchema,
  toApproved,
} from "../shield/profile.ts";
import { Replacer } from "../shield/replace.ts";
import { organizationStub } from "./key-stubs.ts";
import { RefreshedCache } from "./refreshed-cache.ts";

type Env = Pick<Cloudflare.Env, "ORGANIZATIONS" | "RHONE_SHIELD_KEY">;

const POLICIES = new RefreshedCache<OrganizationSafety>(2_000);
/** Versions never change. */
const COMPILED = new Map<string, CompiledProfile>();
/** Profiles in memory; beyond it all are compiled anew. */
const MAX_COMPILED = 2_000;

/**
 * The shield of a call: by its key or else its organisation, never milder than what its session has started with, and stricter if the call
 * asks for it. Undefined: nothing is looked for. Throws `request.invalid` if the call asks for less, and `safety.policy_denied` if what
 * is demanded cannot be had.
 */
export async function shieldFor(
  env: Env,
  { caller, requested, isApproved, session, query }: ShieldedCall,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<CallShield | undefined> {
  const { org } = caller;
  const demanded = caller.policy?.defaults?.safety;
  const pinned = session?.pinned;
  const { policy, versions } = await loadPolicy(env, org, waitUntil);
  const secret = findSecret(env, demanded ?? policy ?? requested ?? pinned);
  if (secret === undefined) return undefined;
  const places = { env, org, versions };
  const base = await applyDemand(demanded ?? policy, places);
  const floor = floorOf(base, pinned && (await applyVersion(pinned, places)));
  const chosen = await applyRequest(requested, floor, places);
  // What a session starts with stays its own; what a later call asks for is that call's.
  const own = pinned === undefined ? chosen : floor;
  if (chosen === undefined || chosen.compiled.profile.mode === "off") return undefined;
  return new CallShield(approvedIf(isApproved, chosen), new Replacer(secret, org), {
    vault: session?.vault(org),
    pin: () => session?.pin(own && toPin(own), pinned),
    query,
  });
}

const approvedIf = (isApproved: boolean | undefined, applied: AppliedProfile): AppliedProfile =>
  isApproved === true ? { ...applied, compiled: toApproved(applied.compiled) } : applied;

/** `requested`: what the call asks for. `isApproved`: a person lets pass what is left to one. `query`: how its judge, if it has one, is reached. */
type ShieldedCall = {
  caller: Caller;
  requested: SafetyPolicy | undefined;
  isApproved?: boolean;
  session?: SessionShield;
  query?: QueryJudge;
};

/**
 * What applies to a caller's calls, as a text: an answer from before it changed is not given again. "" where nothing is looked for.
 */
export async function safetyStateOf(
  env: Env,
  { org, policy }: Caller,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<string> {
  const safety = await loadPolicy(env, org, waitUntil);
  const own = policy?.defaults?.safety;
  const isOff = own === undefined && safety.policy === null && Object.keys(safety.versions).length === 0;
  return isOff ? "" : JSON.stringify([own, safety]);
}

/** Undefined: the gateway has none, and nothing is demanded. */
function findSecret({ RHONE_SHIELD_KEY: secret = "" }: Env, demanded: object | undefined): string | undefined {
  if (secret !== "" || demanded === undefined) return secret || undefined;
  throw new GatewayError("safety.policy_denied", "the gateway has no RHONE_SHIELD_KEY: nothing can be shielded");
}

const applyDemand = async (demanded: SafetyPolicy | null, places: Places): Promise<AppliedProfile | undefined> =>
  demanded === null ? undefined : await applyNewest(demanded, places, deniedByKey);

/** What a call asks for, which may not be less than `floor`. */
async function applyRequest(
  requested: SafetyPolicy | undefined,
  floor: AppliedProfile | undefined,
  places: Places,
): Promise<AppliedProfile | undefined> {
  if (requested === undefined) return floor;
  const chosen = await applyNewest({ ...policyOf(floor), ...requested }, places, unknownProfile);
  if (floor === undefined || isStricter(chosen, floor)) return chosen;
  throw invalid("rhone.safety", `expected no less than what the key or the session demands (${describe(floor)})`);
}

const toPin = ({ id, version, compiled }: AppliedProfile): PinnedProfile => ({
  id,
  version,
  mode: compiled.profile.mode,
});

const policyOf = (floor: AppliedProfile | undefined): SafetyPolicy =>
  floor === undefined ? {} : { profile: floor.id, mode: floor.compiled.profile.mode };

const describe = ({ id, compiled }: AppliedProfile): string => `${id}, ${compiled.profile.mode}`;

/** A session keeps its version unless that lets pass what is denied by now. */
const floorOf = (base: AppliedProfile | undefined, pinned: AppliedProfile | undefined): AppliedProfile | undefined =>
  pinned !== undefined && (base === undefined || isStricter(pinned, base)) ? pinned : base;

const isStricter = (one: AppliedProfile, other: AppliedProfile): boolean =>
  isAtLeastAsStrict(one.compiled, other.compiled);

type Places = { env: Env; org: string; versions: OrganizationSafety["versions"] };

const unknownProfile = (id: string): GatewayError => invalid("rhone.safety.profile", `there is no profile ${id}`);
const deniedByKey = (id: string): GatewayError =>
  new GatewayError(
    "safety.policy_denied",
    `the safety profile ${id} that the key or its organisation names does not exist`,
  );

/** The newest version of the profile that a policy names. */
async function applyNewest(
  { profile: id = DEFAULT_PROFILE_ID, mode }: SafetyPolicy,
  places: Places,
  toError: (id: string) => GatewayError,
): Promise<AppliedProfile> {
  const version = places.versions[id] ?? (id === DEFAULT_PROFILE_ID ? 0 : undefined);
  if (version === undefined) throw toError(id);
  return await applyVersion({ id, version, mode }, places);
}

/** Version 0 is the gateway's own. */
async function applyVersion(
  { id, version, mode }: Omit<PinnedProfile, "mode"> & { mode: PinnedProfile["mode"] | undefined },
  { env, org }: Places,
): Promise<AppliedProfile> {
  const key = JSON.stringify([org, id, version]);
  const compiled = COMPILED.get(key) ?? (await compileProfile(await loadProfile(env, org, id, version)));
  if (COMPILED.size >= MAX_COMPILED) COMPILED.clear();
  COMPILED.set(key, compiled);
  const isOther = mode !== undefined && mode !== compiled.profile.mode;
  return { id, version, compiled: isOther ? { ...compiled, profile: { ...compiled.profile, mode } } : compiled };
}

async function loadProfile(env: Env, org: string, id: string, version: number): Promise<CompiledProfile["profile"]> {
  if (version === 0) return DEFAULT_PROFILE;
  const stored = await organizationStub(env, org).safetyProfile(id, version);
  if (stored === undefined) throw deniedByKey(id);
  return profileSchema.parse(JSON.parse(stored.body));
}

const loadPolicy = (env: Env, org: string, waitUntil: (work: Promise<unknown>) => void): Promise<OrganizationSafety> =>
  POLICIES.get(org, () => organizationStub(env, org).safety(), { waitUntil });

/** After a change here; other isolates see it later. */
export const clearSafetyCache = (org: string): boolean => POLICIES.delete(org);
