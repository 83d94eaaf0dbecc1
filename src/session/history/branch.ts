import { z } from "zod";
import { edit, unseal } from "../../canonical/native.ts";
import type { Block, Message, Part } from "../../canonical/types.ts";
import type { SessionInit, Session } from "../session.ts";
import { linkTurns, type Turn } from "../turns.ts";
import type { Blobs } from "../../store/blobs.ts";
import { toByteStream } from "../../wire/bytes.ts";
import { rewriteItems, copyTurn } from "./compact.ts";
import { redact } from "./redact.ts";

/** What a branch has otherwise than the session it comes from. */
export const transformSchema = z.union(
  [
    z.enum(["drop_thinking", "drop_tool_results", "redact"]),
    z.strictObject({ type: z.enum(["drop_thinking", "drop_tool_results"]) }),
    z.strictObject({ type: z.literal("redact"), texts: z.array(z.string().min(1)).min(1).max(256).optional() }),
    z.strictObject({ type: z.literal("replace_model"), model: z.string().min(1) }),
  ],
  "expected drop_thinking, drop_tool_results, redact, {type: redact, texts} or {type: replace_model, model}",
);
export type Transform = z.infer<typeof transformSchema>;

type CopiedTurn = Omit<Turn, "id" | "parent" | "depth" | "createdAt">;

/** The first line of an exported branch: what it begins with. `from`: null before the first turn. */
type BranchHeader = { given: SessionInit; from: string | null };

/**
 * A session up to a turn (the head, when none is named; `isBefore`: without that turn itself) as lines of JSON: what it
 * begins with, then one turn a line. Throws `object.not_found`.
 */
export function exportBranch(
  session: Session,
  {
    from,
    isBefore,
    transforms,
  }: { from?: string | undefined; isBefore?: boolean | undefined; transforms: readonly Transform[] },
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
  const header: BranchHeader = { given: init, from: turn };
  const lines = (async function* (): AsyncGenerator<string> {
    yield `${JSON.stringify(header)}\n`;
    let isChanged = false;
    for (const one of path) {
      let { input, output } = one;
      for (const each of edits)
        [input, output] = [await rewriteItems(input, each, blobs), await rewriteItems(output, each, blobs)];
      // What follows a change was sealed over the old words.
      isChanged ||= input !== one.input;
      if (isChanged && output.sealed) output = await rewriteItems(output, unseal, blobs);
      isChanged ||= output !== one.output;
      const copy: CopiedTurn = {
        ...copyTurn(one, input, output),
        ...(one.kind === "compaction" && { kind: "compaction" }),
      };
      yield `${JSON.stringify(copy)}\n`;
    }
  })();
  return new Response(toByteStream(lines), { headers: { "content-type": "application/x-ndjson" } });
}

/** Makes a session of an exported branch, under an id that nobody has. `parent`: the place of the session it comes from. */
export async function importBranch(
  lines: AsyncIterable<string>,
  { session, blobs, objectId, now }: { session: Session; blobs: Blobs; objectId: string; now: () => number },
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
      const copy = JSON.parse(line) as CopiedTurn;
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
  } catch (thrown) {
    session.discardImport();
    await blobs.clear();
    throw thrown;
  }
}

function toMessageEdit(transform: Transform): ((message: Message) => Message) | undefined {
  const { type, texts } =
    typeof transform === "string" ? { type: transform, texts: undefined } : { texts: undefined, ...transform };
  switch (type) {
    case "drop_thinking":
      return dropThinking;
    case "drop_tool_results":
      return (message) =>
        mapBlocks(message, (block) => (block.kind === "tool_result" ? edit(block, { content: [DROPPED] }) : block));
    case "redact":
      return (message) => mapBlocks(message, (block) => redactBlock(block, texts));
    case "replace_model":
      return undefined;
  }
}

const DROPPED: Part = { kind: "text", text: "[result dropped]" };

function dropThinking(message: Message): Message {
  const isThinking = message.blocks.some(({ kind }) => kind === "thinking");
  return isThinking
    ? edit(unseal(message), { blocks: unseal(message).blocks.filter(({ kind }) => kind !== "thinking") })
    : message;
}

/** The message itself, when no block changes. */
function mapBlocks(message: Message, edits: (block: Block) => Block): Message {
  const blocks = message.blocks.map(edits);
  return blocks.every((block, i) => block === message.blocks[i]) ? message : edit(message, { blocks });
}

function redactBlock(block: Block, texts: readonly string[] | undefined): Block {
  switch (block.kind) {
    case "text":
    case "thinking": {
      const text = redact(block.text, texts);
      return text === block.text ? block : edit(block, { text });
    }
    case "tool_call": {
      const args = redact(block.arguments, texts);
      return args === block.arguments ? block : edit(block, { arguments: args });
    }
    case "tool_result": {
      const content = block.content.map((part) => redactBlock(part, texts) as Part);
      return content.every((part, i) => part === block.content[i]) ? block : edit(block, { content });
    }
    case "media":
    case "opaque":
      return block;
  }
}
