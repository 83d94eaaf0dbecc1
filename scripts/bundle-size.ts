import { readFileSync } from "node:fs";
import { bundle, type Bundle, toKib, describeSize } from "./bundle.ts";
import { UserError, runScript } from "./user-error.ts";

/** Compressed. A small script starts faster. */
const LIMIT_BYTES = 900 * 1024;
/** A package that takes less is counted as `other packages`. */
const LISTED_BYTES = 10 * 1024;

/** `npm run build`: builds the worker as a deployment would, prints what it consists of, and enforces its size limit. */
await runScript(async () => {
  const built = await bundle();
  const rooms = Map.groupBy(inputs(built), ({ room }) => room);
  const totals = [...rooms].map(([room, all]) => ({ room, bytes: all.reduce((sum, { bytes }) => sum + bytes, 0) }));
  for (const { room, bytes } of totals.toSorted((a, b) => b.bytes - a.bytes))
    console.log(`${toKib(bytes).padStart(8)} KiB  ${room}`);
  console.log(describeSize(built));
  if (built.gzipped > LIMIT_BYTES)
    throw new UserError(`The bundle exceeds its limit of ${toKib(LIMIT_BYTES)} KiB compressed`);
});

type Metafile = { outputs: Record<string, { inputs: Record<string, { bytesInOutput: number }> }> };

/** The bytes of each package and of each folder of `src/`. */
function inputs({ metafile }: Bundle): { room: string; bytes: number }[] {
  const { outputs } = JSON.parse(readFileSync(metafile, "utf8")) as Metafile;
  const sizeOf = new Map<string, number>();
  for (const { inputs: all } of Object.values(outputs))
    for (const [file, { bytesInOutput }] of Object.entries(all)) {
      const room = roomOf(file);
      sizeOf.set(room, (sizeOf.get(room) ?? 0) + bytesInOutput);
    }
  return [...sizeOf].map(([room, bytes]) => ({
    room: room.startsWith("src/") || bytes >= LISTED_BYTES ? room : "other packages",
    bytes,
  }));
}

function roomOf(file: string): string {
  const own = /(?:^|\/)(src\/[^/]+)/.exec(file);
  const inPackage = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file);
  return inPackage?.[1] ?? own?.[1] ?? "other packages";
}
