import { GatewayError, invalid } from "../canonical/error.ts";
import { requireUncompressed } from "../surfaces/body.ts";
import { concatBytes, encodeUtf8 } from "../wire/bytes.ts";
import { boundaryOf, FieldFinder, type FormField, replaceField } from "../wire/multipart.ts";

/**
 * A multipart form whose model is known. Of a form above `MAX_REPEATED_BYTES`, no more has been read than finding the
 * model required.
 */
type Form = {
  model: string;
  contentType: string;
  /** The whole form, with the provider's name of the model in its `model` field. */
  open: (model: string) => Uint8Array | ReadableStream<Uint8Array>;
  /** Whether `open` may be called again: a form that is piped through is gone once its first byte was sent. */
  canRepeat: () => boolean;
  /** Releases the memory held; must be called after the provider has answered, or if no request is sent. */
  release: () => void;
};

/** Size up to which a form is held as a whole, so that it can be sent to another target. Bytes. */
const MAX_REPEATED_BYTES = 4 * 1024 * 1024;

/**
 * Bytes of a form held in memory. A larger form is piped through, but its `model` is needed first, and the official Node
 * SDK writes fields in the order of its user's object, files included: the part before `model` is held up to this limit.
 */
const MAX_HELD_BYTES = 32 * 1024 * 1024;

/** Bytes that all forms of an isolate hold together. An isolate has 128 MiB in all and is terminated beyond that. */
const MAX_HELD_BY_ALL = 64 * 1024 * 1024;
let heldByAll = 0;

/**
 * Reads a form up to its `model` field, and a small one to its end. `headerModel`: the model from `x-rhone-model` or
 * `?model=`; the form's own field must then already be the provider's name. Throws `request.invalid`, and `rate.limited`
 * if the forms of this isolate hold too much.
 */
export async function readForm(request: Request, headerModel?: string): Promise<Form> {
  requireUncompressed(request);
  const contentType = request.headers.get("content-type") ?? "";
  const boundary = boundaryOf(contentType);
  if (boundary === undefined) throw invalid("content-type", "expected multipart/form-data with a boundary");
  if (request.body === null) throw invalid("body", "expected a form");
  const length = Number(request.headers.get("content-length") ?? Number.NaN);
  const finder = headerModel === undefined ? new FieldFinder(boundary, "model") : undefined;
  const { held, found, isWhole, release } = await readStart(request.body, finder, length);
  const model = headerModel ?? found?.value;
  if (model === undefined) {
    release();
    throw invalid("model", "expected the field model within the first 32 MiB, or the header x-rhone-model or ?model=");
  }
  const rest = { body: request.body, length };
  let isSent = false;
  const open: Form["open"] = (name) => {
    const isSame = found === undefined || name === found.value;
    const head = isSame ? [...held] : [...replaceField(held, found, name)];
    if (isWhole) return concatBytes(head);
    const addedBytes = isSame ? 0 : encodeUtf8(name).length - (found.end - found.start);
    const onSent = (): void => {
      isSent = true;
      // Released as they are sent, as they cannot be sent again.
      held.length = 0;
    };
    return pipeForm(rest, head, { addedBytes, onSent });
  };
  return { model, contentType, open, canRepeat: () => !isSent, release };
}

/**
 * Reads until the field is found, the form ends or the limit is reached, at least one chunk. A form that is not known to be
 * longer is read to its end if that comes within `MAX_REPEATED_BYTES`. `length`: the form's size if known, else NaN.
 */
async function readStart(
  body: ReadableStream<Uint8Array>,
  finder: FieldFinder | undefined,
  length: number,
): Promise<{ found?: FormField; held: Uint8Array[]; isWhole: boolean; release: () => void }> {
  const reader = body.getReader();
  const held: Uint8Array[] = [];
  let found: FormField | undefined;
  let size = 0;
  const release = (): void => {
    heldByAll -= size;
    size = 0;
  };
  const isNeeded = (): boolean => {
    const isSearching = finder !== undefined && found === undefined && !finder.isDone && size <= MAX_HELD_BYTES;
    return held.length === 0 || isSearching || (!(length > MAX_REPEATED_BYTES) && size <= MAX_REPEATED_BYTES);
  };
  try {
    while (isNeeded()) {
      const { value, done } = await reader.read();
      if (done) return { held, isWhole: true, release, ...(found && { found }) };
      held.push(value);
      size += value.length;
      heldByAll += value.length;
      found ??= finder?.push(value);
      if (heldByAll > MAX_HELD_BY_ALL) throw tooManyForms();
    }
    return { held, isWhole: false, release, ...(found && { found }) };
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
 * `onSent`: called when the first chunk has been read.
 */
function pipeForm(
  { body, length }: { body: ReadableStream<Uint8Array>; length: number },
  head: Uint8Array[],
  { addedBytes, onSent }: { addedBytes: number; onSent: () => void },
): ReadableStream<Uint8Array> {
  const { readable, writable } = Number.isNaN(length)
    ? new IdentityTransformStream()
    : new FixedLengthStream(length + addedBytes);
  const work = async (): Promise<void> => {
    const writer = writable.getWriter();
    // `shift` releases each chunk as soon as it is written.
    for (let chunk = head.shift(); chunk !== undefined; chunk = head.shift()) {
      if (chunk.length > 0) await writer.write(chunk);
      onSent();
    }
    writer.releaseLock();
    await body.pipeTo(writable);
  };
  // A failing pipe fails the request that sends this stream, where the error is handled.
  work().catch((cause: unknown) => writable.abort(cause).catch(() => {}));
  return readable;
}
