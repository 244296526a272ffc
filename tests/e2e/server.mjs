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
    const response = await fetch(this.url + path, { method, headers: { "content-type": "application/json", accept: "application/json" }, body: body && JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  async trigger(dag, conf = {}) {
    return (await this.api("POST", `/api/v2/dags/${dag}/dagRuns`, { logical_date: null, conf })).dag_run_id;
  }
}
