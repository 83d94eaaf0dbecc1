import { GatewayError } from "../../canonical/error.ts";

/** Why a call ends early that nobody waits for. */
export const CLIENT_LEFT = new GatewayError("stream.interrupted", "the client left, and had asked to cancel then");

/** The same for everyone. */
export const CANCELLED = new GatewayError("stream.interrupted", "the call was cancelled");

/** What a thrown thing says of a stream: an error of ours as it is, any other as a break. */
export const toStreamError = (thrown: unknown): GatewayError =>
  thrown instanceof GatewayError
    ? thrown
    : new GatewayError("stream.interrupted", "the provider's stream broke off", { cause: thrown });
