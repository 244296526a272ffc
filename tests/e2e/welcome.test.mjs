// The first visit of a new install, on a server of its own that has nothing yet: from nothing to a green run.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { axe, end, open } from "./harness.mjs";
import { Server } from "./server.mjs";

let server;
let base;
let dags;
before(async () => {
  server = await Server.start({});
  base = server.url;
  dags = `${server.folder}/dags`;
  for (;;) if ((await server.api("GET", "/ui/sources")).sources.length) return;
});
after(async () => {
  await end();
  await server?.stop();
});

test("a new install guides to a green run", async () => {
  const { page, go, close } = await open({ base });
  await go("/");
  await page.getByRole("heading", { name: "Welcome: three steps to a green run" }).waitFor();
  await page.getByText(dags, { exact: true }).waitFor();
  const file = await page.locator(".steps pre").first().innerText();
  assert.ok(file.includes(`${dags}/hello.yaml`), file);
  assert.deepEqual(await axe(page, "welcome"), []);
  if (process.env.UPDRAFT_E2E_SHOTS) await page.screenshot({ path: `${process.env.UPDRAFT_E2E_SHOTS}/welcome-1440-light.png` });
  for (const [width, dark] of [[390, false], [1440, true], [390, true]]) {
    const small = await open({ base, width, dark, height: 844 });
    await small.go("/");
    await small.page.getByText(dags, { exact: true }).waitFor();
    assert.deepEqual(await axe(small.page, "welcome"), []);
    assert.ok(await small.page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
    if (process.env.UPDRAFT_E2E_SHOTS) await small.page.screenshot({ path: `${process.env.UPDRAFT_E2E_SHOTS}/welcome-${width}-${dark ? "dark" : "light"}.png` });
    await small.close();
  }
  // What it says, done as it says.
  writeFileSync(`${dags}/hello.yaml`, file.split("\n").slice(1, -1).join("\n"));
  const first = page.getByRole("button", { name: "▶ Run hello" });
  await first.waitFor();
  if (process.env.UPDRAFT_E2E_SHOTS) await page.screenshot({ path: `${process.env.UPDRAFT_E2E_SHOTS}/first-run-1440-light.png` });
  assert.deepEqual(await axe(page, "first run"), []);
  await first.focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/dags\/hello\/runs\//);
  await page.goto(`${base}/`);
  await page.locator(".strip a.k-success").waitFor();
  assert.equal(await first.count(), 0, "it has run");
  await close();
});
