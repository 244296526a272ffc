// One browser for all tests, pages that fail a test when anything goes wrong in them, and the API for what is there before a test begins.
import AxeBuilder from "@axe-core/playwright";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

export const url = process.env.UPDRAFT_E2E_URL ?? "http://127.0.0.1:8080";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

let browser;
/** `base`: another server than the one of all tests. */
export async function open({ width = 1440, height = 900, dark = false, base = url } = {}) {
  browser ??= await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium-headless-shell", args: FLAGS });
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", timezoneId: "Europe/Berlin", locale: "en-GB" });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`exception: ${error.message}`));
  // A policy that is broken, a file that is not there, a warning of React.
  page.on("console", (message) => { if (message.type() === "error" && !page.mayFail) wrong.push(message.text()); });
  page.on("request", (request) => { if (!request.url().startsWith(base) && !request.url().startsWith("blob:")) wrong.push(`asked elsewhere: ${request.url()}`); });
  return {
    page,
    go: (path) => page.goto(base + path),
    async close() {
      await context.close();
      assert.deepEqual(wrong, []);
    },
  };
}

/** Speaks with the browser itself, not with a page of it. */
export const browserSession = () => browser.newBrowserCDPSession();

export async function end() {
  await browser?.close();
  browser = undefined;
}

const found = (what, violations) => violations.map((v) => `${what}: ${v.id}: ${v.nodes.map((node) => `${node.target.join(" ")} ${node.any[0]?.message ?? node.all[0]?.message ?? ""}`).join(" | ")}`);

/** What axe finds wrong, in words. */
export async function axe(page, what) {
  const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]).analyze();
  // Small targets where the same is reached by a large one: a run by the list of runs, a line by what is selected in it (WCAG 2.5.8, equivalent).
  const small = await new AxeBuilder({ page }).withRules(["target-size"]).exclude(".strip").exclude(".gutter").analyze();
  return [...found(what, violations), ...found(what, small.violations)];
}

/** What is wrong with how a page looks, in words: for axe, and because it is wider than the window. UPDRAFT_E2E_SHOTS=FOLDER keeps a picture. */
export async function look(page, name, { width, dark }) {
  if (process.env.UPDRAFT_E2E_SHOTS) await page.screenshot({ path: `${process.env.UPDRAFT_E2E_SHOTS}/${name}-${width}-${dark ? "dark" : "light"}.png` });
  const wrong = await axe(page, name);
  if (!(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth))) wrong.push(`${name} is wider than the window`);
  return wrong;
}

export async function api(method, path, body) {
  const response = await fetch(url + path, { method, headers: { "content-type": "application/json", accept: "application/json" }, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

export const trigger = async (dag, conf = {}) => (await api("POST", `/api/v2/dags/${dag}/dagRuns`, { logical_date: null, conf })).dag_run_id;

/** Waits for a run by the API's own wait, line by line, not by sleeping. */
export async function over(dag, run) {
  const response = await fetch(`${url}/api/v2/dags/${dag}/dagRuns/${encodeURIComponent(run)}/wait?interval=0.2`);
  await response.text();
  return (await api("GET", `/ui/runs/${dag}/${encodeURIComponent(run)}`)).state;
}

export const at = (dag, run, task) => `/dags/${dag}/runs/${encodeURIComponent(run)}${task ? `/tasks/${encodeURIComponent(task)}` : ""}`;
