// The dashboard in a browser, against a server that runs things. `make test-ui` starts it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { api, at, end, look, open, over, trigger, url } from "./harness.mjs";

let failed;
let done;
before(async () => {
  failed = await trigger("price_list");
  done = await trigger("nightly_sales");
  const hostile = await trigger("hostile");
  await Promise.all([over("price_list", failed), over("nightly_sales", done), over("hostile", hostile)]);
});
after(end);

/** A page for one test; what went wrong in it fails the test. */
const browse = (name, options, body) => test(name, async () => {
  const view = await open(options);
  await body(view);
  await view.close();
});

browse("home lists DAGs, failing first, and finds them as one types", {}, async ({ page, go }) => {
  await go("/");
  const names = page.locator(".dags .body .name a:first-child");
  await page.getByRole("link", { name: "price_list", exact: true }).waitFor();
  const first = await names.allTextContents();
  assert.ok(first.indexOf("price_list") < first.indexOf("nightly_sales"), `failing first: ${first}`);
  await page.keyboard.press("/");
  await page.keyboard.type("sales-team");
  await page.waitForURL(/q=sales-team/);
  await page.getByRole("link", { name: "price_list", exact: true }).waitFor({ state: "detached" });
  assert.deepEqual(await names.allTextContents(), ["nightly_sales"]);
  await page.reload();
  await page.getByRole("link", { name: "nightly_sales", exact: true }).waitFor();
  assert.equal(await page.getByRole("link", { name: "price_list", exact: true }).count(), 0, "the address holds the search");
  await page.getByText("1 file cannot be read").waitFor();
  await page.getByText("✓ healthy").waitFor();
});

browse("a run that somebody else begins appears by itself", {}, async ({ page, go }) => {
  await go("/");
  await page.locator(".live.is-live").waitFor();
  const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "diamond", exact: true }) });
  await row.waitFor();
  const before = await row.locator(".strip a").count();
  await trigger("diamond");
  await row.locator(".strip a").nth(before).waitFor();
  await row.locator(".strip a.k-success").nth(before).waitFor();
});

browse("pause and its switch", {}, async ({ page, go }) => {
  await go("/?q=diamond");
  const button = page.getByRole("switch", { name: "Schedule of diamond", exact: true });
  await button.click();
  await page.getByText("diamond is paused").waitFor();
  assert.equal((await api("GET", "/api/v2/dags/diamond")).is_paused, true);
  await button.click();
  await page.getByText("diamond is on").waitFor();
  assert.equal((await api("GET", "/api/v2/dags/diamond")).is_paused, false);
});

browse("the grid is walked by keys, and opens a task", {}, async ({ page, go }) => {
  await go("/dags/price_list");
  const grid = page.getByRole("grid");
  await grid.focus();
  await page.locator(".grid-said b").waitFor();
  assert.match(await page.locator(".grid-said").innerText(), /^read: success/);
  await page.keyboard.press("ArrowDown");
  await page.locator(".grid-said").getByText("failed", { exact: false }).waitFor();
  assert.match(await page.getByRole("gridcell").innerText(), /^check, run of .*, failed$/);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/tasks\/check/);
  await page.getByText("ERROR: row 17 has no price").waitFor();
  await page.goBack();
  await page.getByRole("grid").waitFor();
});

browse("groups fold", {}, async ({ page, go }) => {
  await go("/dags/nightly_sales");
  await page.locator(".grid-name", { hasText: "shops" }).waitFor();
  await page.getByRole("grid").focus();
  await page.keyboard.press("Space");
  await page.locator(".grid-name", { hasText: "shops" }).waitFor({ state: "detached" });
  await page.keyboard.press("Space");
  await page.locator(".grid-name", { hasText: "shops" }).waitFor();
});

browse("a failed run opens on its first failure, with the end of its log, and is retried after a look", {}, async ({ page, go }) => {
  const run = await trigger("price_list");
  await over("price_list", run);
  await go(at("price_list", run));
  const panel = page.getByRole("region", { name: "Task check" });
  await panel.getByText("the command exited with code 3").first().waitFor();
  await panel.getByText("ERROR: row 17 has no price").waitFor();
  await page.getByRole("button", { name: "↻ Retry failed" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("check").waitFor();
  const touched = await dialog.locator(".preview li").allInnerTexts();
  assert.deepEqual(touched.map((text) => text.split("\n")[0]).sort(), ["check", "publish"]);
  await dialog.getByRole("button", { name: "↻ Run again" }).click();
  await page.getByText("2 tasks will run again").waitFor();
  // The second attempt fails as the first did, and nobody has to load the page to see it.
  await panel.getByRole("region", { name: "End of the log of try 2" }).getByText("ERROR: row 17 has no price").waitFor();
});

browse("a log grows while it is read, folds its groups, is searched, and a line has an address", {}, async ({ page, go }) => {
  const run = await trigger("nightly_sales", { region: "us" });
  await go(at("nightly_sales", run));
  await page.getByRole("option", { name: /^extract\.shops: running/ }).waitFor();
  await go(`${at("nightly_sales", run, "extract.shops")}?tab=log`);
  await page.getByText("row 1 of us").waitFor();
  await page.getByText("row 6 of us").waitFor();
  await page.keyboard.press("e");
  await page.getByText("row 6 of us").waitFor({ state: "detached" });
  await page.keyboard.press("e");
  await page.getByLabel("Search in the log").fill("row");
  await page.getByText("1 of 6").waitFor();
  await page.keyboard.press("Enter");
  await page.getByText("2 of 6").waitFor();
  await page.getByRole("link", { name: "Line 5" }).click();
  await page.waitForURL(/line=5/);
  await page.locator(".is-named").waitFor();
});

browse("a form is made from params, and says what is wrong", {}, async ({ page, go }) => {
  await go("/dags/nightly_sales");
  await page.getByRole("button", { name: "▶ Trigger" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Day").fill("2026-01-31");
  await dialog.getByLabel("region").selectOption("asia");
  await dialog.getByLabel("full").check();
  await dialog.getByLabel("limit").fill("5000");
  await dialog.getByRole("button", { name: "▶ Trigger" }).click();
  assert.equal(await dialog.getByLabel("limit").evaluate((input) => input.validity.rangeOverflow), true);
  await dialog.getByLabel("limit").fill("7");
  await dialog.getByRole("button", { name: "▶ Trigger" }).click();
  await page.waitForURL(/\/runs\//);
  await page.getByText("asia").waitFor();
  const runs = await api("GET", "/api/v2/dags/nightly_sales/dagRuns?order_by=-run_after&limit=1");
  assert.deepEqual(runs.dag_runs[0].conf, { day: "2026-01-31", full: true, limit: 7, region: "asia" });
});

browse("the palette, the keys and their dialog need no mouse", {}, async ({ page, go }) => {
  await go("/pools");
  await page.getByRole("heading", { name: "Pools" }).waitFor();
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").waitFor();
  await page.keyboard.type("price");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/dags\/price_list/);
  await page.getByRole("grid").waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("Find a DAG or a page").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
});

browse("pools and variables are made, changed and deleted", {}, async ({ page, go }) => {
  await go("/pools");
  await page.getByRole("button", { name: "+ Add" }).click();
  await page.getByLabel("Name", { exact: true }).fill("e2e");
  await page.getByLabel("Slots").fill("3");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("The pool e2e is made.").waitFor();
  await page.getByRole("button", { name: "Edit e2e" }).click();
  await page.getByLabel("Slots").fill("4");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("The pool e2e is saved.").waitFor();
  assert.equal((await api("GET", "/api/v2/pools/e2e")).slots, 4);
  await page.getByRole("button", { name: "Delete e2e" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText("The pool is deleted.").waitFor();
});

browse("a connection that is lost is said, and what was missed is shown afterwards", {}, async ({ page, go }) => {
  page.mayFail = true;
  const cut = (route) => route.abort();
  await page.route("**/ui/events*", cut);
  await go("/?q=diamond_yaml");
  const runs = page.locator(".strip a");
  await page.getByText("The connection is lost.").waitFor();
  const before = await runs.count();
  await over("diamond_yaml", await trigger("diamond_yaml"));
  assert.equal(await runs.count(), before, "nothing tells of it, so this is what the notice is about");
  await page.unroute("**/ui/events*", cut);
  await page.getByText("The connection is lost.").waitFor({ state: "detached" });
  await runs.nth(before).waitFor();
});

browse("what users write stays text", {}, async ({ page, go }) => {
  const [run] = (await api("GET", "/api/v2/dags/hostile/dagRuns")).dag_runs;
  await api("PATCH", `/api/v2/dags/hostile/dagRuns/${encodeURIComponent(run.dag_run_id)}`, { note: "<img src=x onerror=window.__hit=1>" });
  for (const path of ["/?q=hostile", "/dags/hostile", "/dags/hostile?tab=details", "/dags/hostile?tab=code", "/dags/hostile?trigger=1", at("hostile", run.dag_run_id), at("hostile", run.dag_run_id, "write"), `${at("hostile", run.dag_run_id, "write")}?tab=why`, `${at("hostile", run.dag_run_id, "write")}?tab=rendered`]) {
    await go(path);
    await page.getByText("onerror").or(page.getByText("hostile")).first().waitFor();
    await page.waitForLoadState("load");
    assert.equal(await page.evaluate(() => window.__hit), undefined, path);
    assert.equal(await page.locator("img[src=x], svg[onload], main script").count(), 0, path);
  }
  const policy = (await fetch(`${url}/`)).headers.get("content-security-policy");
  assert.match(policy, /default-src 'self'/);
  assert.doesNotMatch(policy, /unsafe/);
});

const places = () => [
  ["home", "/", (page) => page.getByRole("link", { name: "price_list", exact: true })],
  ["grid", "/dags/price_list", (page) => page.getByRole("grid")],
  ["runs", "/dags/price_list?tab=runs", (page) => page.getByRole("table")],
  ["tasks", "/dags/price_list?tab=tasks", (page) => page.getByRole("table")],
  ["code", "/dags/price_list?tab=code", (page) => page.getByRole("region", { name: /Source/ })],
  ["details", "/dags/price_list?tab=details", (page) => page.getByText("Bundle")],
  ["trigger", "/dags/nightly_sales?trigger=1", (page) => page.getByRole("dialog").getByLabel("Day")],
  ["run", at("price_list", failed), (page) => page.getByText("ERROR: row 17 has no price")],
  ["run-good", at("nightly_sales", done), (page) => page.getByRole("listbox", { name: "Tasks" })],
  ["log", at("price_list", failed, "check"), (page) => page.getByText("ERROR: row 17 has no price")],
  ["why", `${at("price_list", failed, "check")}?tab=why`, (page) => page.getByRole("heading", { name: "Attempts" })],
  ["xcom", `${at("price_list", failed, "check")}?tab=xcom`, (page) => page.getByText("It left no XCom")],
  ["rendered", `${at("price_list", failed, "check")}?tab=rendered`, (page) => page.getByText("bash_command")],
  ["pools", "/pools", (page) => page.getByText("default_pool")],
  ["variables", "/variables", (page) => page.getByRole("heading", { name: "Variables" })],
  ["connections", "/connections", (page) => page.getByRole("heading", { name: "Connections" })],
  ["import-errors", "/import-errors", (page) => page.getByText("broken.yaml").first()],
  ["not-found", "/dags/nothing", (page) => page.getByText("It is not there")],
];

for (const dark of [false, true]) {
  for (const width of [1440, 390]) {
    browse(`every page is clean for axe and fits: ${dark ? "dark" : "light"}, ${width} wide`, { dark, width, height: width === 390 ? 844 : 900 }, async ({ page, go }) => {
      const wrong = [];
      for (const [name, path, shown] of places()) {
        page.mayFail = name === "not-found";
        await go(path);
        await shown(page).first().waitFor();
        await page.locator(".live.is-live").waitFor();
        wrong.push(...(await look(page, name, { width, dark })));
      }
      assert.deepEqual(wrong, []);
    });
  }
}
