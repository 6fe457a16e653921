// Measures what the client adds to a page: all that it exports, bundled, minified and gzipped. Fails above the limit.

import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** Bytes of the gzipped bundle. */
const LIMIT = 6 * 1024;

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL("../dist/index.js", import.meta.url))],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  write: false,
});
const bundle = outputFiles[0].contents;
const gzipped = gzipSync(bundle, { level: 9 }).length;
console.log(`minified ${bundle.length} bytes, gzipped ${gzipped} bytes, limit ${LIMIT} bytes`);
if (gzipped > LIMIT) {
  console.error(`the bundle is ${gzipped - LIMIT} bytes over its limit`);
  process.exitCode = 1;
}
