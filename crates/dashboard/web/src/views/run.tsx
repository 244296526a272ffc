// A run: when each task ran, and beside that the one that matters. A run that failed opens on its first failure with the end of its log.
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { type Schemas, path, send } from "../api/client";
import { queries, queryClient } from "../api/queries";
import { Empty, Failure, Mark, Skeleton, State, Time, Took } from "../components/bits";
import { SplitButton } from "../components/menu";
import { complain, say } from "../components/toast";
import { useKeys } from "../lib/keys";
import { isFailure, isOver, lookOf } from "../lib/states";
import { ClearDialog, type Clearing } from "./clear";
import { Gantt } from "./gantt";
import { LogTail } from "./log";
import { RunGraph, RunViews } from "./run-graph";

const ROUTE = "/dags/$dagId/runs/$runId";
type Task = Schemas["RunTask"];

/** The task that people want to see first: the first that failed by itself, else one that runs. */
function first(tasks: Task[]): Task | undefined {
  const failed = tasks.filter((task) => task.state === "failed").sort((a, b) => (a.end_date ?? "").localeCompare(b.end_date ?? ""));
  return failed[0] ?? tasks.find((task) => task.state === "up_for_retry") ?? tasks.find((task) => task.state === "running");
}

export function RunPage() {
  const { dagId, runId } = useParams({ from: ROUTE });
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const run = useQuery(queries.run(dagId, runId));
  const { data, error, refetch } = useQuery(queries.runTasks(dagId, runId));
  const [clearing, setClearing] = useState<Clearing>();
  const tasks = useMemo(() => {
    const words = (search.q ?? "").toLowerCase();
    return (data?.tasks ?? []).filter((task) => (!words || task.task_id.toLowerCase().includes(words)) && (!search.state || (task.state ?? "none") === search.state));
  }, [data, search.q, search.state]);
  const failed = run.data?.task_counts.failed || run.data?.task_counts.upstream_failed;
  const chosen = search.task ? data?.tasks.find((task) => task.task_id === search.task && task.map_index === (search.map ?? -1)) : data && first(data.tasks);
  const mark = useMutation({
    mutationFn: (state: string) => send("PATCH", path`/api/v2/dags/${dagId}/dagRuns/${runId}`, { state }),
    onSuccess: (_, state) => say(state === "failed" ? "What runs is being stopped." : "The run is marked."),
    onError: complain,
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["run", dagId, runId] }),
  });
  const again = (what: Clearing) => setClearing(what);
  useKeys({
    "shift+c": () => again({ title: failed ? "Retry what failed" : "Run all again", body: { only_failed: Boolean(failed) } }),
    "shift+f": () => mark.mutate("failed"),
    "shift+s": () => mark.mutate("success"),
  });
  if (run.error && !run.data) return <Failure whole error={run.error} retry={() => void run.refetch()} />;
  if (!run.data) return <Skeleton />;
  const live = !isOver(run.data.state);
  const all: Clearing = { title: "Run all again", body: { only_failed: false } };
  const retry: Clearing = { title: "Retry what failed", body: { only_failed: true } };
  return (
    <>
      <div className="head">
        <div className="title">
          <h1><Mark state={run.data.state} size={22} /> <span className="seen-by-ear">{lookOf(run.data.state).word}: </span>{runId}</h1>
          <p className="quiet">{[run.data.run_type, run.data.triggering_user_name && `by ${run.data.triggering_user_name}`, run.data.reason].filter(Boolean).join(" · ")}</p>
          {run.data.note && <p>{run.data.note}</p>}
        </div>
        <dl className="facts">
          <div><dt>State</dt><dd>{lookOf(run.data.state).word}</dd></div>
          <div><dt>Started</dt><dd>{run.data.start_date ? <Time at={run.data.start_date} /> : "not yet"}</dd></div>
          <div><dt>Took</dt><dd><Took start={run.data.start_date} seconds={run.data.duration} live={live} /></dd></div>
        </dl>
        <div className="actions">
          {live && <button type="button" onClick={() => mark.mutate("failed")}>■ Stop</button>}
          <SplitButton
            name={failed ? "↻ Retry failed" : "↻ Run again"}
            act={() => again(failed ? retry : all)}
            items={[
              { name: "Retry what failed", disabled: !failed, act: () => again(retry) },
              { name: `Retry ${chosen?.task_id ?? "the selected task"}`, disabled: !chosen, act: () => chosen && again({ title: `Run ${chosen.task_id} again`, body: { only_failed: false, task_ids: [chosen.task_id] } }) },
              { name: `From ${chosen?.task_id ?? "the selected task"} on`, hint: "it and all after it", disabled: !chosen, act: () => chosen && again({ title: `Run again from ${chosen.task_id} on`, body: { only_failed: false, include_downstream: true, task_ids: [chosen.task_id] } }) },
              { name: "Run all again", act: () => again(all) },
              { name: "Mark as success", act: () => mark.mutate("success") },
              { name: "Mark as failed", hint: "stops what runs", act: () => mark.mutate("failed") },
            ]}
          />
        </div>
      </div>
      <Conf conf={run.data.conf as Record<string, unknown> | null} />
      <div className="row tools">
        <RunViews />
        <input type="search" data-search className="search" aria-label="Show only tasks with this in their name" placeholder="Tasks  ( / )" value={search.q ?? ""} onChange={(event) => void navigate({ search: { ...search, q: event.target.value || undefined }, replace: true })} />
        <div className="chips" role="group" aria-label="Which states">
          {Object.entries(run.data.task_counts).map(([state, count]) => (
            <button key={state} type="button" aria-pressed={search.state === state} onClick={() => void navigate({ search: { ...search, state: search.state === state ? undefined : state } })}><Mark state={state} size={14} />{lookOf(state).word} <b>{count as number}</b></button>
          ))}
        </div>
      </div>
      {error && !data ? <Failure error={error} retry={() => void refetch()} /> : !data ? <Skeleton /> : (
        <div className="beside">
          {search.view === "graph" ? <RunGraph tasks={data.tasks} version={run.data.dag_versions.at(-1)?.version_number} /> : tasks.length === 0 ? <Empty title={data.tasks.length ? "No task matches" : "This run has no tasks"}>{data.tasks.length > 0 && <p><button type="button" onClick={() => void navigate({ search: {} })}>Show all</button></p>}</Empty>
            : <Gantt tasks={tasks} start={run.data.start_date} live={live} chosen={chosen} choose={(task) => void navigate({ search: { ...search, task: task.task_id, map: task.map_index >= 0 ? task.map_index : undefined }, replace: true })} />}
          {chosen && <Panel dag={dagId} run={runId} task={chosen} />}
        </div>
      )}
      {clearing && <ClearDialog dag={dagId} run={runId} clearing={clearing} close={() => setClearing(undefined)} />}
    </>
  );
}

function Conf({ conf }: { conf: Record<string, unknown> | null }) {
  const entries = Object.entries(conf ?? {});
  if (entries.length === 0) return null;
  return <p className="conf">{entries.map(([name, value]) => <span key={name}><span className="quiet">{name}</span> <code>{typeof value === "string" ? value : JSON.stringify(value)}</code></span>)}</p>;
}

function Panel({ dag, run, task }: { dag: string; run: string; task: Task }) {
  const { data } = useQuery(queries.why(dag, run, task.task_id, task.map_index));
  const params = { dagId: dag, runId: run, taskId: task.task_id };
  const map = task.map_index >= 0 ? task.map_index : undefined;
  const newest = data?.attempts.at(-1)?.try_number;
  return (
    <section className="panel" aria-label={`Task ${task.task_id}`}>
      <header><h2>{task.task_id}{map !== undefined && `[${map}]`}</h2><State state={task.state} /><Link to="/dags/$dagId/runs/$runId/tasks/$taskId" params={params} search={{ map }} className="button">Open</Link></header>
      {data && <p className={isFailure(task.state) ? "summary bad" : "summary"}>{data.summary}</p>}
      {data && data.waiting.length > 0 && <ul>{data.waiting.map((one, at) => <li key={at}>{one.detail}{one.remedy && <> → <code>{one.remedy}</code></>}</li>)}</ul>}
      {newest ? <LogTail dag={dag} run={run} task={task.task_id} map={task.map_index} number={newest} /> : data && <p className="quiet">It has no log: no attempt was made.</p>}
    </section>
  );
}
