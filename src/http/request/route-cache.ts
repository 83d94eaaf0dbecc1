import type { Result, Router } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";

/**
 * Hono's router, which remembers what answers at paths that are routes word for word: all that SDKs generate with, but
 * Gemini's. It holds no more than there are routes, whatever clients ask for.
 */
export class CachedRouter<T> implements Router<T> {
  readonly name = "Matcher";
  readonly #trie = new TrieRouter<T>();
  readonly #routes = new Set<string>();
  readonly #found = new Map<string, Result<T>>();

  add(method: string, path: string, handler: T): void {
    this.#trie.add(method, path, handler);
    this.#routes.add(`${method} ${path}`);
    this.#found.clear();
  }

  match(method: string, path: string): Result<T> {
    const route = `${method} ${path}`;
    const known = this.#found.get(route);
    if (known !== undefined) return known;
    const found = this.#trie.match(method, path);
    if (this.#routes.has(route)) this.#found.set(route, found);
    return found;
  }
}
