import { z } from "zod";
import { MODES } from "./profile.ts";

/** A profile's name, in its organisation. */
export const profileIdSchema = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, "expected up to 64 of a-z 0-9 _ -");

/** Which profile applies, and how. Without a profile the gateway's own; without a mode that of the profile. */
export const safetyPolicySchema = z
  .strictObject({ profile: profileIdSchema, mode: z.enum(MODES) })
  .partial()
  .meta({ id: "SafetyPolicy" });
export type SafetyPolicy = z.infer<typeof safetyPolicySchema>;
