import { z } from "zod";

/** A harness by its id: `harness_{name}` is its newest version, `harness_{name}_v{version}` that one. No name ends like a version. */
export type HarnessName = { name: string; version?: number };

const HARNESS_ID = /^harness_([a-z0-9](?:[a-z0-9_-]{0,62}?[a-z0-9])??)(?:_v([1-9]\d{0,8}))?$/;

/** The id of a harness that a key or an organisation names. */
export const harnessIdSchema = z
  .string()
  .regex(HARNESS_ID, "expected the id of a harness, as in harness_support or harness_support_v3");

/** Undefined for a text that is no id of a harness. */
export function parseHarnessId(id: string): HarnessName | undefined {
  const [, name, version] = HARNESS_ID.exec(id) ?? [];
  if (name === undefined) return undefined;
  return version === undefined ? { name } : { name, version: Number(version) };
}

export const harnessIdOf = ({ name, version }: HarnessName): string =>
  `harness_${name}${version === undefined ? "" : `_v${version}`}`;

/** The harness of runs that name none: the key's, or else the organisation's. */
export const defaultHarnessOf = (
  key: { defaults: { harness?: string | undefined } } | undefined,
  organization: { harness?: string | null | undefined } | undefined,
): string | undefined => key?.defaults.harness ?? organization?.harness ?? undefined;
