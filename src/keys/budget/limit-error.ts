import { GatewayError } from "../../canonical/error.ts";
import type { LedgerRefusal, Rates } from "./grant.ts";

/** A refusal with the state of the limits, for response headers. */
export class LimitError extends GatewayError {
  readonly rates: Rates;

  constructor(code: GatewayError["code"], message: string, rates: Rates, retryAfterSeconds: number | undefined) {
    super(code, message, retryAfterSeconds === undefined ? {} : { retryAfterSeconds });
    this.rates = rates;
  }
}

/** The error for a ledger's refusal, which crosses RPC as plain members. */
export function toLimitError({ code, message, retryAfterSeconds, rates }: LedgerRefusal): GatewayError {
  return new LimitError(code, message, rates ?? {}, retryAfterSeconds);
}
