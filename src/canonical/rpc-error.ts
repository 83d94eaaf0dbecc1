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
