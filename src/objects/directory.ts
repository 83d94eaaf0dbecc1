import { DurableObject } from "cloudflare:workers";
import { ResponseIndex, type ResponseLocation } from "../session/directory/response-index.ts";
import { TranscriptIndex } from "../session/directory/transcript-index.ts";
import { objectStorage } from "./storage.ts";

/**
 * The Durable Object of one shard of an organisation's response index: locations of responses whose ids providers made,
 * and of output items; or of one shard of a key's index of transcripts. It composes and decides nothing.
 */
export class DirectoryObject extends DurableObject {
  readonly #directory: ResponseIndex;
  readonly #transcripts: TranscriptIndex;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const { sql } = objectStorage(ctx);
    this.#directory = new ResponseIndex(sql);
    this.#transcripts = new TranscriptIndex(sql, Date.now);
  }

  /** Stores the location of a response. Durable when it resolves. */
  async put(id: string, at: ResponseLocation): Promise<void> {
    this.#directory.put(id, at);
    await this.ctx.storage.sync();
  }

  /** The same for an output item of a response; an item id that two calls give is found no more. */
  async putItem(id: string, at: ResponseLocation): Promise<void> {
    this.#directory.putUnique(id, at);
    await this.ctx.storage.sync();
  }

  /** The location of a response or an item; `undefined` if it is not indexed. */
  find(id: string): ResponseLocation | undefined {
    return this.#directory.find(id);
  }

  /** Leads from a transcript to its conversation. Durable when it resolves. */
  async putTranscript(hash: string, conversation: string): Promise<void> {
    this.#transcripts.put(hash, conversation);
    await this.ctx.storage.sync();
  }

  /** The conversation of the first of these transcripts that is known. */
  findTranscript(hashes: readonly string[]): string | undefined {
    return this.#transcripts.find(hashes);
  }

  /** Removes a response from the index. Durable when it resolves. */
  async remove(id: string): Promise<void> {
    this.#directory.remove(id);
    await this.ctx.storage.sync();
  }
}
