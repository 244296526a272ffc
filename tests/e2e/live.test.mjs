// What is shown while much changes, and while the server goes away and comes back. The seconds of each part: UPDRAFT_E2E_SECONDS, 12 if not set;
// the figures that docs/ names are of 600.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { at, browserSession, end, open } from "./harness.mjs";
import { Server } from "./server.mjs";

const SECONDS = Number(process.env.UPDRAFT_E2E_SECONDS ?? 12);
// What a debug build, beside other programs, may take longer.
const SLACK = Number(process.env.UPDRAFT_E2E_SLACK ?? 1);
const TASKS = 10_000;
// So many at once, each so long, are this many changes a second: each task is told of as queued, running and success.
const SLOTS = 18;
const PACE = `dag_id: pace
description: Many short tasks, as many at once as the pool has slots
schedule: null
max_active_tasks: 1000
max_active_runs: 1
tasks:
${Array.from({ length: TASKS }, (_, n) => `  t${String(n).padStart(5, "0")}: { bash_command: "sleep 0.15", pool: pace }`).join("\n")}
`;
const WAITS = `dag_id: waits
schedule: null
tasks:
  one: { bash_command: "until [ -e {{ dag_run.conf.file }} ]; do sleep 0.05; done" }
  two: { bash_command: "echo after", needs: [one] }
`;
// `early` is the first of the file and the last to begin.
const FOLLOWS = `dag_id: follows
schedule: null
tasks:
  early: { bash_command: "until [ -e {{ dag_run.conf.file }}-early ]; do sleep 0.05; done; exit 1", needs: [gate] }
  long: { bash_command: "until [ -e {{ dag_run.conf.file }}-long ]; do sleep 0.05; done" }
  gate: { bash_command: "until [ -e {{ dag_run.conf.file }}-gate ]; do sleep 0.05; done" }
`;

let server;
before(async () => {
  server = await Server.start({ "pace.yaml": PACE, "waits.yaml": WAITS, "follows.yaml": FOLLOWS });
  await server.api("POST", "/api/v2/pools", { name: "pace", slots: SLOTS });
});
after(async () => {
  await end();
  await server?.stop();
});

const browse = (name, options, body) => test(name, { timeout: 20 * 60_000 }, async () => {
  const view = await open({ ...options, base: server.url });
  await body(view);
  await view.close();
});

/** Processor seconds of everything that draws the page. */
async function burnt(session) {
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const of = (type) => processInfo.filter((one) => one.type === type).reduce((sum, one) => sum + one.cpuTime, 0);
  return { page: of("renderer"), drawing: of("GPU") + of("gpu-process") };
}

async function heap(cdp) {
  await cdp.send("HeapProfiler.collectGarbage");
  const { metrics } = await cdp.send("Performance.getMetrics");
  return metrics.find((one) => one.name === "JSHeapUsedSize").value / 2 ** 20;
}

/** Between two samples. */
const pause = (ms) => new Promise((next) => setTimeout(next, ms));
const successes = async (run) => (await server.api("GET", `/ui/runs/pace/${encodeURIComponent(run)}`)).task_counts.success ?? 0;

/** Looks at a page for the time of a part; gives its share of a core and its memory, and what the server told it. */
async function watch(page, meanwhile) {
  const session = await browserSession();
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable");
  const heaps = [await heap(cdp)];
  const [began, before] = [Date.now(), await burnt(session)];
  let looked = began;
  while (Date.now() - began < SECONDS * 1000) {
    await meanwhile();
    // The collection costs the page time that is none of its own: seldom.
    if (Date.now() - looked > Math.max(30_000, SECONDS * 100)) {
      heaps.push(await heap(cdp));
      looked = Date.now();
    }
  }
  const [seconds, used] = [(Date.now() - began) / 1000, await burnt(session)];
  heaps.push(await heap(cdp));
  const share = ((used.page - before.page) / seconds) * 100;
  return { share, drawing: ((used.drawing - before.drawing) / seconds) * 100, heaps, seconds };
}

const percent = (value) => `${value.toFixed(1)} %`;

/** It neither grows from the beginning to the end nor wanders. */
function assertFlat(heaps) {
  const half = heaps.slice(heaps.length >> 1);
  assert.ok(heaps.at(-1) < Math.max(heaps[0] * 1.25, heaps[0] + 8), `the heap grew: ${heaps}`);
  assert.ok(Math.max(...half) - Math.min(...half) < Math.max(8, heaps[0] * 0.25), `the heap is not flat: ${half}`);
}

const megabytes = (heaps) => `${heaps.map((mb) => mb.toFixed(1)).join(", ")} MB`;

browse("a run of 10,000 tasks is shown as it is while 200 of its tasks change each second", {}, async ({ page, go }) => {
  const run = await server.trigger("pace");
  await page.addInitScript(() => {
    // When the page said which number of successes, and in which lap: a number that falls is that of a run that was cleared.
    window.seen = [];
    new MutationObserver(() => {
      const chip = [...document.querySelectorAll(".chips button")].find((one) => one.textContent.startsWith("success"));
      const said = chip ? Number(chip.textContent.replaceAll(/\D/g, "")) : 0;
      const last = window.seen.at(-1) ?? { lap: 0, said: 0 };
      if (window.seen.length === 0 || last.said !== said) window.seen.push({ at: Date.now(), lap: last.lap + (said < last.said ? 1 : 0), said });
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
  await go(at("pace", run));
  await page.locator(".live.is-live").waitFor();
  const truths = [];
  let lap = 0;
  const figures = await watch(page, async () => {
    const said = await successes(run);
    truths.push({ at: Date.now(), lap, said });
    if (said >= TASKS) {
      // All of it once more, as a person would: the page stays where it is.
      await server.api("POST", `/api/v2/dags/pace/dagRuns/${encodeURIComponent(run)}/clear`, { dry_run: false });
      lap += 1;
    }
    await pause(200);
  });
  const ended = truths.filter((one, n) => one.lap !== truths[n + 1]?.lap).reduce((sum, one) => sum + one.said, 0) - truths[0].said;
  const rate = ended / ((truths.at(-1).at - truths[0].at) / 1000);
  const shows = (seen, { lap, said }) => seen.find((one) => one.lap > lap || (one.lap === lap && one.said >= said));
  await page.waitForFunction(({ lap, said }) => window.seen.some((one) => one.lap === lap && one.said >= said), truths.at(-1));
  const seen = await page.evaluate(() => window.seen);
  assert.equal(seen.at(-1).lap, lap, "the page counts down where nothing was cleared");
  const late = truths.map((truth) => Math.max(0, shows(seen, truth).at - truth.at)).sort((a, b) => a - b);
  const worst = late.at(-1);
  console.log(`run of 10,000: ${rate.toFixed(0)} tasks/s, ${(rate * 3).toFixed(0)} changes/s, begun ${lap + 1} times in ${figures.seconds.toFixed(0)} s; page ${percent(figures.share)} of a core, drawing ${percent(figures.drawing)}; behind by p50 ${late[late.length >> 1]} ms, most ${worst} ms; heap ${megabytes(figures.heaps)}`);
  assert.ok(rate * 3 >= 200 / SLACK, `the server made only ${rate} tasks a second`);
  assert.ok(figures.share < 30 * SLACK, `the page took ${percent(figures.share)} of a core`);
  assert.ok(worst <= 1_000 * SLACK, `the page was ${worst} ms behind`);
  assertFlat(figures.heaps);
  await server.api("PATCH", `/api/v2/dags/pace/dagRuns/${encodeURIComponent(run)}`, { state: "failed" });
});

browse("the grid of that DAG keeps its memory and leaves the processor alone", {}, async ({ page, go }) => {
  let run = await server.trigger("pace");
  await go("/dags/pace");
  await page.locator(".live.is-live").waitFor();
  await page.getByRole("grid").waitFor();
  const figures = await watch(page, async () => {
    if ((await successes(run)) >= TASKS) run = await server.trigger("pace");
    await pause(1_000);
  });
  console.log(`grid of 10,000 tasks: page ${percent(figures.share)} of a core, drawing ${percent(figures.drawing)}; heap ${megabytes(figures.heaps)}`);
  assert.ok(figures.share < 30 * SLACK, `the page took ${percent(figures.share)} of a core`);
  assertFlat(figures.heaps);
  await server.api("PATCH", `/api/v2/dags/pace/dagRuns/${encodeURIComponent(run)}`, { state: "failed" });
});

browse("what runs stays in view while it runs, and gives way to what fails", {}, async ({ page, go }) => {
  const file = `${server.folder}/follows`;
  const release = (task) => writeFileSync(`${file}-${task}`, "");
  await go(at("follows", await server.trigger("follows", { file })));
  const option = (task, word) => page.getByRole("option", { name: new RegExp(`^${task}: ${word}`) });
  const panel = (task) => page.getByRole("region", { name: `Task ${task}` });
  await option("long", "running").waitFor();
  await panel("long").waitFor();
  release("gate");
  // It comes before the other in the file; whoever reads that one's log goes on reading.
  await option("early", "running").waitFor();
  await page.waitForFunction(() => document.querySelector(".panel h2")?.textContent === "long");
  assert.equal(await panel("early").count(), 0);
  release("early");
  await option("early", "failed").waitFor();
  await panel("early").waitFor();
  release("long");
  await option("long", "success").waitFor();
  assert.equal(await panel("early").count(), 1);
});

browse("a server that is killed and comes back is found again, and nothing is missed", {}, async ({ page, go }) => {
  const file = `${server.folder}/go`;
  const run = await server.trigger("waits", { file });
  // What does not answer is said in the console.
  page.mayFail = true;
  await go(at("waits", run));
  const option = (task, word) => page.getByRole("option", { name: new RegExp(`^${task}: ${word}`) });
  await option("one", "running").waitFor();
  await server.kill();
  await page.getByText("The connection is lost.").waitFor();
  writeFileSync(file, "");
  await server.launch();
  await option("two", "success").waitFor({ timeout: 60_000 });
  await option("one", "success").waitFor();
  await page.getByText("The connection is lost.").waitFor({ state: "detached" });
  await page.locator(".live.is-live").waitFor();
  // What begins after that arrives by itself, too.
  await go("/dags/waits?tab=runs");
  await page.getByRole("row").nth(1).waitFor();
  await server.trigger("waits", { file });
  await page.getByRole("row").nth(2).waitFor();
});
