// Administration in a browser: pools, variables, connections, import errors, the audit log, users and tokens, with and without logins.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { api, end, look, open, url } from "./harness.mjs";
import { Guarded, login } from "./server.mjs";

const EVIL = "<img src=x onerror=window.__hit=1>";
const work = process.env.UPDRAFT_E2E_WORK;
const { OWNER } = Guarded;
let guarded;
let base;
const owner = (...asked) => guarded.api(...asked);

before(async () => {
  guarded = await Guarded.start();
  base = guarded.url;
});
after(async () => {
  guarded?.stop();
  await end();
});

const browse = (name, options, body) => test(name, async () => {
  const view = await open(options);
  await body(view);
  await view.close();
});

/** A page of the guarded API. */
const guard = (name, body) => test(name, async () => {
  const view = await open({ base });
  await body(view);
  await view.close();
});

const clean = async (page, what) => {
  assert.equal(await page.evaluate(() => window.__hit), undefined, what);
  assert.equal(await page.locator("img[src=x]").count(), 0, what);
};

browse("what is edited is in the address, and one who looks sees what another changes", {}, async ({ page, go }) => {
  await go("/pools?add=1");
  await page.getByLabel("Name", { exact: true }).fill("admin_pool");
  await page.getByLabel("Description").fill(EVIL);
  await page.keyboard.press("Enter");
  await page.getByText("The pool admin_pool is made.").waitFor();
  assert.doesNotMatch(page.url(), /add=/);
  const other = await open();
  await other.go("/pools?q=admin_pool");
  await other.page.getByText(EVIL).waitFor();
  await go("/pools?edit=admin_pool");
  await page.getByLabel("Slots").fill("77");
  await page.keyboard.press("Enter");
  await other.page.getByRole("cell", { name: "77" }).first().waitFor();
  await page.goto(`${url}/pools`);
  await page.getByRole("button", { name: "Edit default_pool" }).click();
  await page.getByLabel("Slots").fill("129");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("The pool default_pool is saved.").waitFor();
  assert.equal((await api("GET", "/api/v2/pools/default_pool")).slots, 129);
  await clean(page, "pools");
  await other.close();
});

browse("variables are taken to a file and back", {}, async ({ page, go }) => {
  await api("POST", "/api/v2/variables", { key: "where", value: EVIL, description: EVIL });
  await api("POST", "/api/v2/variables", { key: "my_password", value: "hunter2-hunter2" });
  await go("/variables");
  await page.getByText(EVIL).first().waitFor();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export" }).click()]);
  const text = readFileSync(await file.path(), "utf8");
  assert.deepEqual(JSON.parse(text).where, { value: EVIL, description: EVIL });
  assert.doesNotMatch(text, /my_password|\*\*\*/, "a mask is no value");
  await page.getByText(/1 are not: their names/).waitFor();
  const given = { where: "elsewhere", fresh: { value: "1", description: "new" }, shape: { a: 1 }, my_password: "***" };
  const choose = async () => page.locator("input[type=file]").setInputFiles({ name: "v.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(given)) });
  await choose();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("The file has 4 variables, 2 of which are here already. 1 have no value").waitFor();
  await dialog.getByRole("button", { name: "Write 2" }).click();
  await page.getByText("2 variables are written.").waitFor();
  assert.equal((await api("GET", "/api/v2/variables/where")).value, EVIL, "that was here already");
  assert.equal((await api("GET", "/api/v2/variables/shape")).value, '{"a":1}');
  await choose();
  await dialog.getByLabel("Write over those that are here").check();
  await dialog.getByRole("button", { name: "Write 3" }).click();
  await page.getByText("3 variables are written.").waitFor();
  assert.equal((await api("GET", "/api/v2/variables/where")).value, "elsewhere");
  await page.locator("input[type=file]").setInputFiles({ name: "v.json", mimeType: "application/json", buffer: Buffer.from("[") });
  await page.locator(".toast.bad").waitFor();
  await clean(page, "variables");
  for (const key of ["where", "my_password", "fresh", "shape"]) await api("DELETE", `/api/v2/variables/${key}`);
});

browse("a connection of a kind has that kind's words", {}, async ({ page, go }) => {
  await go("/connections?add=1");
  await page.getByLabel("Name", { exact: true }).fill("warehouse");
  await page.getByLabel("Type").fill("postgres");
  await page.getByLabel("Database").fill("sales");
  await page.getByText("Usually 5432").waitFor();
  await page.getByLabel("Host").fill(EVIL);
  await page.getByLabel("Port").fill("5432");
  await page.getByLabel("Login").fill("eve");
  await page.getByLabel("Password").fill("canary-of-e2e");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("warehouse is made.").waitFor();
  await page.getByText(`${EVIL}:5432`).waitFor();
  const made = await api("GET", "/api/v2/connections/warehouse");
  assert.deepEqual([made.schema, made.port, made.password], ["sales", 5432, "***"]);
  await clean(page, "connections");
  await page.getByRole("button", { name: "Delete warehouse" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText("The connection is deleted.").waitFor();
});

browse("an import error has its lines, a caret and the remedy", {}, async ({ page, go }) => {
  await go("/import-errors");
  const card = page.getByRole("region", { name: "broken.yaml", exact: true });
  await card.getByText(/nobody/).first().waitFor();
  const here = card.locator("li.here");
  assert.match(await here.innerText(), /needs: \[nobody\]/);
  const [text, caret] = [await here.locator("code").first().textContent(), await here.locator(".caret").textContent()];
  assert.equal(text.slice(caret.indexOf("^"), caret.lastIndexOf("^") + 1).includes("nobody"), true, `${text}\n${caret}`);
  assert.ok((await card.locator("li").count()) >= 3, "and what is around it");
});

browse("the audit log is filtered, paged by number and shows before and after", {}, async ({ page, go }) => {
  await api("POST", "/api/v2/pools", { name: "audited", slots: 1 });
  await api("PATCH", "/api/v2/pools/audited", { name: "audited", slots: 2, description: EVIL });
  for (let n = 0; n < 60; n += 1) await api("PATCH", "/api/v2/pools/audited", { name: "audited", slots: n + 3 });
  await go("/audit");
  const rows = page.locator("table.audit > tbody > tr");
  await rows.first().waitFor();
  assert.equal(await rows.count(), 50);
  await page.getByLabel("What", { exact: true }).fill("patch_pool");
  await page.keyboard.press("Enter");
  await page.waitForURL(/event=patch_pool/);
  await page.getByRole("link", { name: "Older ›" }).click();
  await page.waitForURL(/before=\d+/);
  await page.getByText(/older ones/).waitFor();
  const ids = await page.locator("table.audit [aria-label^='What entry']").evaluateAll((all) => all.map((one) => Number(one.getAttribute("aria-label").split(" ")[2])));
  assert.deepEqual(ids, [...ids].sort((a, b) => b - a));
  assert.ok(ids.every((id) => id < Number(new URL(page.url()).searchParams.get("before"))));
  // What comes meanwhile moves nothing.
  await api("PATCH", "/api/v2/pools/audited", { name: "audited", slots: 99 });
  await page.goBack();
  await page.waitForFunction(() => !location.search.includes("before="));
  const [last] = (await api("GET", "/api/v2/eventLogs?event=patch_pool&order_by=-event_log_id&limit=1")).event_logs;
  await page.getByRole("button", { name: `What entry ${last.event_log_id} says` }).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/open=\d+/);
  const diff = page.getByRole("table", { name: "Before and after" });
  await diff.getByRole("row", { name: /slots/ }).waitFor();
  assert.match(await diff.getByRole("row", { name: /slots/ }).innerText(), /62\s+99/);
  await page.reload();
  await diff.waitFor();
  await page.getByRole("button", { name: "All ×" }).click();
  await page.waitForFunction(() => !location.search.includes("event="));
  await clean(page, "audit");
  await api("DELETE", "/api/v2/pools/audited");
});

browse("where nobody logs in, the page of tokens says so", {}, async ({ page, go }) => {
  page.mayFail = true;
  await go("/tokens");
  await page.getByText("Nobody logs in here").waitFor();
  page.mayFail = false;
  await go("/users");
  await page.getByText(/asks nobody who they are/).waitFor();
});

guard("users are made, given roles, shut out, given a password and deleted", async ({ page, go }) => {
  await login(page, go, "admin", OWNER, "/users");
  await page.getByRole("button", { name: "+ Add a user" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill("eve");
  await dialog.getByLabel("Shown as").fill(EVIL);
  await dialog.getByLabel("Role 1", { exact: true }).selectOption("user");
  await dialog.getByLabel("What role 1 is over").fill("tag:sales");
  await dialog.getByRole("button", { name: "+ Role" }).click();
  await dialog.getByRole("button", { name: "Make one up" }).click();
  const password = await dialog.locator(".secret code").textContent();
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByText("eve is made.").waitFor();
  const made = await owner("GET", "/ui/users/eve");
  assert.deepEqual([made.display_name, made.roles, made.has_password], [EVIL, [{ role: "user", scope: "tag:sales" }, { role: "viewer", scope: "*" }].sort((a, b) => a.role.localeCompare(b.role)), true]);
  await page.getByText(EVIL).waitFor();
  await clean(page, "users");
  await page.getByRole("button", { name: "Edit eve" }).click();
  await dialog.getByRole("button", { name: "Take role 1 away" }).click();
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByText("eve is saved.").waitFor();
  assert.equal((await owner("GET", "/ui/users/eve")).roles.length, 1);

  const theirs = await open({ base });
  await owner("PATCH", "/ui/users/eve", { roles: ["viewer"] });
  await login(theirs.page, theirs.go, "eve", password);
  // What one may not is not offered.
  await theirs.page.getByRole("button", { name: "Admin" }).click();
  await theirs.page.getByRole("menuitem", { name: /^Pools/ }).waitFor();
  for (const name of [/^Variables/, /^Users/, /^Audit/]) assert.equal(await theirs.page.getByRole("menuitem", { name }).count(), 0, String(name));
  await theirs.page.getByRole("menuitem", { name: /^Pools/ }).click();
  await theirs.page.getByText("default_pool").waitFor();
  assert.equal(await theirs.page.getByRole("button", { name: /Edit|Add|Delete/ }).count(), 0);
  await theirs.page.goto(`${base}/fleet`);
  await theirs.page.getByText("takes work", { exact: true }).waitFor();
  assert.equal(await theirs.page.getByRole("button", { name: /Drain|Stop launches/ }).count(), 0);

  theirs.page.mayFail = true;
  await page.getByRole("button", { name: "More for eve" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: "Shut out" }).click();
  await page.getByText(/^.*eve is shut out/).waitFor();
  assert.equal((await owner("GET", "/ui/users/eve")).active, false);
  await theirs.page.goto(`${base}/`);
  await theirs.page.waitForURL(/auth\/login/);
  await theirs.close();
  await page.getByRole("button", { name: "More for eve" }).click();
  await page.getByRole("menuitem", { name: "Let in again" }).click();
  await page.getByText("eve may log in again.").waitFor();
  await page.getByRole("button", { name: "More for eve" }).click();
  await page.getByRole("menuitem", { name: "Set a password…" }).click();
  await dialog.getByLabel("Password").fill("another-long-password");
  await dialog.getByRole("button", { name: "Set", exact: true }).click();
  await page.getByText(/eve has another password/).waitFor();
  await page.getByRole("button", { name: "+ Add a role" }).click();
  await dialog.getByLabel("Name", { exact: true }).fill("reader");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByText("The role reader is made.").waitFor();
  assert.ok((await owner("GET", "/ui/roles")).roles.some((role) => role.name === "reader"));
  await page.getByRole("button", { name: "Delete the role reader" }).click();
  await page.getByText("The role reader is deleted.").waitFor();
  await page.getByRole("button", { name: "More for eve" }).click();
  await page.getByRole("menuitem", { name: "Delete…" }).click();
  await dialog.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText("eve is deleted.").waitFor();
  assert.equal((await owner("GET", "/ui/users")).users.some((user) => user.name === "eve"), false);
});

guard("a token is made, shown once, works within its permissions, and is revoked", async ({ page, go }) => {
  await owner("POST", "/ui/users", { name: "tom", password: "tom-has-a-password", roles: ["op"] });
  await login(page, go, "tom", "tom-has-a-password", "/tokens");
  await page.getByRole("button", { name: "+ New token" }).focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill(EVIL);
  await dialog.getByLabel("Days that it is good").fill("7");
  await dialog.getByLabel("only some of it").check();
  await dialog.getByLabel("pools.read").check();
  await dialog.getByRole("button", { name: "Make it" }).click();
  await dialog.getByText("it is not shown again").waitFor();
  const token = await dialog.locator(".secret code").textContent();
  await dialog.getByRole("button", { name: "I have it" }).click();
  const use = (path) => fetch(base + path, { headers: { authorization: `Bearer ${token}` } }).then((response) => response.status);
  assert.deepEqual([await use("/api/v2/pools"), await use("/api/v2/variables")], [200, 403]);
  await page.getByText(EVIL).waitFor();
  await clean(page, "tokens");
  await page.getByText("1 permission", { exact: true }).waitFor();
  assert.doesNotMatch(await page.locator("body").innerText(), new RegExp(token));
  await page.getByRole("button", { name: "Revoke <img" }).click();
  await dialog.getByRole("button", { name: "Revoke", exact: true }).click();
  await page.getByText("No tokens").waitFor();
  page.mayFail = true;
  // As Airflow answers a token that is none.
  assert.equal(await use("/api/v2/pools"), 403);
  await page.getByRole("button", { name: "Change my password…" }).click();
  await dialog.getByLabel("So far").fill("wrong-password-it-is");
  await dialog.getByLabel("From now on").fill("tom-has-another-one");
  await dialog.getByRole("button", { name: "Change" }).click();
  await dialog.getByText("The password so far is another one.").waitFor();
  await dialog.getByLabel("So far").fill("tom-has-a-password");
  await dialog.getByRole("button", { name: "Change" }).click();
  await page.waitForURL(/auth\/login/);
  await login(page, go, "tom", "tom-has-another-one", "/tokens");
  await owner("DELETE", "/ui/users/tom");
});

browse("every page is reached by the palette alone, and what it does is done", {}, async ({ page, go }) => {
  page.mayFail = true;
  await go("/");
  await page.locator(".live.is-live").waitFor();
  const say = async (words) => {
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").waitFor();
    await page.keyboard.type(words);
    await page.keyboard.press("Enter");
  };
  for (const [words, path, title] of [["Backfills", "/backfills", "Backfills"], ["Fleet", "/fleet", "Fleet"], ["Git", "/git", "Git"], ["Pools", "/pools", "Pools"], ["Variables", "/variables", "Variables"], ["Connections", "/connections", "Connections"], ["Import errors", "/import-errors", "Import errors"], ["Audit", "/audit", "Audit"], ["Users", "/users", "Users"], ["Tokens", "/tokens", "Tokens"], ["DAGs", "/", "DAGs"]]) {
    await say(words);
    await page.waitForFunction((wanted) => location.pathname === wanted, path);
    await page.getByRole("heading", { name: title, exact: true, level: 1 }).waitFor();
    if (path !== "/") assert.match(await page.title(), new RegExp(title));
  }
  await say("new pool");
  await page.getByRole("dialog", { name: "New pool" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await say("pause diamond_yaml");
  await page.getByText("diamond_yaml is paused").waitFor();
  assert.equal((await api("GET", "/api/v2/dags/diamond_yaml")).is_paused, true);
  await say("unpause diamond_yaml");
  await page.getByText("diamond_yaml is on").waitFor();
  await say("backfill past_days");
  await page.getByRole("dialog", { name: "New backfill" }).waitFor();
});

const places = () => [
  ["pool-new", "/pools?add=1", (page) => page.getByRole("dialog")],
  ["connection-new", "/connections?add=1", (page) => page.getByRole("dialog")],
  ["import-errors-frame", "/import-errors", (page) => page.locator(".frame")],
  ["audit", "/audit", (page) => page.locator("table.audit")],
  ["users", "/users", (page) => page.getByText("anna")],
  ["user-edit", "/users?edit=anna", (page) => page.getByRole("dialog")],
  ["role-new", "/users?role=", (page) => page.getByRole("dialog")],
  ["tokens", "/tokens", (page) => page.getByText("ci", { exact: true })],
  ["token-new", "/tokens?add=1", (page) => page.getByRole("dialog")],
];

for (const dark of [false, true]) {
  for (const width of [1440, 390]) {
    test(`administration is clean for axe and fits: ${dark ? "dark" : "light"}, ${width} wide`, async () => {
      if (!(await owner("GET", "/ui/users")).users.some((one) => one.name === "anna")) await owner("POST", "/ui/users", { name: "anna", display_name: "Anna Bee", password: "anna-has-a-password", roles: ["admin", { role: "op", scope: "tag:sales" }] });
      const { page, go, close } = await open({ base, dark, width, height: width === 390 ? 844 : 900 });
      await login(page, go, "anna", "anna-has-a-password");
      await page.evaluate(async () => {
        const { total_entries } = await (await fetch("/ui/tokens")).json();
        if (total_entries === 0) await fetch("/ui/tokens", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name: "ci" }) });
      });
      const wrong = [];
      for (const [name, path, shown] of places()) {
        await go(path);
        await shown(page).first().waitFor();
        await page.locator(".live.is-live").waitFor();
        if (name === "audit") await page.getByRole("button", { name: /^What entry/ }).first().click();
        wrong.push(...(await look(page, name, { width, dark })));
      }
      await go("/");
      await page.getByRole("button", { name: "Admin" }).click();
      await page.getByRole("menuitem").first().waitFor();
      wrong.push(...(await look(page, "admin-menu", { width, dark })));
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: /healthy|degraded/ }).click();
      await page.getByRole("dialog").waitFor();
      wrong.push(...(await look(page, "health", { width, dark })));
      await close();
      assert.deepEqual(wrong, []);
    });
  }
}
