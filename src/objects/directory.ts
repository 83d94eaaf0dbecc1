import { DurableObject } from "cloudflare:workers";
import { ResponseIndex, type ResponseLocation } from "../session/response-index.ts";
import { objectStorage } from "./storage.ts";

/** A shard of an organisation's directory of the response ids that providers gave. Composes; decides nothing. */
export class DirectoryObject extends DurableObject {
  readonly #directory: ResponseIndex;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#directory = new ResponseIndex(objectStorage(ctx).sql);
  }

  /** Durable when it resolves. */
  async put(id: string, at: ResponseLocation): Promise<void> {
    this.#directory.put(id, at);
    await this.ctx.storage.sync();
  }

  find(id: string): ResponseLocation | undefined {
    return this.#directory.find(id);
  }

  async remove(id: string): Promise<void> {
    this.#directory.remove(id);
    await this.ctx.storage.sync();
  }
}
