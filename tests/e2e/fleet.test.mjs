// The fleet, backfills and git in a browser: what they show, what they do, by keyboard, live.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { api, axe, end, open, over, trigger, url } from "./harness.mjs";

const EVIL = "<img src=x onerror=window.__hit=1>";
const work = process.env.UPDRAFT_E2E_WORK;
let held;
before(async () => {
  await api("POST", "/api/v2/pools", { name: "long_pool", slots: 3, description: EVIL });
  held = await trigger("long_one");
  await over("nightly_sales", await trigger("nightly_sales"));
});
after(async () => {
  await api("PATCH", `/api/v2/dags/long_one/dagRuns/${encodeURIComponent(held)}`, { state: "failed" });
  await end();
});

const browse = (name, options, body) => test(name, async () => {
  const view = await open(options);
  await body(view);
  await view.close();
});

/** Asks until it is so, each time after the server has told of something. */
async function until(what, body) {
  const stream = await fetch(`${url}/ui/events`);
  const reader = stream.body.getReader();
  try {
    for (const late = Date.now() + 120_000; Date.now() < late; await reader.read()) {
      const found = await body();
      if (found) return found;
    }
    assert.fail(`${what} did not come`);
  } finally {
    await reader.cancel();
  }
}

browse("the fleet shows workers, queues, pools and schedulers, and what a worker runs", {}, async ({ page, go }) => {
  await until("the long one", async () => (await api("GET", "/ui/workers")).workers[0]?.running > 0);
  await go("/fleet");
  const [worker] = (await api("GET", "/ui/workers")).workers;
  const row = page.getByRole("region", { name: "Workers, a table" }).getByRole("row", { name: new RegExp(worker.hostname) });
  await row.getByText("takes work").waitFor();
  await row.getByText(`1 of ${worker.concurrency}`, { exact: true }).waitFor();
  await page.getByRole("region", { name: "Queues, a table" }).getByRole("row", { name: /^default/ }).waitFor();
  await page.getByRole("img", { name: "1 running, 0 queued of 3" }).waitFor();
  await page.getByRole("region", { name: /^Schedulers/ }).last().getByText("alive").waitFor();
  assert.match(await row.innerText(), /\d+\.\d+\.\d+/, "its version");
  await page.getByRole("button", { name: `What ${worker.hostname} runs` }).click();
  await page.waitForURL(/worker=/);
  await page.getByRole("dialog").getByRole("link", { name: "hold" }).waitFor();
  await page.reload();
  await page.getByRole("dialog").getByRole("link", { name: "hold" }).click();
  await page.waitForURL(/tasks\/hold/);
  await page.goBack();
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
});

browse("a worker is drained and let go by keyboard, and the page of another sees it", {}, async ({ page, go }) => {
  const other = await open();
  await other.go("/fleet");
  const [worker] = (await api("GET", "/ui/workers")).workers;
  await other.page.getByText("takes work", { exact: true }).waitFor();
  await go("/fleet");
  await page.getByRole("button", { name: `Drain ${worker.hostname}` }).focus();
  await page.keyboard.press("Enter");
  await page.getByLabel("Why").focus();
  await page.keyboard.type(EVIL);
  await page.keyboard.press("Enter");
  await page.getByText(`${worker.hostname} takes nothing new.`).waitFor();
  assert.equal((await api("GET", "/ui/workers")).workers[0].state, "draining");
  await other.page.getByText("drains", { exact: true }).waitFor();
  await other.page.getByRole("button", { name: /workers degraded/ }).waitFor();
  assert.equal(await other.page.evaluate(() => window.__hit), undefined);
  await page.getByRole("button", { name: `Undrain ${worker.hostname}` }).focus();
  await page.keyboard.press("Enter");
  await other.page.getByText("takes work", { exact: true }).waitFor();
  await other.page.getByRole("button", { name: "✓ healthy" }).waitFor();
  assert.equal((await api("GET", "/ui/workers")).workers[0].state, "running");
  await other.close();
});

browse("plots have a range in the address, a cursor for the arrows and a table", {}, async ({ page, go }) => {
  await until("a minute in which something succeeded", async () => (await api("GET", "/ui/fleet/history?range=1h")).points.some((point) => point.success > 0));
  await go("/fleet");
  const plot = page.getByRole("region", { name: "Throughput", exact: true });
  await plot.getByRole("img").focus();
  for (const key of ["Home", "ArrowRight", "End"]) await page.keyboard.press(key);
  await plot.getByText(/success \d|nobody counted/).waitFor();
  await plot.getByText("As a table").click();
  const cells = plot.getByRole("region", { name: "Throughput, as a table" }).locator("tbody tr");
  await cells.first().waitFor();
  assert.equal(await cells.count(), 60);
  const shown = (await cells.locator("td:nth-child(2)").allTextContents()).map((text) => Number(text.replaceAll(",", ""))).reduce((a, b) => a + b, 0);
  assert.ok(shown > 0, "what ran is there");
  assert.ok((await plot.locator("svg.plot-area rect.k-success").count()) > 0, "and drawn");
  await page.getByRole("button", { name: "24 hours" }).click();
  await page.waitForURL(/range=24h/);
  await page.waitForFunction(() => document.querySelectorAll(".plot-table tbody tr").length === 288);
  await page.goBack();
  await page.waitForFunction(() => document.querySelectorAll(".plot-table tbody tr").length === 60);
});

browse("a maintenance is begun and ended, and every page says so at once", {}, async ({ page, go }) => {
  await go("/fleet");
  await page.getByRole("button", { name: "Stop launches…" }).click();
  await page.getByLabel("Why").fill("disks");
  await page.getByRole("dialog").getByRole("button", { name: "Stop launches" }).click();
  await page.getByText("Nothing is launched any more.").waitFor();
  await page.getByRole("button", { name: "‖ maintenance" }).click();
  await page.getByRole("dialog").getByText(/maintenance by .*: disks/).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "End the maintenance" }).click();
  await page.getByRole("button", { name: "✓ healthy" }).waitFor();
  assert.equal((await api("GET", "/ui/maintenance")).maintenance, false);
});

browse("nothing is polled: ten minutes of the page's own clock ask for nothing", {}, async ({ page, go }) => {
  page.mayFail = true;
  await page.clock.install();
  for (const path of ["/", "/fleet", "/git", "/backfills", "/pools"]) {
    await go(path);
    await page.locator(".live.is-live").waitFor();
    await page.waitForLoadState("load");
    await page.clock.runFor(3_000);
    // What others do meanwhile is told by the stream: without it nothing else may be asked.
    await page.route("**/ui/events*", (route) => route.abort());
    const asked = [];
    page.on("request", (request) => { if (/\/(ui|api)\//.test(request.url()) && !request.url().includes("/ui/events")) asked.push(request.url()); });
    await page.clock.runFor("10:00");
    assert.deepEqual(asked, [], path);
    page.removeAllListeners("request");
    await page.unroute("**/ui/events*");
  }
});

browse("a backfill is looked at before it is made, goes on while one looks, is paused and cancelled", {}, async ({ page, go }) => {
  await go("/dags/past_days");
  await page.getByRole("link", { name: "Backfills", exact: true }).last().click();
  await page.waitForURL(/\/backfills\?dag=past_days/);
  await page.getByRole("button", { name: "+ New backfill" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("From (UTC)").fill("2026-01-05T00:00");
  await dialog.getByLabel("To (UTC)").fill("2026-01-09T00:00");
  await dialog.getByText("5 runs, in this order:").waitFor();
  const dates = () => dialog.locator(".dates time").evaluateAll((all) => all.map((one) => one.dateTime.slice(0, 10)));
  assert.deepEqual(await dates(), ["2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08", "2026-01-09"]);
  await dialog.getByLabel("The newest first").check();
  await page.waitForFunction(() => document.querySelector(".dates time")?.dateTime.startsWith("2026-01-09"));
  await dialog.getByText("Configuration of its runs").click();
  await dialog.getByLabel("As JSON").fill("{");
  await dialog.getByText(/not JSON/).waitFor();
  await dialog.getByLabel("As JSON").fill("");
  await dialog.getByLabel("Runs at once").fill("1");
  await dialog.getByRole("button", { name: "Make 5 runs" }).click();
  await dialog.waitFor({ state: "detached" });
  const [made] = (await api("GET", "/ui/backfills?dag_id=past_days")).backfills;
  assert.deepEqual([made.max_active_runs, made.run_backwards, made.reprocess_behavior], [1, true, "none"]);
  // Nobody asks again: the stream tells.
  await page.getByText("5 success").waitFor();
  await page.getByText("complete", { exact: true }).waitFor();
  await page.getByRole("button", { name: "+ New backfill" }).click();
  await dialog.getByLabel("From (UTC)").fill("2026-01-05T00:00");
  await dialog.getByLabel("To (UTC)").fill("2026-01-20T00:00");
  await dialog.getByText("11 runs, in this order:").waitFor();
  await dialog.getByLabel("do it again if it is over").check();
  await dialog.getByText("16 runs, in this order:").waitFor();
  await dialog.getByLabel("Runs at once").fill("1");
  await dialog.getByRole("button", { name: "Make 16 runs" }).click();
  await page.getByRole("button", { name: /^Pause backfill/ }).click();
  await page.getByText("paused", { exact: true }).waitFor();
  assert.equal((await api("GET", "/ui/backfills?dag_id=past_days&order_by=-id")).backfills[0].is_paused, true);
  await page.getByRole("button", { name: /^Go on with backfill/ }).click();
  await page.getByText("goes on", { exact: true }).waitFor();
  await page.getByRole("button", { name: /^Cancel backfill/ }).click();
  await dialog.getByRole("button", { name: "Cancel the backfill" }).click();
  await page.getByText("It is cancelled.").waitFor();
  await page.getByText("over, with failures").waitFor();
  await page.getByRole("button", { name: "+ New backfill" }).click();
  page.mayFail = true;
  await dialog.getByLabel("DAG").selectOption("price_list");
  await dialog.getByText(/non-periodic/).waitFor();
});

browse("git shows the commit, takes the next one when asked, and says which DAG it changed", {}, async ({ page, go }) => {
  await go("/git");
  await page.getByText(`Say ${EVIL}`).first().waitFor();
  await page.getByText("by Eve").first().waitFor();
  const table = page.getByRole("region", { name: "Commits, a table" });
  await table.getByRole("link", { name: "from_git" }).waitFor();
  assert.equal(await page.evaluate(() => window.__hit), undefined);
  writeFileSync(`${work}/clone/second.yaml`, "dag_id: second_of_git\nschedule: null\ntasks:\n  a: { bash_command: echo a }\n");
  const git = (...words) => execFileSync("git", ["-C", `${work}/clone`, "-c", "user.name=Adam", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false", ...words]);
  git("add", ".");
  git("commit", "-q", "-m", "Add a second one");
  git("push", "-q", `${work}/dags.git`, "main");
  await page.getByRole("button", { name: "↻ Sync now" }).focus();
  await page.keyboard.press("Enter");
  await page.getByText("The scheduler asks every repository now.").waitFor();
  const row = table.getByRole("row", { name: /Add a second one/ });
  await row.getByRole("link", { name: "second_of_git" }).waitFor();
  assert.equal(await row.getByRole("link", { name: "from_git", exact: true }).count(), 0, "that one did not change");
  await row.getByText("Adam").waitFor();
  const { sources } = await api("GET", "/ui/sources");
  assert.equal(sources.find((one) => one.kind === "git").subject, "Add a second one");
  assert.equal((await api("GET", "/api/v2/eventLogs?event=sync_dag_sources")).total_entries, 1);
});

const places = () => [
  ["fleet", "/fleet", (page) => page.locator(".plot-area")],
  ["fleet-7d", "/fleet?range=7d", (page) => page.locator(".plot-area")],
  ["backfills", "/backfills", (page) => page.getByRole("progressbar")],
  ["backfill-new", "/backfills?new=past_days", (page) => page.locator(".dates time").or(page.getByText("Nothing: every run"))],
  ["git", "/git", (page) => page.getByRole("region", { name: "Commits, a table" })],
];

for (const dark of [false, true]) {
  for (const width of [1440, 390]) {
    browse(`fleet, backfills and git are clean for axe and fit: ${dark ? "dark" : "light"}, ${width} wide`, { dark, width, height: width === 390 ? 844 : 900 }, async ({ page, go }) => {
      const wrong = [];
      for (const [name, path, shown] of places()) {
        await go(path);
        await shown(page).first().waitFor();
        await page.locator(".live.is-live").waitFor();
        if (process.env.UPDRAFT_E2E_SHOTS) await page.screenshot({ path: `${process.env.UPDRAFT_E2E_SHOTS}/${name}-${width}-${dark ? "dark" : "light"}.png`, fullPage: true });
        wrong.push(...(await axe(page, name)));
        if (!(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth))) wrong.push(`${name} is wider than the window`);
      }
      assert.deepEqual(wrong, []);
    });
  }
}
