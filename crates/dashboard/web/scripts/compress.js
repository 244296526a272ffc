// Compresses what Vite built, once and well, and holds the first load to its budget.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const root = new URL("../../dist/web/", import.meta.url);
const BUDGET = 200 * 1024;
const sizes = new Map();

for (const name of readdirSync(root, { recursive: true })) {
  if (!/\.(html|js|css|svg)$/.test(name)) continue;
  const file = new URL(name, root);
  const bytes = readFileSync(file);
  const gzip = gzipSync(bytes, { level: 9 });
  const brotli = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } });
  writeFileSync(`${file.pathname}.gz`, gzip);
  writeFileSync(`${file.pathname}.br`, brotli);
  sizes.set(name, gzip.length);
}

// What the page names is loaded before anything is seen; other files come when a view asks for them.
const page = readFileSync(new URL("index.html", root), "utf8");
const first = ["index.html", ...[...page.matchAll(/"\/(assets\/app\/[^"]+)"/g)].map((found) => found[1])];
const total = first.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
for (const [name, size] of sizes) console.log(`${first.includes(name) ? "first " : "later "} ${(size / 1024).toFixed(1).padStart(7)} KiB  ${name}`);
console.log(`first load: ${(total / 1024).toFixed(1)} KiB of ${BUDGET / 1024} KiB, with gzip`);
if (total > BUDGET) {
  console.error("error: the first load is over its budget: load what few visits need by `lazyRouteComponent` or `import()`");
  process.exit(1);
}
