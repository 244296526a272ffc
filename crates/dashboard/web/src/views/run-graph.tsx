// The graph of a run, with the states of its tasks as they change. Beside or instead of the Gantt: `?view=graph`.
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Bar } from "../lib/bars";
import { useKeys } from "../lib/keys";
import { letterOf, worst } from "../lib/states";
import { Graph } from "./graph";

const ROUTE = "/dags/$dagId/runs/$runId";

/** Which of the two is shown, and the key for the other. */
export function RunViews() {
  const { dagId, runId } = useParams({ from: ROUTE });
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const other = search.view === "graph" ? undefined : ("graph" as const);
  useKeys({ g: () => void navigate({ search: { ...search, view: other } }) });
  return (
    <nav className="chips" aria-label="Gantt or graph (g)">
      {([["Gantt", undefined], ["Graph", "graph"]] as const).map(([name, view]) => <Link key={name} to={ROUTE} params={{ dagId, runId }} search={{ ...search, view }} activeOptions={{ exact: true, explicitUndefined: true }} className="button" aria-current={search.view === view ? "true" : undefined}>{name}</Link>)}
    </nav>
  );
}

export function RunGraph({ bars, version }: { bars: Bar[]; version: number | undefined }) {
  const { dagId, runId } = useParams({ from: ROUTE });
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const states = useMemo(() => {
    const all = new Map<string, string[]>();
    for (const bar of bars) {
      const letters = all.get(bar.task);
      if (letters) letters.push(letterOf(bar.state));
      else all.set(bar.task, [letterOf(bar.state)]);
    }
    return new Map([...all].map(([task, letters]) => [task, { letter: worst(letters), count: letters.length }]));
  }, [bars]);
  const go = (change: Partial<typeof search>, replace = true) => void navigate({ search: { ...search, ...change }, replace });
  return (
    <Graph
      dag={dagId} version={version} states={states} folding={search} refold={({ folded, open }) => go({ folded, open }, false)} q={search.q}
      chosen={search.task} choose={(task) => go({ task, map: undefined })} table={search.as === "table"} setTable={(on) => go({ as: on ? "table" : undefined }, false)}
      stream={search.stream === 1} setStream={(on) => go({ stream: on ? 1 : undefined })}
      open={(task) => void navigate({ to: "/dags/$dagId/runs/$runId/tasks/$taskId", params: { dagId, runId, taskId: task }, search: {} })}
    />
  );
}
