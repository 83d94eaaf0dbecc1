import { GatewayError, invalid } from "../canonical/error.ts";
import { boundaryOf, type FormField, FieldFinder, replaceField } from "../wire/multipart.ts";

/**
 * A form whose model is known, and of which no more has been read than that took. `send` gives the rest of it, with the
 * model under another name where the form says one.
 */
export type Form = {
  model: string;
  send: (model: string) => { stream: ReadableStream<Uint8Array>; contentType: string };
  /** To be called when the provider has answered, or nobody was asked. */
  release: () => void;
};

/**
 * A form is piped through, not held. But somebody must read its `model` first, and the official Node SDK writes the
 * file before it when its user does: what comes before the model is held, up to the limit of any other body (SPEC 19).
 */
const MAX_HELD_BYTES = 32 * 1024 * 1024;

/** What the forms of an isolate hold together: it has 128 MiB for everything, and dies of more. */
const MAX_HELD_BY_ALL = 64 * 1024 * 1024;
let heldByAll = 0;

/** `named`: the model as `x-rhone-model` or `?model=` give it; then the form is not looked into, and its own field must be the provider's name. */
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
    throw invalid(
      "model",
      "expected this field in the form; a form that has it behind 32 MiB of files needs the header x-rhone-model or ?model=",
    );
  }
  const send = (model: string): { stream: ReadableStream<Uint8Array>; contentType: string } => {
    const isSame = model === found.value;
    const head = isSame ? chunks : [...replaceField(chunks.splice(0), found, model)];
    const addedBytes = isSame ? 0 : new TextEncoder().encode(model).length - (found.end - found.start);
    return { stream: pipeForm(rest, head, addedBytes), contentType };
  };
  return { model: found.value, send, release };
}

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
    while (!finder.isOver && size <= MAX_HELD_BYTES) {
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
    throw new GatewayError("request.invalid", "body: the form broke off", { param: "body", cause });
  } finally {
    reader.releaseLock();
  }
}

const tooManyForms = (): GatewayError =>
  new GatewayError("rate.limited", "body: too many forms are being read; one that begins with its model is not held", {
    param: "model",
    retryAfterSeconds: 1,
  });

/** What was read, then the rest natively. With its length where that is known: not every provider takes a form without. */
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
    // Each piece is let go as soon as it is on its way.
    for (let chunk = head.shift(); chunk !== undefined; chunk = head.shift())
      if (chunk.length > 0) await writer.write(chunk);
    writer.releaseLock();
    await body.pipeTo(writable);
  };
  // A pipe that fails fails the request whose body it is, and there it is seen.
  work().catch(() => {});
  return readable;
}
