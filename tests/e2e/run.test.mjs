// A run and its tasks in a browser: the picture of when what ran, what is done to some or all of it, forms made from params.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { api, at, axe, end, look, open, over, trigger, url } from "./harness.mjs";

let gates;
let hundred;
let thousands;
before(async () => {
  [gates, hundred, thousands] = await Promise.all([trigger("gates"), trigger("hundred"), trigger("thousands")]);
  await Promise.all([over("gates", gates), over("hundred", hundred)]);
});
after(end);

const browse = (name, options, body) => test(name, async () => {
  const view = await open(options);
  await body(view);
  await view.close();
});
const slack = Number(process.env.UPDRAFT_E2E_SLACK ?? 1);
const statesOf = async (dag, run) => Object.fromEntries((await api("GET", `/ui/runs/${dag}/${encodeURIComponent(run)}/tasks?limit=1000`)).tasks.map((task) => [task.task_id, task.state]));
const menu = async (page, item) => {
  await page.getByRole("button", { name: "More ways to run again" }).click();
  await page.getByRole("menuitem", { name: item }).click();
  return page.getByRole("dialog");
};
/** A run of `gates` that failed, for one test alone. */
async function failedRun() {
  const run = await trigger("gates");
  assert.equal(await over("gates", run), "failed");
  return run;
}

browse("several tasks are selected by keys and by the mouse, and run again", {}, async ({ page, go }) => {
  const run = await failedRun();
  await go(at("gates", run));
  const list = page.getByRole("listbox", { name: "Tasks" });
  const selected = () => list.locator("[aria-selected=true]").evaluateAll((rows) => rows.map((row) => row.getAttribute("aria-label").split(":")[0]));
  await page.getByRole("region", { name: "Task gate" }).waitFor();
  assert.deepEqual(await selected(), ["gate"], "the one that failed is shown");
  await list.focus();
  await page.keyboard.press("Home");
  await page.getByRole("region", { name: "Task open" }).waitFor();
  await page.keyboard.press("Shift+ArrowDown");
  await page.keyboard.press("Shift+ArrowDown");
  await page.getByText("3 selected").waitFor();
  assert.deepEqual(await selected(), ["open", "gate", "after"]);
  await page.keyboard.press("Escape");
  await page.getByText("3 selected").waitFor({ state: "detached" });
  await list.getByRole("option", { name: /^beside/ }).click({ modifiers: ["Control"] });
  await list.getByRole("option", { name: /^value/ }).click({ modifiers: ["Control"] });
  await page.getByText("2 selected").waitFor();
  assert.deepEqual(await selected(), ["beside", "value"]);
  await page.reload();
  await page.getByText("2 selected").waitFor();
  assert.deepEqual(await selected(), ["beside", "value"], "a selection is part of the address");
  await page.keyboard.press("Shift+C");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("These 2 tasks run again").waitFor();
  assert.deepEqual((await dialog.locator(".preview li > span:first-child").allInnerTexts()).sort(), ["beside", "value"]);
  await dialog.getByRole("button", { name: "↻ Run again" }).click();
  await page.getByText("2 tasks will run again").waitFor();
  await over("gates", run);
  const tries = (await api("GET", `/ui/runs/gates/${encodeURIComponent(run)}/tasks`)).tasks.map((task) => [task.task_id, task.try_number]);
  assert.deepEqual(Object.fromEntries(tries), { open: 1, gate: 1, after: 0, beside: 2, value: 2 });
});

browse("a failed run is run again with other params, and the audit log has both", {}, async ({ page, go }) => {
  const run = await failedRun();
  await go(at("gates", run));
  await page.getByRole("region", { name: "Task gate" }).waitFor();
  const dialog = await menu(page, /With other params/);
  const field = dialog.getByLabel("allow");
  await field.waitFor();
  assert.equal(await field.evaluate((node) => node === document.activeElement), true, "the first field has the focus");
  assert.equal(await field.evaluate((node) => node.selectedOptions[0].textContent), "no");
  await field.selectOption("yes");
  assert.deepEqual((await dialog.locator(".preview li > span:first-child").allInnerTexts()).sort(), ["after", "gate"]);
  await dialog.getByRole("button", { name: "↻ Run again" }).click();
  await page.getByText("2 tasks will run again").waitFor();
  assert.equal(await over("gates", run), "success");
  await page.getByRole("option", { name: /^after: success/ }).waitFor();
  const now = await api("GET", `/api/v2/dags/gates/dagRuns/${encodeURIComponent(run)}`);
  assert.deepEqual([now.conf.allow, now.dag_run_id], ["yes", run]);
  const log = await api("GET", `/api/v2/eventLogs?dag_id=gates&run_id=${encodeURIComponent(run)}&event=rerun_dag_run`);
  const extra = JSON.parse(log.event_logs[0].extra);
  assert.deepEqual([extra.conf.before.allow, extra.conf.after.allow, extra.instances], [undefined, "yes", 2]);
  assert.equal(extra.conf.after.db_password, "***", "the log forgets nothing, so it never has a secret");
  // Of one that runs: half of it would have been started with other params.
  const running = await trigger("slow");
  const refused = await fetch(`${url}/ui/runs/slow/${encodeURIComponent(running)}/rerun`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ conf: {} }) });
  assert.equal(refused.status, 409);
  await api("PATCH", `/api/v2/dags/slow/dagRuns/${encodeURIComponent(running)}`, { state: "failed" });
});

browse("a task is marked after a look at what that touches, and frees what comes after it", {}, async ({ page, go }) => {
  const run = await failedRun();
  await go(at("gates", run));
  await page.getByRole("region", { name: "Task gate" }).waitFor();
  const dialog = await menu(page, "Mark gate as success");
  await dialog.locator(".preview li", { hasText: "gate" }).waitFor();
  assert.equal(await dialog.locator(".preview li").count(), 1);
  await dialog.getByLabel("and all after it").check();
  await dialog.locator(".preview li", { hasText: "after" }).waitFor();
  await dialog.getByLabel("and all after it").uncheck();
  await dialog.locator(".preview li", { hasText: "after" }).waitFor({ state: "detached" });
  await dialog.getByRole("button", { name: "Mark as success" }).click();
  await page.getByText("gate is marked: success").waitFor();
  assert.equal(await over("gates", run), "success");
  assert.deepEqual(await statesOf("gates", run), { open: "success", gate: "success", after: "success", beside: "success", value: "success" });
});

browse("a run is stopped after a look at what that touches", {}, async ({ page, go }) => {
  const run = await trigger("slow");
  await go(at("slow", run));
  await page.getByRole("option", { name: /^talk: running/ }).waitFor();
  await page.getByRole("button", { name: "■ Stop" }).click();
  const dialog = page.getByRole("dialog");
  assert.match(await dialog.locator(".preview li", { hasText: "talk" }).innerText(), /running[\s\S]*failed/);
  assert.match(await dialog.locator(".preview li", { hasText: "later" }).innerText(), /skipped/);
  await dialog.getByRole("button", { name: "Stop", exact: true }).click();
  await page.getByText("What runs is being stopped.").waitFor();
  assert.equal(await over("slow", run), "failed");
  await page.getByRole("option", { name: /^talk: failed/ }).waitFor();
  assert.equal((await statesOf("slow", run)).later, "skipped");
});

browse("runs and tasks get notes", {}, async ({ page, go }) => {
  const evil = "<img src=x onerror=window.__hit=1>\nsecond line";
  await go(at("gates", gates));
  await page.getByRole("button", { name: "Add a note" }).click();
  await page.getByRole("dialog").getByLabel("Note").fill(evil);
  await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
  await page.getByText("The note is saved.").waitFor();
  await page.locator(".note", { hasText: "<img src=x" }).waitFor();
  assert.equal((await api("GET", `/api/v2/dags/gates/dagRuns/${encodeURIComponent(gates)}`)).note, evil);
  await go(at("gates", gates, "gate"));
  await page.getByRole("button", { name: "Add a note" }).click();
  await page.getByRole("dialog").getByLabel("Note").fill("known: the gate is shut");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  // What is typed has the same words: it is there before it is kept.
  await page.getByText("The note is saved.").waitFor();
  await page.locator(".note", { hasText: "known: the gate is shut" }).waitFor();
  assert.equal((await api("GET", `/api/v2/dags/gates/dagRuns/${encodeURIComponent(gates)}/taskInstances/gate`)).note, "known: the gate is shut");
  await go(at("gates", gates));
  await page.locator(".bar-row", { hasText: "gate" }).getByText("note").waitFor();
  assert.equal(await page.evaluate(() => window.__hit), undefined);
});

browse("a part of the time is looked at alone, by keys and by drawing over it", {}, async ({ page, go }) => {
  await go(at("hundred", hundred));
  const list = page.getByRole("listbox", { name: "Tasks" });
  await list.focus();
  await page.keyboard.press("+");
  await page.waitForURL(/from=\d+&to=\d+|to=\d+&from=\d+/);
  await page.keyboard.press("0");
  await page.waitForURL((to) => !/from=/.test(String(to)));
  const axis = await page.locator(".axis").boundingBox();
  await page.mouse.move(axis.x + axis.width * 0.25, axis.y + 10);
  await page.mouse.down();
  await page.mouse.move(axis.x + axis.width * 0.75, axis.y + 10, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/from=/);
  await page.reload();
  await page.getByRole("button", { name: "all", exact: true }).click();
  await page.waitForURL((to) => !/from=/.test(String(to)));
});

/** From the click on a run in the list of a DAG's runs to the frame in which its first bars are drawn, in milliseconds; the best of some counts. */
async function fromClickToPainted({ page, go }, dag, run, turns) {
  const times = [];
  for (let turn = 0; turn < turns; turn += 1) {
    await go(`/dags/${dag}?tab=runs`);
    const link = page.getByRole("table").getByRole("link", { name: run, exact: true });
    await link.waitFor();
    await page.locator(".live.is-live").waitFor();
    // The views are there, as they are a moment after any first page.
    await page.waitForFunction(() => performance.getEntriesByType("resource").some((entry) => /\/run-.*js/.test(entry.name)));
    await page.evaluate(() => {
      window.__painted = new Promise((resolve) => {
        window.addEventListener("click", () => {
          const began = performance.now();
          new MutationObserver((_, watching) => {
            if (!document.querySelector(".bar-row")) return;
            watching.disconnect();
            requestAnimationFrame(() => {
              const port = new MessageChannel();
              port.port1.onmessage = () => resolve(performance.now() - began);
              port.port2.postMessage(0);
            });
          }).observe(document.body, { childList: true, subtree: true });
        }, { capture: true, once: true });
      });
    });
    await link.click();
    times.push(await page.evaluate(() => window.__painted));
  }
  return times;
}

browse("a run of 10,000 tasks opens in half a second", {}, async (view) => {
  const times = await fromClickToPainted(view, "thousands", thousands, 3);
  console.log(`from a click to a painted run of 10,000 tasks: ${times.map(Math.round).join(", ")} ms`);
  assert.ok(Math.min(...times) < 500 * slack, `${times}`);
  const list = view.page.getByRole("listbox", { name: "Tasks" });
  await list.focus();
  await view.page.keyboard.press("End");
  await list.getByRole("option", { name: /task_09999/ }).waitFor();
});

browse("a selection is kept whether or not its names go into an address", {}, async ({ page, go }) => {
  await go(`${at("thousands", thousands)}?q=7`);
  const list = page.getByRole("listbox", { name: "Tasks" });
  await list.getByRole("option").first().waitFor();
  await list.focus();
  await page.keyboard.press("Control+A");
  // Those with a 7 among their five digits, or in the number of their group, which the digits have too.
  await page.getByText("3,439 selected").waitFor();
  assert.ok(page.url().length < 8_000, "proxies and the server take no longer address");
  assert.equal((await page.reload()).status(), 200);
  await page.getByRole("searchbox", { name: /Show only tasks/ }).fill("");
  await list.getByRole("option", { name: /task_00000/ }).waitFor();
  await list.focus();
  await page.keyboard.press("Control+A");
  await page.getByText("10,000 selected").waitFor();
  await page.reload();
  await page.getByText("10,000 selected").waitFor();
  await page.getByRole("button", { name: "Select none" }).click();
  await page.getByText("10,000 selected").waitFor({ state: "detached" });
  assert.ok(!page.url().includes("selected"), page.url());
});

browse("from a click to a painted run of 100 tasks it takes less than 100 ms", {}, async (view) => {
  const times = await fromClickToPainted(view, "hundred", hundred, 5);
  console.log(`from a click to a painted run of 100 tasks: ${times.map(Math.round).join(", ")} ms`);
  assert.ok(Math.min(...times) < 100 * slack, `${times}`);
});

browse("a form has a field for each kind of param, and says at the field what is wrong", {}, async ({ page, go }) => {
  await go("/dags/forms?trigger=1");
  const dialog = page.getByRole("dialog");
  const first = dialog.getByLabel("i_full");
  await first.waitFor();
  await page.waitForFunction(() => document.activeElement?.closest("[data-params]"));
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("name") !== null), true, "the first field has the focus, not Close");
  for (const section of ["Texts", "Times", "Numbers"]) await dialog.getByRole("group", { name: section }).waitFor();
  assert.match(await dialog.getByText("Small letters").innerText(), /<b>and<\/b> \*\*no\*\* markup/);
  const submit = () => dialog.getByRole("button", { name: "▶ Trigger" }).click();
  const wrong = async (label, value, words) => {
    const field = dialog.getByLabel(label);
    const before = await field.inputValue();
    await field.fill(value);
    await submit();
    await dialog.getByText(words, { exact: false }).waitFor();
    assert.equal(await field.getAttribute("aria-invalid"), "true", label);
    await field.fill(before);
  };
  await submit();
  await dialog.getByText("this is needed").waitFor();
  assert.equal(await dialog.getByLabel("r_needed").evaluate((node) => node === document.activeElement), true, "one is led to what is wrong");
  await dialog.getByLabel("r_needed").fill("given");
  await wrong("a_text", "EU", "it must look like");
  await wrong("a_text", "e", "at least 2 characters");
  await wrong("f_count", "11", "it must be at most 10");
  await wrong("f_count", "1.5", "a whole number");
  await wrong("g_rate", "1", "it must be less than 1");
  await wrong("h_step", "12", "a multiple of 5");
  await wrong("m_names", "a\nb\nc\nd", "at most 3");
  await wrong("m_names", "a\na", "each may be there once");
  await wrong("o_numbers", "[1,", "this is no JSON");
  await wrong("p_more", "[]", "an object is needed");
  await wrong("The day", "", "this is needed");
  assert.equal(await dialog.getByLabel("l_fixed").getAttribute("readonly"), "");
  await dialog.getByLabel("k_region").selectOption("Europe");
  await dialog.getByLabel("i_full").check();
  await dialog.getByRole("group", { name: "n_days" }).getByLabel("tue").check();
  await dialog.getByLabel("d_moment").fill("2026-01-31T13:00:00");
  await dialog.getByLabel("e_clock").fill("08:15:30");
  await submit();
  await page.waitForURL(/\/runs\//);
  const [run] = (await api("GET", "/api/v2/dags/forms/dagRuns?order_by=-run_after&limit=1")).dag_runs;
  assert.deepEqual(run.conf, {
    a_text: "eu", b_lines: "one\ntwo", c_day: "2026-11-26", d_moment: "2026-01-31T12:00:00Z", e_clock: "08:15:30", f_count: 3, g_rate: 0.5, h_step: 10, i_full: true, j_maybe: null,
    k_region: 1, l_fixed: "v1", m_names: ["anna", "bert"], n_days: ["mon", "tue"], o_numbers: [1, 2], p_more: { a: 1 }, q_any: "x", r_needed: "given",
  });
});

browse("a task shows what it was started as, what it left, and what was decided of it", {}, async ({ page, go }) => {
  await go(`${at("gates", gates, "gate")}?tab=pod`);
  await page.getByRole("heading", { name: "Environment" }).waitFor();
  const main = page.locator("main");
  assert.match(await main.innerText(), /Runner\s+process/);
  assert.match(await main.innerText(), /Exit code\s+1/);
  assert.match(await main.innerText(), /Processor time\s+.*user/);
  assert.match(await main.innerText(), /ALLOW\s+no/);
  assert.match(await main.innerText(), /API_TOKEN\s+\*\*\*/);
  assert.doesNotMatch(await main.innerText(), /hidden-token/);
  await page.getByRole("link", { name: "History" }).click();
  const entries = page.getByRole("list", { name: "What happened to it" }).getByRole("listitem");
  await entries.first().waitFor();
  const said = await entries.allInnerTexts();
  assert.match(said[0], /scheduled/);
  assert.match(said.at(-1), /failed[\s\S]*exited with code 1[\s\S]*paid by the task's retries/);
  await page.getByRole("link", { name: "Why and attempts" }).click();
  await page.getByText("Paid by the task's retries").waitFor();
  await page.getByRole("link", { name: "Rendered" }).click();
  await page.getByText("echo allow is no").waitFor();
  const evil = { "<script>window.__hit=1</script>": ["<img src=x onerror=window.__hit=1>"] };
  await api("POST", `/api/v2/dags/gates/dagRuns/${encodeURIComponent(gates)}/taskInstances/value/xcomEntries`, { key: "<b>evil</b>", value: evil });
  await go(`${at("gates", gates, "value")}?tab=xcom`);
  await page.getByText("<b>evil</b>").waitFor();
  await page.getByText("<img src=x onerror=window.__hit=1>").waitFor();
  assert.equal(await page.evaluate(() => window.__hit), undefined);
  await go(`${at("gates", gates, "after")}?tab=pod`);
  await page.getByText("Nothing was started yet").waitFor();
});

/** What a worker leaves of a pod that was killed for want of memory. */
const POD = {
  metadata: { name: "gates-gate-1a2b", namespace: "jobs", labels: { app: "<b>x</b>" } },
  spec: {
    nodeName: "node-7", serviceAccountName: "jobs",
    containers: [{ name: "base", image: "registry.example/gate:1", command: ["sh"], args: ["-c", "<img src=x onerror=window.__hit=1>"], env: [{ name: "DB_PASSWORD", value: "hunter2" }, { name: "REGION", value: "eu" }], resources: { requests: { cpu: "100m", memory: "64Mi" }, limits: { memory: "128Mi" } } }],
  },
  status: {
    phase: "Failed", conditions: [{ type: "Ready", status: "False", reason: "PodFailed" }],
    containerStatuses: [{ name: "base", image: "registry.example/gate:1", restartCount: 0, state: { terminated: { exitCode: 137, reason: "OOMKilled" } } }],
  },
  events: [{ at: "2026-11-27T09:00:00Z", type: "Warning", reason: "BackOff", message: "<script>window.__hit=1</script> pulled late", count: 3 }],
};

browse("of a pod that did not end well its containers, events, resources and manifest are shown", {}, async ({ page, go }) => {
  const run = await failedRun();
  const record = JSON.stringify({ runner: "kubernetes", host: "node-7", oom_killed: true, exit_code: 137, pod: POD }).replaceAll("'", "''");
  const sql = `update attempt set evidence = '${record}', host = 'node-7' where run_id = (select id from run where run_id = '${run}' and dag_id = 'gates') and state = 'failed'`;
  assert.match(execFileSync("psql", ["-X", "-c", sql, process.env.UPDRAFT_E2E_DATABASE], { encoding: "utf8" }), /UPDATE 1/);
  await go(`${at("gates", run, "gate")}?tab=pod`);
  await page.getByRole("heading", { name: "The pod as it was sent" }).waitFor();
  await page.getByRole("row", { name: /base.*exit code 137.*OOMKilled/ }).waitFor();
  await page.getByRole("row", { name: /Warning.*BackOff.*pulled late/ }).waitFor();
  await page.getByRole("row", { name: /base.*cpu 100m, memory 64Mi.*memory 128Mi/ }).waitFor();
  const manifest = await page.getByRole("region", { name: "Manifest" }).innerText();
  assert.match(manifest, /serviceAccountName: jobs/);
  assert.match(manifest, /DB_PASSWORD[\s\S]*\*\*\*/);
  const all = await page.locator("main").innerText();
  assert.doesNotMatch(all, /hunter2/);
  assert.match(all, /Node\s+node-7/);
  assert.equal(await page.evaluate(() => window.__hit), undefined);
  if (process.env.UPDRAFT_E2E_SHOTS) await page.screenshot({ path: `${process.env.UPDRAFT_E2E_SHOTS}/task-pod-kubernetes-1440-light.png`, fullPage: true });
  assert.deepEqual(await axe(page, "pod"), []);
});

const places = () => [
  ["run-gates", at("gates", gates), (page) => page.getByText("allow is no")],
  ["run-thousands", at("thousands", thousands), (page) => page.locator(".bar-row")],
  ["task-pod", `${at("gates", gates, "gate")}?tab=pod`, (page) => page.getByRole("heading", { name: "Environment" })],
  ["task-history", `${at("gates", gates, "gate")}?tab=history`, (page) => page.getByRole("list", { name: "What happened to it" })],
  ["task-why", `${at("gates", gates, "gate")}?tab=why`, (page) => page.getByRole("heading", { name: "Attempts" })],
  ["task-details", `${at("gates", gates, "gate")}?tab=details`, (page) => page.getByText("Operator")],
  ["trigger-forms", "/dags/forms?trigger=1", (page) => page.getByRole("dialog").getByLabel("i_full")],
];
const dialogs = [
  ["dialog-clear", "↻ Retry failed", null],
  ["dialog-rerun", null, /With other params/],
  ["dialog-mark", null, "Mark gate as success"],
  ["dialog-mark-run", null, "Mark the run as failed"],
];

for (const dark of [false, true]) {
  for (const width of [1440, 390]) {
    browse(`runs and tasks are clean for axe and fit: ${dark ? "dark" : "light"}, ${width} wide`, { dark, width, height: width === 390 ? 844 : 900 }, async ({ page, go }) => {
      const wrong = [];
      for (const [name, path, shown] of places()) {
        await go(path);
        await shown(page).first().waitFor();
        await page.locator(".live.is-live").waitFor();
        wrong.push(...(await look(page, name, { width, dark })));
      }
      for (const [name, button, item] of dialogs) {
        await go(at("gates", gates));
        await page.getByText("allow is no").waitFor();
        if (button) await page.getByRole("button", { name: button }).click();
        else await menu(page, item);
        await page.getByRole("dialog").locator(".preview, p").first().waitFor();
        wrong.push(...(await look(page, name, { width, dark })));
      }
      assert.deepEqual(wrong, []);
    });
  }
}
