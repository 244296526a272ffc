// Takes each view as a small WebP file: NAME-WIDTH-THEME.webp in $UPDRAFT_E2E_PICTURES.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { api, at, end, open } from "./harness.mjs";
import { Guarded, login } from "./server.mjs";

const folder = process.env.UPDRAFT_E2E_PICTURES;
mkdirSync(folder, { recursive: true });

const runs = async (dag, state) => (await api("GET", `/api/v2/dags/${dag}/dagRuns?order_by=-run_after&limit=50${state ? `&state=${state}` : ""}`)).dag_runs.map((run) => run.dag_run_id);
const [failed] = await runs("sales_daily", "failed");
const [good] = await runs("sales_daily", "success");
const [models] = await runs("warehouse_models", "failed");
const [crawl] = await runs("crawl_catalogue");
const [retried] = await runs("partner_files", "success");

/** What is looked at, and what must be there before it is taken. */
const VIEWS = {
  home: ["/", "sales_daily"],
  grid: ["/dags/sales_daily"],
  graph: ["/dags/warehouse_models?tab=graph"],
  calendar: ["/dags/sales_daily?tab=calendar"],
  runs: ["/dags/sales_daily?tab=runs"],
  tasks: ["/dags/sales_daily?tab=tasks"],
  code: ["/dags/sales_daily?tab=code"],
  "code-diff": ["/dags/sales_daily?tab=code&version=2&base=1"],
  "dag-audit": ["/dags/sales_daily?tab=audit"],
  details: ["/dags/sales_daily?tab=details"],
  trigger: ["/dags/sales_daily?trigger=1", "Region"],
  run: [at("sales_daily", failed), "duplicate key"],
  "run-graph": [`${at("warehouse_models", models)}?view=graph`],
  "run-large": [at("warehouse_models", models)],
  log: [at("sales_daily", good, "extract"), "118,204 rows"],
  attempts: [`${at("partner_files", retried, "download")}?tab=attempts`],
  pod: [`${at("sales_daily", failed, "load")}?tab=pod`],
  why: [`${at("crawl_catalogue", crawl, "page_8")}?tab=why`],
  rendered: [`${at("sales_daily", good, "extract")}?tab=rendered`],
  fleet: ["/fleet"],
  git: ["/git", "Say the region in capitals"],
  backfills: ["/backfills"],
  "import-errors": ["/import-errors", "colect"],
  pools: ["/pools", "polite"],
  variables: ["/variables", "warehouse_schema"],
  connections: ["/connections", "warehouse"],
};
/** The same of an API that asks who one is. */
const GUARDED = {
  users: ["/users", "Cleo"],
  tokens: ["/tokens", "deploys"],
  audit: ["/audit", "cleo"],
};
const only = process.argv.slice(2);

/** A browser makes them small: what it shows is what it packs. */
async function pack(page, png) {
  const url = await page.evaluate(async (data) => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext("2d").drawImage(image, 0, 0);
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/webp", quality: 0.7 })).arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  }, png.toString("base64"));
  return Buffer.from(url, "base64");
}

const guarded = await Guarded.start();
const people = [["ada", "Ada Example", ["admin"]], ["bo", "Bo Example", ["viewer", { role: "op", scope: "tag:sales" }]], ["cleo", "Cleo Example", ["user"]], ["dan", "Dan Example", ["viewer"]]];
for (const [name, display_name, roles] of people) await guarded.api("POST", "/ui/users", { name, display_name, email: `${name}@example.org`, password: `${name}-has-a-password`, roles });
await guarded.api("PATCH", "/ui/users/dan", { active: false });
for (const [name, days, permissions] of [["deploys of the warehouse", 90, ["runs.create", "runs.read"]], ["laptop", 30]]) await guarded.api("POST", "/ui/tokens", { name, days, permissions }, "ada:ada-has-a-password");

const packer = await open();
let bytes = 0;
async function take(page, go, name, [path, text], suffix) {
  if (only.length && !only.includes(name)) return;
  await go(path);
  await page.locator(".live.is-live").waitFor({ state: "attached" });
  if (text) await page.getByText(text).first().waitFor({ state: "attached" }).catch(() => console.error(`${name}: does not say ${text}`));
  await page.waitForFunction(() => !document.querySelector("[aria-busy=true], .skeleton"), undefined, { timeout: 5_000 }).catch(() => console.error(`${name}: is still loading`));
  const small = await pack(packer.page, await page.screenshot());
  bytes += small.length;
  writeFileSync(join(folder, `${name}-${suffix}.webp`), small);
}

for (const dark of [false, true]) {
  for (const width of [1440, 390]) {
    const options = { width, height: width === 390 ? 844 : 900, dark };
    const suffix = `${width}-${dark ? "dark" : "light"}`;
    const all = await open(options);
    all.page.mayFail = true;
    for (const [name, view] of Object.entries(VIEWS)) await take(all.page, all.go, name, view, suffix);
    await all.close();
    const theirs = await open({ ...options, base: guarded.url });
    theirs.page.mayFail = true;
    await login(theirs.page, theirs.go, "ada", "ada-has-a-password");
    for (const [name, view] of Object.entries(GUARDED)) await take(theirs.page, theirs.go, name, view, suffix);
    await theirs.close();
  }
}
guarded.stop();
await packer.close();
await end();
console.log(`${folder}: ${(bytes / 1024).toFixed(0)} KiB`);
