import { FAULTS, FORMS, type Form, nameOf } from "./table.ts";

/** The scripted provider of each surface's own dialect. */
const PROVIDERS: Record<string, string> = {
  chat: "fake",
  responses: "fakeresp",
  messages: "fakeanth",
  gemini: "fakegem",
  native: "fakenat",
};

type Target = { provider: string; model: string };

/** The failing target of a call, in the surface's own dialect, and its fallback, in one of two others. */
export function targetsOf(surface: string, name: string, form: Form): { own: Target; other: Target } {
  const providers = Object.values(PROVIDERS);
  const own = providers.indexOf(PROVIDERS[surface]!);
  const other = (own + (form.mode === "stateful" ? 1 : 2)) % providers.length;
  const { fault = name, fallback = "none" } = FAULTS[name]!;
  const call = `${name}-${surface}-${nameOf(form)}`;
  return {
    own: { provider: providers[own]!, model: `fault-${fault}.${call}` },
    other: { provider: providers[other]!, model: `fault-${fallback}.${call}` },
  };
}

export const toName = ({ provider, model }: Target): string => `${provider}/${model}`;

/** The fault whose targets report usage and have a price. */
export const COUNTED = "error-counting";

/** The targets of that fault, as they are named in a list of prices. */
export const COUNTED_TARGETS: readonly string[] = Object.keys(PROVIDERS).flatMap((surface) =>
  FORMS.flatMap((form) => Object.values(targetsOf(surface, COUNTED, form)).map(toName)),
);
