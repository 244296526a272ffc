// DAG files that tests write, and the moment when the server has read them.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { api, url } from "./harness.mjs";

/** The changes that the server tells of, one by one, from now on. */
async function* changes(signal) {
  const response = await fetch(`${url}/ui/events`, { signal });
  let text = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    text += part;
    const messages = text.split("\n\n");
    text = messages.pop();
    for (const message of messages) {
      const event = /^event: (\w+)$/m.exec(message)?.[1];
      if (event) yield { event, data: JSON.parse(/^data: (.*)$/m.exec(message)?.[1] ?? "null") };
    }
  }
}

const newest = (dag) => api("GET", `/api/v2/dags/${dag}/details`).then((found) => found.latest_dag_version?.version_number ?? 0, () => 0);

/** Writes a DAG's file and waits until the server has a new version of it, whose number it returns. A file with a mistake never becomes one. */
export async function write(dag, text) {
  const stop = new AbortController();
  const before = await newest(dag);
  const late = setTimeout(() => void api("GET", "/api/v2/importErrors").then((found) => stop.abort(new Error(`no new version of ${dag}: ${JSON.stringify(found.import_errors)}`))), 60_000);
  for await (const { event, data } of changes(stop.signal)) {
    if (event === "open") await writeFile(join(process.env.UPDRAFT_E2E_DAGS, `${dag}.yaml`), text);
    if (event === "changes" && data.dags?.some((one) => one.dag_id === dag) && (await newest(dag)) > before) break;
  }
  clearTimeout(late);
  stop.abort();
  return before + 1;
}
