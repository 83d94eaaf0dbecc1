import { z } from "zod";
import { editItem, unseal } from "../../canonical/native.ts";
import type { Block, Message, Part } from "../../canonical/types.ts";
import type { Blobs } from "../../store/blobs.ts";
import { toByteStream } from "../../wire/bytes.ts";
import type { Session, SessionInit } from "../session.ts";
import { linkTurns, type Turn, type UnlinkedTurn } from "../turns.ts";
import { copyTurn, dropToolResults, rewriteItems } from "./compact.ts";
import { redact, redactArguments } from "./redact.ts";

/** What a branch changes of the session that it is copied from: the API's `transforms`. A bare name stands for `{type}`. */
export const transformSchema = z
  .union(
    [
      z.enum(["drop_thinking", "drop_tool_results", "redact"]),
      z.strictObject({ type: z.enum(["drop_thinking", "drop_tool_results"]) }).meta({ id: "DropTransform" }),
      z
        .strictObject({ type: z.literal("redact"), texts: z.array(z.string().min(1)).min(1).max(256).optional() })
        .meta({ id: "RedactTransform" }),
      z
        .strictObject({ type: z.literal("replace_model"), model: z.string().min(1) })
        .meta({ id: "ReplaceModelTransform" }),
    ],
    "expected drop_thinking, drop_tool_results, redact, {type: redact, texts} or {type: replace_model, model}",
  )
  .meta({ id: "Transform" });
export type Transform = z.infer<typeof transformSchema>;

/**
 * The first line of an exported branch: the new session's row. `from`: the id of its last turn; null before the first. `shield`: what
 * the session has for it.
 */
type BranchHeader = { given: SessionInit; from: string | null; shield: readonly ShieldRow[] };

/** A row that the shield stores in a session. */
export type ShieldRow = { name: string; value: string };

/**
 * Exports a session up to the turn `from` (default: the head; `isBefore`: without that turn) as lines of JSON: a
 * BranchHeader, then one turn on each line. A stream, since a path may be larger than memory. Throws `object.not_found`.
 */
export function exportBranch(
  session: Session,
  {
    from,
    isBefore,
    transforms,
    shield,
  }: {
    from?: string | undefined;
    isBefore?: boolean | undefined;
    transforms: readonly Transform[];
    shield: readonly ShieldRow[];
  },
  blobs: Blobs,
): Response {
  const { id, metadata, defaults, phase, instructions } = session.row;
  const whole = from === undefined ? session.path : from === id ? [] : session.pathOf(from, "from");
  const path = isBefore === true ? whole.slice(0, -1) : whole;
  const turn = path.at(-1)?.id ?? null;
  const model = transforms.findLast((one) => typeof one === "object" && one.type === "replace_model");
  const init: SessionInit = {
    metadata,
    defaults: model === undefined || !("model" in model) ? defaults : { ...defaults, model: model.model },
    phase,
    origin: { session: id, turn },
    ...(instructions !== undefined && { instructions }),
  };
  const edits = transforms.map(toMessageEdit).filter((one) => one !== undefined);
  const header: BranchHeader = { given: init, from: turn, shield };
  const lines = (async function* (): AsyncGenerator<string> {
    yield `${JSON.stringify(header)}\n`;
    let isChanged = false;
    for (const one of path) {
      let { input, output } = one;
      for (const each of edits)
        [input, output] = [await rewriteItems(input, each, blobs), await rewriteItems(output, each, blobs)];
      // Seals after a change cover the text before it, so their issuer would reject them.
      isChanged ||= input !== one.input;
      if (isChanged && output.sealed) output = await rewriteItems(output, unseal, blobs);
      isChanged ||= output !== one.output;
      const copy: UnlinkedTurn = {
        ...copyTurn(one, input, output),
        ...(one.kind === "compaction" && { kind: "compaction" }),
      };
      yield `${JSON.stringify(copy)}\n`;
    }
  })();
  return new Response(toByteStream(lines), { headers: { "content-type": "application/x-ndjson" } });
}

type BranchTarget = {
  session: Session;
  shield: { addRows: (rows: readonly ShieldRow[]) => void };
  blobs: Blobs;
  objectId: string;
  now: () => number;
};

/**
 * Creates a session from an exported branch. `parent`: the object id of the exported session, whose blobs are adopted.
 * On an error all imported turns and blobs are deleted again.
 */
export async function importBranch(
  lines: AsyncIterable<string>,
  { session, shield, blobs, objectId, now }: BranchTarget,
  { org, id, parent }: { org: string; id: string; parent: string },
): Promise<void> {
  let header: BranchHeader | undefined;
  let last: Turn | undefined;
  try {
    for await (const line of lines) {
      if (header === undefined) {
        header = JSON.parse(line) as BranchHeader;
        continue;
      }
      const copy = JSON.parse(line) as UnlinkedTurn;
      for (const { cuts } of [copy.input, copy.output])
        if (cuts !== undefined)
          await blobs.copyFrom(
            parent,
            cuts.map(({ blob }) => blob),
          );
      const [turn] = linkTurns([copy], { parent: last, objectId, now: now() });
      session.importTurns([turn!]);
      last = turn;
    }
    const head = last === undefined ? {} : { head: last.id, depth: last.depth };
    session.create(org, id, { ...header!.given, ...head });
    shield.addRows(header!.shield);
  } catch (thrown) {
    session.discardImport();
    await blobs.clear();
    throw thrown;
  }
}

/** The change of one message; undefined for a transform that changes only defaults. */
function toMessageEdit(transform: Transform): ((message: Message) => Message) | undefined {
  const { type, texts } =
    typeof transform === "string" ? { type: transform, texts: undefined } : { texts: undefined, ...transform };
  switch (type) {
    case "drop_thinking":
      return dropThinking;
    case "drop_tool_results":
      return dropToolResults;
    case "redact":
      return (message) => mapBlocks(message, (block) => redactBlock(block, texts));
    case "replace_model":
      return undefined;
  }
}

/** Unseals as well: a signature covers the reasoning that is removed. */
function dropThinking(message: Message): Message {
  const isThinking = message.blocks.some(({ kind }) => kind === "thinking");
  return isThinking
    ? editItem(unseal(message), { blocks: unseal(message).blocks.filter(({ kind }) => kind !== "thinking") })
    : message;
}

/** Returns the message itself if no block changes: its wire items are then copied byte for byte. */
function mapBlocks(message: Message, edits: (block: Block) => Block): Message {
  const blocks = message.blocks.map(edits);
  return blocks.every((block, i) => block === message.blocks[i]) ? message : editItem(message, { blocks });
}

/** The block itself if it holds none of the texts. Media and opaque blocks are not read. */
function redactBlock(block: Block, texts: readonly string[] | undefined): Block {
  switch (block.kind) {
    case "text":
    case "thinking": {
      const text = redact(block.text, texts);
      return text === block.text ? block : editItem(block, { text });
    }
    case "tool_call": {
      const args = redactArguments(block.arguments, texts);
      return args === block.arguments ? block : editItem(block, { arguments: args });
    }
    case "tool_result": {
      const content = block.content.map((part) => redactBlock(part, texts) as Part);
      return content.every((part, i) => part === block.content[i]) ? block : editItem(block, { content });
    }
    case "media":
    case "opaque":
      return block;
  }
}
