import { GatewayError } from "../../canonical/error.ts";

/** The error of a call that was aborted because its client left. Compared by identity. */
export const CLIENT_LEFT = new GatewayError(
  "stream.interrupted",
  "the client disconnected, and on_disconnect is cancel",
);

/** The error of a call that was cancelled over the API. Compared by identity. */
export const CANCELLED = new GatewayError("stream.interrupted", "the call was cancelled");

/** The error of a broken stream: a `GatewayError` as it is, any other as `stream.interrupted`. */
export const toStreamError = (thrown: unknown): GatewayError =>
  thrown instanceof GatewayError
    ? thrown
    : new GatewayError("stream.interrupted", "the provider's stream was interrupted", { cause: thrown });
