// The parts of a DAG's page: graph, grid, tasks, calendar, code, audit, and the graph of a run.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { write } from "./files.mjs";
import { api, at, end, look, open, over, trigger, url } from "./harness.mjs";

let run;
before(async () => {
  run = await trigger("etl_groups");
  await over("etl_groups", run);
  await over("hostile", await trigger("hostile"));
});
after(end);

const browse = (name, options, body) => test(name, async () => {
  const view = await open(options);
  await body(view);
  await view.close();
});
const drawn = (page, boxes) => page.waitForFunction((count) => document.querySelector(".graph-box canvas")?.dataset.drawn?.endsWith(`:${count}`), boxes);
const said = (page) => page.locator(".grid-said");

browse("the graph is walked along its lines, and Enter opens the task", {}, async ({ page, go }) => {
  await go("/dags/etl_groups");
  await page.getByRole("grid").waitFor();
  await page.keyboard.press("g");
  await page.waitForURL(/tab=graph/);
  assert.deepEqual(await page.locator(".tabs [aria-current]").allInnerTexts(), ["Graph"]);
  await drawn(page, 9);
  const graph = page.getByRole("listbox", { name: /Graph of etl_groups/ });
  await graph.focus();
  await said(page).getByText("start, EmptyOperator, success, after nothing, before load.eu.fetch, load.us.fetch").waitFor();
  await page.keyboard.press("ArrowRight");
  await page.waitForURL(/task=load\.(eu|us)\.fetch/);
  await page.keyboard.press("ArrowRight");
  await page.waitForURL(/task=load\.(eu|us)\.clean/);
  await page.keyboard.press("ArrowLeft");
  await page.waitForURL(/task=load\.(eu|us)\.fetch/);
  await page.reload();
  await drawn(page, 9);
  await said(page).getByText(/load\.(eu|us)\.fetch, BashOperator, success, after start, before load/).waitFor();
  assert.match(await page.getByRole("option").innerText(), /fetch, BashOperator, success/);
  await graph.focus();
  await page.keyboard.press("End");
  await said(page).getByText("report, EmptyOperator, success, after publish, before nothing").waitFor();
  await page.keyboard.press("Home");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/tasks\/start/);
  await page.goBack();
  await drawn(page, 9);
  await page.keyboard.press("g");
  await page.getByRole("grid").waitFor();
});

browse("groups fold in graph and grid, and the address says so", {}, async ({ page, go }) => {
  await go("/dags/etl_groups?tab=graph");
  await drawn(page, 9);
  await page.getByRole("button", { name: "Fold groups" }).click();
  await page.waitForURL(/folded=/);
  await drawn(page, 5);
  await page.reload();
  await drawn(page, 5);
  const graph = page.getByRole("listbox");
  await graph.focus();
  await said(page).getByText("start").waitFor();
  await page.keyboard.press("ArrowRight");
  await said(page).getByText("group load, 5 tasks, folded, failed, after start, before check, publish").waitFor();
  await page.keyboard.press("Space");
  await drawn(page, 7);
  // The groups in it are folded still.
  assert.equal(new URL(page.url()).searchParams.get("open"), "load");
  await page.goto(`${url}/dags/etl_groups?folded=load.eu`);
  await page.locator(".grid-name", { hasText: "merge" }).waitFor();
  assert.deepEqual(await page.locator(".grid-name button").allInnerTexts().then((all) => all.map((text) => text.replace(/\s+/g, " ").trim())), ["▾ load 5", "▸ eu 2", "▾ us 2"]);
  await page.locator(".grid-name button", { hasText: "load" }).first().click();
  await page.waitForURL(/folded=load\.eu%2Cload|folded=load%2Cload\.eu|open=load\.us/);
  await page.locator(".grid-name", { hasText: "merge" }).waitFor({ state: "detached" });
  await page.goBack();
  await page.locator(".grid-name", { hasText: "merge" }).waitFor();
});

browse("tasks are found in the graph, and the mouse chooses, moves and zooms", {}, async ({ page, go }) => {
  await go("/dags/etl_groups?tab=graph");
  await drawn(page, 9);
  await page.keyboard.press("/");
  await page.keyboard.type("clean");
  await page.getByText("2 found; Enter goes from one to the next").waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(/task=load\.eu\.clean/);
  await page.keyboard.press("Enter");
  await page.waitForURL(/task=load\.us\.clean/);
  // The first box is at the left of a picture that fits: found by where the server puts it.
  const picture = await api("GET", "/ui/graph/etl_groups");
  const start = picture.boxes.find((box) => box.id === "start");
  const place = await page.locator(".graph-box canvas").boundingBox();
  await page.getByRole("button", { name: "Fit" }).click();
  const k = Math.min(1, place.width / picture.width, place.height / picture.height);
  const spare = (room, taken) => Math.max(0, (room - taken * k) / 2);
  const spot = { x: place.x + spare(place.width, picture.width) + (start.x + start.width / 2) * k, y: place.y + spare(place.height, picture.height) + (start.y + start.height / 2) * k };
  await page.mouse.click(spot.x, spot.y);
  await page.waitForURL(/task=start/);
  await page.mouse.move(place.x + 10, place.y + place.height - 10);
  await page.mouse.down();
  await page.mouse.move(place.x + 110, place.y + place.height - 60, { steps: 4 });
  await page.mouse.up();
  await page.mouse.click(spot.x + 100, spot.y - 50);
  await page.waitForURL(/task=start/);
  await page.mouse.wheel(0, 200);
  await page.getByRole("button", { name: "Fit" }).click();
  await page.mouse.click(place.x + 4, place.y + 4);
  await page.waitForURL((address) => !address.searchParams.has("task"));
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download as PNG" }).click()]);
  assert.equal(file.suggestedFilename(), "etl_groups-v1.png");
});

browse("the graph has a table that says the same", {}, async ({ page, go }) => {
  await go("/dags/etl_groups?tab=graph");
  await page.getByRole("button", { name: "Table", exact: true }).click();
  await page.waitForURL(/as=table/);
  const row = page.getByRole("row").filter({ has: page.getByRole("button", { name: "load.merge" }) });
  assert.deepEqual((await row.getByRole("cell").allInnerTexts()).map((text) => text.trim()), ["load.merge", "BashOperator", "upstream failed", "load.eu.clean, load.us.clean", "publish"]);
  await page.getByRole("button", { name: "Fold groups" }).click();
  const group = page.getByRole("row").filter({ hasText: "5 tasks" });
  assert.match(await group.innerText(), /5 tasks\s+failed\s+start\s+check, publish/);
});

browse("a run has its graph beside the Gantt, live", {}, async ({ page, go }) => {
  await go(at("etl_groups", run));
  await page.getByRole("listbox", { name: "Tasks" }).waitFor();
  await page.keyboard.press("g");
  await page.waitForURL(/view=graph/);
  await drawn(page, 9);
  await page.getByRole("listbox").focus();
  await page.keyboard.press("End");
  await said(page).getByText("report, EmptyOperator, success").waitFor();
  // What somebody else clears is seen without a reload.
  const slow = await trigger("nightly_sales");
  await go(`${at("nightly_sales", slow)}?view=graph&task=report`);
  await said(page).getByText("report, EmptyOperator, success, after check, before nothing").waitFor();
  await go(`${at("etl_groups", run)}?view=graph`);
  await page.getByRole("link", { name: "Gantt" }).click();
  await page.getByRole("listbox", { name: "Tasks" }).waitFor();
});

browse("tasks say how they fared", {}, async ({ page, go }) => {
  await go("/dags/etl_groups?tab=tasks");
  await page.getByRole("region", { name: "Tasks" }).waitFor();
  const row = page.getByRole("row", { name: /^load\.us\.clean/ });
  await row.getByText("failed").first().waitFor();
  await row.getByRole("img", { name: /^\d+ failed of \d+$/ }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("merge");
  await page.waitForURL(/q=merge/);
  await page.getByText("1 of 9 tasks").waitFor();
});

browse("the calendar counts runs, plans them, and opens them", {}, async ({ page, go }) => {
  await go("/dags/etl_groups?tab=calendar");
  const now = page.locator("[data-now]");
  await now.waitFor();
  assert.match(await now.getAttribute("aria-label"), /: .*\d+ success/);
  const planned = await page.locator('[role=gridcell][aria-label*="planned"]').count();
  assert.ok(planned >= 1 || new Date().getMonth() === 11, "a DAG of every day has days that are planned");
  await now.focus();
  await page.keyboard.press("h");
  await page.waitForURL(/day=/);
  const hour = page.locator('[data-hour][aria-label*="success"]').last();
  await hour.focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/tab=runs&from=|from=.*tab=runs/);
  await page.getByRole("link", { name: run }).waitFor();
  await page.goBack();
  await page.goBack();
  await now.focus();
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForURL(/from=/);
  await page.getByRole("link", { name: run }).waitFor();
  await page.getByRole("link", { name: "Runs of all times" }).click();
  await page.waitForURL((address) => !address.searchParams.has("from"));
  await go("/dags/etl_groups?tab=calendar&year=2025");
  await page.getByText("Jan 2025").first().waitFor();
});

browse("two versions are compared, in what they say and in their lines", {}, async ({ page, go }) => {
  const file = (retries, more) => `dag_id: versions\nschedule: null\ntasks:\n  one: { bash_command: echo one, retries: ${retries} }\n${more}`;
  await write("versions", file(0, ""));
  const first = await trigger("versions");
  await over("versions", first);
  await write("versions", file(2, "  two: { bash_command: \"echo '<img src=x onerror=window.__hit=1>'\", needs: [one] }\n"));
  await over("versions", await trigger("versions"));
  await go("/dags/versions?tab=code");
  await page.getByRole("region", { name: "Source of version 2" }).waitFor();
  await page.getByRole("button", { name: "What changed in version 2?" }).click();
  await page.waitForURL(/base=1/);
  const changes = page.getByRole("region", { name: "What changed in what they say" });
  await changes.getByRole("row").filter({ hasText: "retries" }).getByText("~ changed").waitFor();
  await changes.getByRole("row").filter({ hasText: "two" }).getByText("+ added").waitFor();
  const lines = page.getByRole("region", { name: "Lines of version 1 and of version 2" });
  assert.equal(await lines.locator("tr.is-removed").count(), 1);
  assert.equal(await lines.locator("tr.is-added").count(), 2);
  assert.equal(await page.evaluate(() => window.__hit), undefined);
  await page.getByRole("combobox", { name: "Version" }).first().selectOption("1");
  await page.getByText("Versions 1 and 1 say the same").waitFor();
  // The grid has a line between the two, and the graph has each.
  await go("/dags/versions?tab=graph&version=1");
  await drawn(page, 1);
  await page.getByRole("combobox", { name: "Version" }).first().selectOption("2");
  await drawn(page, 2);
  await go("/dags/versions");
  await page.locator(".grid-cells canvas[data-drawn='2 × 2']").waitFor();
  await page.getByRole("grid").focus();
  await said(page).getByText("version 2").waitFor();
  await page.keyboard.press("ArrowLeft");
  await said(page).getByText("version 1").waitFor();
});

browse("the audit log of a DAG is filtered and paged", {}, async ({ page, go }) => {
  for (const paused of Array.from({ length: 52 }, (_, n) => n % 2 === 0)) await api("PATCH", "/api/v2/dags/versions", { is_paused: paused });
  await go("/dags/versions?tab=audit");
  const rows = page.getByRole("region", { name: "Audit log" }).locator("tbody tr");
  await rows.nth(49).waitFor();
  await page.getByRole("link", { name: "Older →" }).click();
  await page.waitForURL(/before=\d+/);
  await page.getByText("trigger_dag_run").first().waitFor();
  await page.goBack();
  await rows.nth(49).waitFor();
  await page.getByLabel("What was done").fill("trigger");
  await page.waitForURL(/event=trigger/);
  await rows.nth(49).waitFor({ state: "detached" });
  assert.equal(await rows.count(), 2);
  await page.getByLabel("Who did it").fill("nobody-of-this-name");
  await page.getByText("Nobody did that").waitFor();
});

browse("what users write stays text in each part", {}, async ({ page, go }) => {
  for (const path of ["tab=graph", "tab=graph&as=table", "tab=tasks", "tab=calendar", "tab=audit", "tab=code"]) {
    await go(`/dags/hostile?${path}`);
    await page.locator(".live.is-live").waitFor();
    await page.getByRole("heading", { level: 1, name: "hostile" }).waitFor();
    await page.locator(".skeleton").waitFor({ state: "detached" });
    assert.equal(await page.evaluate(() => window.__hit), undefined, path);
    assert.equal(await page.locator("img[src=x], svg[onload], main script").count(), 0, path);
  }
});

const places = () => [
  ["graph", "/dags/etl_groups?tab=graph", (page) => page.locator(".graph-box canvas[data-drawn]")],
  ["graph-chosen", "/dags/etl_groups?tab=graph&task=load.us.clean&stream=1", (page) => page.locator(".graph-box canvas[data-drawn]")],
  ["graph-folded", "/dags/etl_groups?tab=graph&folded=load", (page) => page.locator(".graph-box canvas[data-drawn]")],
  ["graph-table", "/dags/etl_groups?tab=graph&as=table", (page) => page.getByRole("region", { name: "The graph as a table" })],
  ["run-graph", `${at("etl_groups", run)}?view=graph`, (page) => page.locator(".graph-box canvas[data-drawn]")],
  ["grid-groups", "/dags/etl_groups", (page) => page.getByRole("grid")],
  ["dag-tasks", "/dags/etl_groups?tab=tasks", (page) => page.getByRole("region", { name: "Tasks" }).getByText("load.merge").first()],
  ["calendar", "/dags/etl_groups?tab=calendar", (page) => page.locator("[data-now]")],
  ["calendar-day", `/dags/etl_groups?tab=calendar&day=${new Date().toISOString().slice(0, 10)}`, (page) => page.locator("[data-hour]").first()],
  ["runs-of-a-day", "/dags/etl_groups?tab=runs&from=2026-01-01T00:00:00.000Z&to=2027-01-01T00:00:00.000Z", (page) => page.getByRole("link", { name: run })],
  ["code-diff", "/dags/versions?tab=code&base=1", (page) => page.locator(".code.diff")],
  ["audit", "/dags/versions?tab=audit", (page) => page.getByRole("region", { name: "Audit log" })],
  ["details", "/dags/etl_groups?tab=details", (page) => page.getByText("Bundle")],
];

for (const dark of [false, true]) {
  for (const width of [1440, 390]) {
    browse(`each part of a DAG is clean for axe and fits: ${dark ? "dark" : "light"}, ${width} wide`, { dark, width, height: width === 390 ? 844 : 900 }, async ({ page, go }) => {
      const wrong = [];
      for (const [name, path, shown] of places()) {
        await go(path);
        await shown(page).first().waitFor();
        await page.locator(".live.is-live").waitFor();
        wrong.push(...(await look(page, name, { width, dark })));
      }
      assert.deepEqual(wrong, []);
    });
  }
}
