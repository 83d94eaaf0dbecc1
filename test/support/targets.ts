import { GatewayError } from "../../src/canonical/error.ts";
import { readProviders } from "../../src/providers/registry.ts";
import type { Target } from "../../src/routing/locate.ts";

const row = (id: string): object => ({ id, dialect: "openai-chat", base_url: `http://${id}.test/v1`, api_key: "k" });
const ids = ["a", "b", "c"] as const;
export const { rows: providers } = readProviders({ RHONE_PROVIDERS: JSON.stringify(ids.map(row)) });
export const at = (id: string, model = "m"): Target => ({
  provider: providers.get(id)!,
  model,
  dialect: "openai-chat",
});

export const failed = (
  status: number,
  more: Partial<{ code: string; retryAfterSeconds: number }> = {},
): GatewayError => {
  const code = status === 429 ? "rate.limited" : status === 400 ? "request.invalid" : "provider.execution_failed";
  const { code: word, retryAfterSeconds } = more;
  return new GatewayError(code, `status ${status}`, {
    status,
    upstream: { status, ...(word !== undefined && { code: word }) },
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
};
export const silent = new GatewayError("provider.timeout", "silent");
export const broken = new GatewayError("provider.unavailable", "reset");
export const tooLong = new GatewayError("context.too_long", "too long", { upstream: { status: 400 } });
