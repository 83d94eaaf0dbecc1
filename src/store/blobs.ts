/** Large texts by name, in R2. A name is a hash of the text, so writing one again is idempotent. */
export type Blobs = {
  put: (name: string, text: string) => Promise<void>;
  /** The text; undefined if there is no blob of that name. */
  get: (name: string) => Promise<string | undefined>;
  /** Copies blobs of these names from another session. Missing ones are skipped. */
  copyFrom: (from: string, names: readonly string[]) => Promise<void>;
  /** Deletes all blobs of the session. */
  clear: () => Promise<void>;
};

/** The blobs of one session. Sessions share none: deleting a session deletes its blobs, and its branches have copies. */
export function openBlobs(bucket: R2Bucket, session: string): Blobs {
  const keyOf = (name: string, owner = session): string => `media/${owner}/${name}`;
  return {
    put: async (name, text) => void (await bucket.put(keyOf(name), text)),
    get: async (name) => (await bucket.get(keyOf(name)))?.text(),
    copyFrom: async (from, names) => {
      for (const name of names) {
        const found = await bucket.get(keyOf(name, from));
        if (found !== null) await bucket.put(keyOf(name), found.body);
      }
    },
    clear: async () => {
      for (let list = await bucket.list({ prefix: keyOf("") }); ; list = await bucket.list({ prefix: keyOf("") })) {
        if (list.objects.length > 0) await bucket.delete(list.objects.map(({ key }) => key));
        if (!list.truncated) return;
      }
    },
  };
}
