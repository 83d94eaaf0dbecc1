/** Large texts by name, in R2. A name says what it holds, so writing one twice changes nothing. */
export type Blobs = {
  put: (name: string, text: string) => Promise<void>;
  /** undefined: it is not there. */
  get: (name: string) => Promise<string | undefined>;
  /** Takes over what another session's blobs hold under these names. */
  copyFrom: (from: string, names: readonly string[]) => Promise<void>;
  clear: () => Promise<void>;
};

/** The blobs of one session. Each has its own: what a session held goes with it, whoever branched from it. */
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
