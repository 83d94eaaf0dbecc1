import { DurableObject } from "cloudflare:workers";
import { Directory, type Whereabouts } from "../session/response-index.ts";

/** A shard of an organisation's directory of the response ids that providers gave. Composes; decides nothing. */
export class DirectoryObject extends DurableObject {
  readonly #directory: Directory;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#directory = new Directory((query, ...values) => ctx.storage.sql.exec(query, ...values).toArray() as never[]);
  }

  /** Durable when it resolves. */
  async put(id: string, at: Whereabouts): Promise<void> {
    this.#directory.put(id, at);
    await this.ctx.storage.sync();
  }

  find(id: string): Whereabouts | undefined {
    return this.#directory.find(id);
  }

  async remove(id: string): Promise<void> {
    this.#directory.remove(id);
    await this.ctx.storage.sync();
  }
}
