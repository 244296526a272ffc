// How the parts of the installation are, each with what to do.
import type { Schemas } from "../api/client";
import { Mark } from "./bits";

export const PARTS: Record<string, string> = { database: "Database", broker: "Broker", scheduler: "Scheduler", dag_processor: "DAG processor", workers: "Workers" };
export const HOW: Record<Schemas["PartStatus"], { state: string; word: string }> = { healthy: { state: "success", word: "healthy" }, degraded: { state: "up_for_retry", word: "degraded" }, unhealthy: { state: "failed", word: "unhealthy" }, unknown: { state: "none", word: "unknown" } };

export function Parts({ data }: { data: Schemas["InstallationHealth"] }) {
  return (
    <>
      {data.maintenance && <p><b>Nothing is launched</b>: {data.maintenance}</p>}
      <ul className="parts">{data.parts.map((part) => (
        <li key={part.part}><Mark state={HOW[part.status].state} /><div><b>{PARTS[part.part] ?? part.part}</b> <span className={part.status === "unhealthy" ? "wrong" : "quiet"}>{HOW[part.status].word}</span><div className="said">{part.detail}</div>{part.remedy && <div className="remedy">{part.remedy}</div>}</div></li>
      ))}</ul>
    </>
  );
}
