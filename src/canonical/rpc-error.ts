import { type ErrorCode, GatewayError, toGatewayError } from "./error.ts";
import { logInternalError } from "./log-internal-error.ts";

/**
 * A `GatewayError` as the JSON body of a response from a Durable Object to the Worker. An error thrown over RPC would lose
 * its code. Response bodies are passed as streams, so their size has no limit.
 */
type RpcError = Pick<GatewayError, "code" | "message" | "param" | "status" | "word" | "retryAfterSeconds" | "runId">;

/**
 * The response of `work`, or a response that stands for the error it throws. The cause of an `internal` error is logged
 * with `objectId`.
 */
export async function toRpcResponse(objectId: string, work: () => Promise<Response> | Response): Promise<Response> {
  try {
    return await work();
  } catch (thrown) {
    const { code, message, param, status, word, retryAfterSeconds, runId, cause } = toGatewayError(thrown);
    if (code === "internal") logInternalError(objectId, cause);
    const body: RpcError = {
      code,
      message,
      status,
      ...(param !== undefined && { param }),
      ...(word !== undefined && { word }),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
      ...(runId !== undefined && { runId }),
    };
    return Response.json(body, { status, headers: { [ERROR_HEADER]: "error" } });
  }
}

/** Returns the response, or throws the error that it stands for. Inverse of `toRpcResponse`. */
export async function fromRpcResponse(response: Response): Promise<Response> {
  if (!response.headers.has(ERROR_HEADER)) return response;
  const { code, message, ...details } = await response.json<RpcError>();
  throw new GatewayError(code, message, details);
}

/** Marks a response that stands for an error. */
const ERROR_HEADER = "x-rhone-crossing";

/** A result of an RPC method, or the `GatewayError` it failed with: thrown over RPC, an error would lose its code. */
export type RpcResult<T> = { value: T } | { error: { code: ErrorCode; message: string; param?: string } };

/** The result of `work`, or the error it throws. */
export function toRpcResult<T>(work: () => T): RpcResult<T> {
  try {
    return { value: work() };
  } catch (thrown) {
    const { code, message, param } = toGatewayError(thrown);
    return { error: { code, message, ...(param !== undefined && { param }) } };
  }
}

/** Returns the value, or throws the error. Inverse of `toRpcResult`. */
export function unwrap<T>(result: RpcResult<T>): T {
  if ("value" in result) return result.value;
  const { code, message, param } = result.error;
  throw new GatewayError(code, message, param === undefined ? {} : { param });
}
