// The tasks of a DAG's newest version, and how they fared in its latest runs.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import type { Schemas } from "../api/client";
import { queries } from "../api/queries";
import { Empty, Failure, Mark, Skeleton, Time } from "../components/bits";
import { lookOf, stateOf } from "../lib/states";
import { span } from "../lib/time";

const ROUTE = "/dags/$dagId";
const SHOWN = 12;
const ROW = 62;

export function TasksTab({ dag }: { dag: string }) {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const { data, error, refetch } = useQuery(queries.dagTasks(dag));
  const fares = useQuery(queries.fares(dag));
  const list = useRef<HTMLDivElement>(null);
  const words = search.q?.toLowerCase();
  const tasks = useMemo(() => (data?.tasks ?? []).filter((task) => !words || task.task_id.toLowerCase().includes(words) || (task.operator_name ?? "").toLowerCase().includes(words)), [data, words]);
  const of = useMemo(() => new Map(fares.data?.tasks.map((fare) => [fare.task_id, fare])), [fares.data]);
  const slowest = Math.max(0, ...(fares.data?.tasks ?? []).map((fare) => fare.median_duration ?? 0));
  const rows = useVirtualizer({ count: tasks.length, getScrollElement: () => list.current, estimateSize: () => ROW, overscan: 8 });
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton />;
  const shown = rows.getVirtualItems();
  const before = shown[0]?.start ?? 0;
  const after = rows.getTotalSize() - (shown.at(-1)?.end ?? 0);
  return (
    <>
      <div className="row tools">
        <input type="search" data-search className="search" aria-label="Show only tasks with this in their name or kind" placeholder="Tasks  ( / )" value={search.q ?? ""} onChange={(event) => void navigate({ search: { ...search, q: event.target.value || undefined }, replace: true })} />
        <span className="quiet">{tasks.length} of {data.tasks.length} tasks{fares.data ? fares.data.runs > 0 ? `, as they fared in the latest ${fares.data.runs} run${fares.data.runs === 1 ? "" : "s"}` : "; it has not run yet" : ""}</span>
      </div>
      {tasks.length === 0 ? <Empty title={search.q ? "No task is called so" : "It has no tasks"} /> : (
        <div ref={list} className="scroll dag-tasks" tabIndex={0} role="region" aria-label="Tasks"><table aria-rowcount={tasks.length + 1}>
          <thead><tr><th scope="col">Task</th><th scope="col">Last</th><th scope="col">Latest runs</th><th scope="col">Took, median</th><th scope="col" className="num">Longest</th><th scope="col">Rule, retries</th><th scope="col">Pool</th><th scope="col">Before these</th></tr></thead>
          <tbody>
            {before > 0 && <tr aria-hidden="true"><td colSpan={8} style={{ height: before }} /></tr>}
            {shown.map((item) => {
              const task = tasks[item.index] as Schemas["TaskResponse"];
              return <Row key={task.task_id} task={task} fare={of.get(task.task_id ?? "")} slowest={slowest} index={item.index} measure={rows.measureElement} />;
            })}
            {after > 0 && <tr aria-hidden="true"><td colSpan={8} style={{ height: after }} /></tr>}
          </tbody>
        </table></div>
      )}
    </>
  );
}

function Row({ task, fare, slowest, index, measure }: { task: Schemas["TaskResponse"]; fare: Schemas["TaskFare"] | undefined; slowest: number; index: number; measure: (node: Element | null) => void }) {
  const last = [...(fare?.states ?? "")].reverse().map(stateOf).find(Boolean);
  const latest = [...(fare?.states ?? "")].slice(-SHOWN).map(stateOf);
  const many = task.is_mapped || (fare?.mapped ?? 0) > 1;
  return (
    <tr ref={measure} data-index={index} aria-rowindex={index + 2}>
      <td><b className="task-name">{task.task_id}</b><div className="quiet">{task.operator_name}{many && (fare?.mapped ? ` × ${fare.mapped}` : ", mapped")}</div>{task.doc_md && <div className="quiet cut task-doc" title={task.doc_md}>{task.doc_md}</div>}</td>
      <td>{last ? <><span className="state"><Mark state={last} />{lookOf(last).word}</span>{fare?.last_start && <div className="quiet"><Time at={fare.last_start} /></div>}</> : <span className="quiet">not yet</span>}</td>
      <td><span className="fares" role="img" aria-label={fare ? `${fare.failures} failed of ${[...fare.states].filter((letter) => letter !== "-").length}` : "no runs"}>{latest.map((state, at) => (state ? <Mark key={at} state={state} size={14} /> : <span key={at} className="mark" />))}</span>{fare && fare.failures > 0 && <div className="quiet">{fare.failures} failed</div>}</td>
      <td>{fare?.median_duration != null && <div className="fare-took"><span className="fare-bar" style={{ width: `${slowest ? Math.max(2, (fare.median_duration / slowest) * 100) : 0}%` }} aria-hidden="true" /><span>{span(fare.median_duration)}</span></div>}</td>
      <td className="num">{span(fare?.longest_duration)}</td>
      <td>{task.trigger_rule}{Number(task.retries) > 0 && <div className="quiet">{String(task.retries)} {Number(task.retries) === 1 ? "retry" : "retries"}</div>}</td>
      <td>{task.pool}{Number(task.pool_slots) > 1 && ` × ${task.pool_slots}`}</td>
      <td className="task-after">{(task.downstream_task_ids ?? []).slice(0, 8).join(", ")}{(task.downstream_task_ids ?? []).length > 8 && ` and ${(task.downstream_task_ids ?? []).length - 8} more`}</td>
    </tr>
  );
}
