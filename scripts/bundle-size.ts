import { bundle, sizes } from "./bundle.ts";
import { Refusal, runScript } from "./refusal.ts";

/** DESIGN 7: a worker starts fast when it is small. */
const LIMIT_BYTES = 1024 * 1024;

/** `npm run build`: builds the worker as a deployment would and holds it to its size. */
await runScript(async () => {
  const built = await bundle();
  console.log(sizes(built));
  if (built.gzipped > LIMIT_BYTES) throw new Refusal("The bundle is above its limit of 1 MiB compressed");
});
