/** Whether this isolate has seen that the tables of earlier versions are gone. They do not come back. */
let areDropped = false;

export const markDropped = (): void => void (areDropped = true);
export const wereDropped = (): boolean => areDropped;

/** What is read from a table that may be gone: nothing, then. */
export const orNone = async <Row>(read: () => Promise<Row[]>): Promise<Row[]> => await withOld(read, async () => []);

/** Reads with a table that may be gone; then without it. */
export async function withOld<T>(read: () => Promise<T>, readWithout: () => Promise<T>): Promise<T> {
  if (areDropped) return await readWithout();
  try {
    return await read();
  } catch (error) {
    if (!/no such table/.test(`${String(error)} ${String((error as Error).cause)}`)) throw error;
    areDropped = true;
    return await readWithout();
  }
}
