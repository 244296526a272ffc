// The graph of a DAG: any version of it, with the states of its newest run.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { queries } from "../api/queries";
import { Graph } from "./graph";

const ROUTE = "/dags/$dagId";

export function GraphTab({ dag }: { dag: string }) {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const newest = useQuery(queries.grid(dag, 1)).data;
  const versions = useQuery(queries.versions(dag)).data?.dag_versions;
  const run = newest?.runs[0];
  const states = useMemo(() => (newest && run ? new Map(newest.tasks.map((task, at) => [task.task_id, { letter: run.cells[at] ?? "-", count: 0 }])) : undefined), [newest, run]);
  const go = (change: Partial<typeof search>, replace = true) => void navigate({ search: { ...search, ...change }, replace });
  return (
    <Graph
      dag={dag} version={search.version} states={states} folding={search} refold={({ folded, open }) => go({ folded, open }, false)} q={search.q} search={(q) => go({ q })}
      chosen={search.task} choose={(task) => go({ task })} table={search.as === "table"} setTable={(on) => go({ as: on ? "table" : undefined }, false)}
      stream={search.stream === 1} setStream={(on) => go({ stream: on ? 1 : undefined })}
      open={(task) => void (run && newest?.tasks.some((one, at) => one.task_id === task && run.cells[at] !== "-")
        ? navigate({ to: "/dags/$dagId/runs/$runId/tasks/$taskId", params: { dagId: dag, runId: run.dag_run_id, taskId: task }, search: {} })
        : navigate({ search: { tab: "tasks", q: task } }))}
      tools={<>
        {versions && versions.length > 1 && <label className="inline">Version <select value={search.version ?? versions[0]?.version_number} onChange={(event) => go({ version: Number(event.target.value) === versions[0]?.version_number ? undefined : Number(event.target.value) }, false)}>{versions.map((one) => <option key={one.id}>{one.version_number}</option>)}</select></label>}
        {run && <span className="quiet">States of the newest run, <Link to="/dags/$dagId/runs/$runId" params={{ dagId: dag, runId: run.dag_run_id }} search={{ view: "graph" }}>{run.dag_run_id}</Link></span>}
      </>}
    />
  );
}
