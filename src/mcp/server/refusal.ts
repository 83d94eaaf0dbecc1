import type { Json } from "../../wire/json.ts";
import type { RpcId } from "../json-rpc.ts";

type RefusalDetails = { id?: RpcId; status?: number; data?: unknown };

/** Why a request is not served, as an error of JSON-RPC. `status`: of HTTP. The text is for the client. */
export class Refusal extends Error {
  readonly code: number;
  readonly id: RpcId | undefined;
  readonly status: number;
  readonly data: unknown;

  constructor(code: number, message: string, { id, status = 200, data }: RefusalDetails = {}) {
    super(message);
    this.code = code;
    this.id = id;
    this.status = status;
    this.data = data;
  }

  /** As the answer to the request; the id is null where it could not be read. */
  toResponse(known: RpcId | undefined = this.id): Response {
    const error = {
      code: this.code,
      message: this.message,
      ...(this.data !== undefined && { data: this.data as Json }),
    };
    return Response.json({ jsonrpc: "2.0", id: known ?? null, error }, { status: this.status });
  }
}
