import { z } from "zod";

/** Most pairs of one metadata object, as OpenAI bounds its own (OpenAI API reference, `metadata`): records stay small. */
export const MAX_PAIRS = 16;

/** Characters; OpenAI's bound, too. */
const metadataKey = z.string().max(64);
/** Characters; OpenAI's bound, too. */
export const metadataValue = z.string().max(512);

/** The schema of metadata whose keys have a schema of their own. */
export const metadataWith = (key: z.ZodType<string, string>) =>
  z
    .record(key, metadataValue)
    .refine((pairs) => Object.keys(pairs).length <= MAX_PAIRS, `expected at most ${MAX_PAIRS} pairs`);

/** Metadata of calls, sessions and conversations: strings by name. */
export const metadata = metadataWith(metadataKey);
