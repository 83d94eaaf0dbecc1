import { encodeUtf8 } from "../../src/wire/bytes.ts";
import { decodeSse } from "../../src/wire/sse.ts";
import { baseUrl, key } from "./gateway.ts";

/** The native API as any HTTP client sees it: nobody publishes an SDK for it. */
export type Block = {
  type: string;
  text?: string;
  id?: string;
  name?: string;
  arguments?: string;
  opaque?: { label: string; gist?: string };
  native?: { dialect: string; issuer?: string; item: object };
};
export type Called = {
  call: { id: string; session_id: string; status: string; finish_reason: string; model: string };
  output: Block[];
  usage: Record<string, number>;
  rhone: { losses?: object[] };
};
export type CallEvent = {
  type: string;
  event_id: number;
  index?: number;
  text?: string;
  arguments?: string;
} & Partial<Called>;
type Failure = { error: { code: string; message: string; retryable: boolean; details: object; request_id: string } };

export class CallFailure extends Error {
  readonly status: number;
  readonly error: Failure["error"];

  constructor(status: number, { error }: Failure) {
    super(error.message);
    this.status = status;
    this.error = error;
  }
}

const post = (body: object): Promise<Response> =>
  fetch(`${baseUrl}/v1/calls`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });

/** Throws `CallFailure`. */
export async function create(body: object): Promise<Called> {
  const response = await post(body);
  if (!response.ok) throw new CallFailure(response.status, await response.json());
  return (await response.json()) as Called;
}

/** Every event. Throws `CallFailure` when there is no stream. */
export async function events(body: object): Promise<CallEvent[]> {
  const response = await post({ ...body, stream: true });
  if (!response.ok) throw new CallFailure(response.status, await response.json());
  return decodeSse(encodeUtf8(await response.text())).flatMap(({ data }) =>
    data === undefined ? [] : [JSON.parse(data) as CallEvent],
  );
}

/** What a stream comes to: its last event. Throws `CallFailure` when that tells of one. */
export async function streamed(body: object): Promise<Called> {
  const last = (await events(body)).at(-1)!;
  if (last.type !== "call.completed") throw new CallFailure(200, last as unknown as Failure);
  return last as unknown as Called;
}

export const textOf = ({ output }: Called): string =>
  output.flatMap(({ type, text }) => (type === "response" ? [text ?? ""] : [])).join("");
