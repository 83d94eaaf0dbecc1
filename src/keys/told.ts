import { type ErrorCode, GatewayError, toGatewayError } from "../canonical/error.ts";

/** An answer between objects. A thrown error would lose its code on the way, so it crosses as a value. */
export type RpcResult<T> = { value: T } | { error: { code: ErrorCode; message: string; param?: string } };

export function toRpcResult<T>(work: () => T): RpcResult<T> {
  try {
    return { value: work() };
  } catch (thrown) {
    const { code, message, param } = toGatewayError(thrown);
    return { error: { code, message, ...(param !== undefined && { param }) } };
  }
}

/** The inverse. */
export function unwrap<T>(told: RpcResult<T>): T {
  if ("value" in told) return told.value;
  const { code, message, param } = told.error;
  throw new GatewayError(code, message, param === undefined ? {} : { param });
}
