import { GatewayError, invalid } from "../canonical/error.ts";
import { boundaryOf, FieldFinder, type FormField, replaceField } from "../wire/multipart.ts";

/**
 * A multipart form whose model is known; no more of it has been read than finding the model required. `send` returns the
 * whole form as a stream, with the provider's name of the model in its `model` field.
 */
type Form = {
  model: string;
  send: (model: string) => { stream: ReadableStream<Uint8Array>; contentType: string };
  /** Releases the memory held; must be called after the provider has answered, or if no request is sent. */
  release: () => void;
};

/**
 * Bytes of a form held in memory. A form is piped through, but its `model` is needed first, and the official Node SDK
 * writes fields in the order of its user's object, files included: the part before `model` is held up to this limit.
 */
const MAX_HELD_BYTES = 32 * 1024 * 1024;

/** Bytes that all forms of an isolate hold together. An isolate has 128 MiB in all and is terminated beyond that. */
const MAX_HELD_BY_ALL = 64 * 1024 * 1024;
let heldByAll = 0;

/**
 * Reads a form up to its `model` field. `headerModel`: the model from `x-rhone-model` or `?model=`; the form is then not
 * read at all, so its own field must already be the provider's name. Throws `request.invalid`, and `rate.limited` if the
 * forms of this isolate hold too much.
 */
export async function readForm(request: Request, headerModel?: string): Promise<Form> {
  const contentType = request.headers.get("content-type") ?? "";
  const boundary = boundaryOf(contentType);
  if (boundary === undefined) throw invalid("content-type", "expected multipart/form-data with a boundary");
  if (request.body === null) throw invalid("body", "expected a form");
  const length = Number(request.headers.get("content-length") ?? Number.NaN);
  const rest = { body: request.body, length };
  if (headerModel !== undefined)
    return { model: headerModel, send: () => ({ stream: pipeForm(rest, [], 0), contentType }), release: () => {} };
  const { found, held: chunks, release } = await readToModel(request.body, boundary);
  if (found === undefined) {
    release();
    throw invalid("model", "expected the field model within the first 32 MiB, or the header x-rhone-model or ?model=");
  }
  const send = (model: string): { stream: ReadableStream<Uint8Array>; contentType: string } => {
    const isSame = model === found.value;
    const head = isSame ? chunks : [...replaceField(chunks.splice(0), found, model)];
    const addedBytes = isSame ? 0 : new TextEncoder().encode(model).length - (found.end - found.start);
    return { stream: pipeForm(rest, head, addedBytes), contentType };
  };
  return { model: found.value, send, release };
}

/** Reads until the `model` field, its end or the limit. `chunks`: everything read so far. */
async function readToModel(
  body: ReadableStream<Uint8Array>,
  boundary: string,
): Promise<{ found?: FormField; held: Uint8Array[]; release: () => void }> {
  const finder = new FieldFinder(boundary, "model");
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  const release = (): void => {
    heldByAll -= size;
    size = 0;
  };
  try {
    while (!finder.isDone && size <= MAX_HELD_BYTES) {
      const { value, done } = await reader.read();
      if (done) break;
      chunks.push(value);
      size += value.length;
      heldByAll += value.length;
      const found = finder.push(value);
      if (found !== undefined) return { found, held: chunks, release };
      if (heldByAll > MAX_HELD_BY_ALL) throw tooManyForms();
    }
    return { held: chunks, release };
  } catch (cause) {
    release();
    if (cause instanceof GatewayError) throw cause;
    throw new GatewayError("request.invalid", "body: the form ended early", { param: "body", cause });
  } finally {
    reader.releaseLock();
  }
}

const tooManyForms = (): GatewayError =>
  new GatewayError(
    "rate.limited",
    "model: too many uploads wait for their model field: send `model` first, or the header x-rhone-model",
    {
      param: "model",
      retryAfterSeconds: 1,
    },
  );

/**
 * The held chunks, then the rest, piped without JavaScript. The stream has a length where the request had one: some
 * providers refuse a form without `content-length`. `addedBytes`: by how much a renamed model lengthens the form.
 */
function pipeForm(
  { body, length }: { body: ReadableStream<Uint8Array>; length: number },
  head: Uint8Array[],
  addedBytes: number,
): ReadableStream<Uint8Array> {
  const { readable, writable } = Number.isNaN(length)
    ? new IdentityTransformStream()
    : new FixedLengthStream(length + addedBytes);
  const work = async (): Promise<void> => {
    const writer = writable.getWriter();
    // `shift` releases each chunk as soon as it is written.
    for (let chunk = head.shift(); chunk !== undefined; chunk = head.shift())
      if (chunk.length > 0) await writer.write(chunk);
    writer.releaseLock();
    await body.pipeTo(writable);
  };
  // A failing pipe also fails the request that sends this stream, where the error is handled.
  work().catch(() => {});
  return readable;
}
