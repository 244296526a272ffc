// A server of a test's own, which may be killed and started again.
import { execFileSync, spawn } from "node:child_process";
import { createWriteStream, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const free = () => new Promise((found) => {
  const taken = createServer().listen(0, "127.0.0.1", () => {
    const { port } = taken.address();
    taken.close(() => found(port));
  });
});

/** Answers as soon as `url` does. */
async function answers(url, child) {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) return response.json();
    await new Promise((next) => setTimeout(next, 50));
  }
}

async function ask(base, method, path, body, headers = {}) {
  const response = await fetch(base + path, { method, headers: { "content-type": "application/json", accept: "application/json", ...headers }, body: body && JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

export class Server {
  /** `dags`: text by file name. */
  static async start(dags) {
    const server = new Server();
    server.folder = mkdtempSync(join(process.env.UPDRAFT_E2E_WORK, "server-"));
    // Where this is root, Postgres is somebody else, who must get through.
    execFileSync("chmod", ["755", server.folder]);
    mkdirSync(join(server.folder, "dags"));
    for (const [name, text] of Object.entries(dags)) writeFileSync(join(server.folder, "dags", name), text);
    server.port = await free();
    server.url = `http://127.0.0.1:${server.port}`;
    server.log = createWriteStream(join(server.folder, "log"), { flags: "a" });
    await server.launch();
    for (;;) {
      const list = await answers(`${server.url}/api/v2/dags?limit=1`, server.child);
      if (list.total_entries >= Object.keys(dags).length) return server;
    }
  }

  async launch() {
    const flags = ["standalone", "--port", String(this.port), "--data-dir", join(this.folder, "data"), "--dags", join(this.folder, "dags")];
    this.child = spawn(process.env.UPDRAFT_E2E_BINARY, flags, { stdio: ["ignore", "pipe", "pipe"] });
    this.over = new Promise((done) => this.child.once("exit", done));
    for (const out of [this.child.stdout, this.child.stderr]) out.pipe(this.log, { end: false });
    await answers(`${this.url}/api/v2/version`, this.child);
  }

  /** As the power cut does it. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.over;
  }

  async stop() {
    this.child.kill("SIGTERM");
    await this.over;
  }

  async api(method, path, body) {
    return ask(this.url, method, path, body);
  }

  async trigger(dag, conf = {}) {
    return (await this.api("POST", `/api/v2/dags/${dag}/dagRuns`, { logical_date: null, conf })).dag_run_id;
  }
}

/** A second API over the database of the server of all tests that asks for a password. No broker is at its address: it does without one. */
export class Guarded {
  static OWNER = "the-owner's-own-password";

  static async start(work = process.env.UPDRAFT_E2E_WORK) {
    const guarded = new Guarded();
    const port = await free();
    guarded.url = `http://127.0.0.1:${port}`;
    const database = `postgres://updraft@localhost:5432/postgres?host=${work}/data/postgres/run&sslmode=disable`;
    guarded.child = spawn(process.env.UPDRAFT_E2E_BINARY, ["api", "--port", String(port), "--broker-url", "amqp://127.0.0.1:1/", "--database-url", database], {
      env: { ...process.env, UPDRAFT_API_PASSWORD: Guarded.OWNER, UPDRAFT_SECRET_KEYS_FILE: `${work}/data/secret-keys` }, stdio: ["ignore", "pipe", "pipe"],
    });
    const log = createWriteStream(join(work, "guarded.log"), { flags: "a" });
    for (const out of [guarded.child.stdout, guarded.child.stderr]) out.pipe(log, { end: false });
    await answers(`${guarded.url}/api/v2/version`, guarded.child);
    return guarded;
  }

  /** Asks as the owner, or as somebody else with their password. */
  async api(method, path, body, who = `admin:${Guarded.OWNER}`) {
    return ask(this.url, method, path, body, { authorization: `Basic ${btoa(who)}` });
  }

  stop() {
    this.child.kill("SIGTERM");
  }
}

/** As a person does it. */
export async function login(page, go, name, password, path = "/") {
  await go(path);
  await page.getByLabel(/name/i).first().fill(name);
  await page.getByLabel(/password/i).fill(password);
  await page.keyboard.press("Enter");
  await page.locator(".live.is-live").waitFor({ state: "attached" });
}
