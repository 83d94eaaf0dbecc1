import { type ErrorCode, GatewayError, toGatewayError } from "./error.ts";

/**
 * Answers on their way from an object to the Worker. An error crosses as one: a thrown one would lose its code. Bodies
 * cross as streams, so their size has no limit.
 */
type RpcError = { code: ErrorCode; message: string; param?: string; status: number; word?: string };

/** What the work answers, or the error that it throws. */
export async function toRpcResponse(work: () => Promise<Response> | Response): Promise<Response> {
  try {
    return await work();
  } catch (thrown) {
    const { code, message, param, status, word, cause } = toGatewayError(thrown);
    if (code === "internal")
      console.error("internal error", Object(cause) instanceof Error ? (cause as Error).stack : "");
    const told: RpcError = {
      code,
      message,
      status,
      ...(param !== undefined && { param }),
      ...(word !== undefined && { word }),
    };
    return Response.json(told, { status, headers: { [ERROR_HEADER]: "error" } });
  }
}

/** The inverse: the answer, or the error thrown again. */
export async function fromRpcResponse(response: Response): Promise<Response> {
  if (!response.headers.has(ERROR_HEADER)) return response;
  const { code, message, ...details } = await response.json<RpcError>();
  throw new GatewayError(code, message, details);
}

const ERROR_HEADER = "x-rhone-crossing";

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
