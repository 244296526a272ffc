// A run: when each task ran, and beside that the one that matters. A run that failed opens on its first failure with the end of its log.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { path } from "../api/client";
import { queries } from "../api/queries";
import { Empty, Failure, Mark, Skeleton, State, Time, Took } from "../components/bits";
import { type Item, SplitButton } from "../components/menu";
import { type Bar, barsOf, countsOf, idOf, nameOf } from "../lib/bars";
import { useKeys } from "../lib/keys";
import { read, written } from "../lib/selection";
import { isFailure, isOver, lookOf } from "../lib/states";
import { ClearDialog, type Clearing, RerunDialog } from "./clear";
import { Gantt } from "./gantt";
import { LogTail } from "./log";
import { MOST_MARKED, MarkDialog, MarkRunDialog, type Marked, Note } from "./mark";
import { RunGraph, RunViews } from "./run-graph";
import "./run.css";

const ROUTE = "/dags/$dagId/runs/$runId";

/** The task that people want to see first: the first that failed by itself, else one that runs. */
function first(bars: Bar[]): Bar | undefined {
  const failed = bars.filter((bar) => bar.state === "failed").sort((a, b) => (a.end ?? 0) - (b.end ?? 0));
  return failed[0] ?? bars.find((bar) => bar.state === "up_for_retry") ?? bars.find((bar) => bar.state === "running");
}

/** At least so long one that runs is shown, in milliseconds: what is over at once is not worth a look each. */
const SHOWN = 5_000;

/** Whether the task that was chosen for a person stays, `since` when where its run goes on. One that failed does: what somebody reads does not
 * go away because another fails. One that runs does to its end, unless something fails. */
function stays(shown: Bar, best: Bar | undefined, since: number | undefined): boolean {
  if (isFailure(shown.state)) return true;
  if (since === undefined || (best && isFailure(best.state))) return false;
  return shown.state === "running" || !best || Date.now() - since < SHOWN;
}

/** The longest text of a selection in the address: proxies take addresses of 8 KB. */
const LONGEST = 4_000;

/** What is asked before it is done. */
type Asking =
  | { kind: "clear"; clearing: Clearing } | { kind: "rerun" }
  | { kind: "mark"; state: Marked; tasks: Bar[] } | { kind: "markRun"; state: "success" | "failed" };

const SORTS: Record<string, (a: Bar, b: Bar) => number> = {
  start: (a, b) => (a.start ?? Number.POSITIVE_INFINITY) - (b.start ?? Number.POSITIVE_INFINITY),
  took: (a, b) => (b.end ?? 0) - (b.start ?? 0) - ((a.end ?? 0) - (a.start ?? 0)),
};

export function RunPage() {
  const { dagId, runId } = useParams({ from: ROUTE });
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const run = useQuery(queries.run(dagId, runId));
  const { data, error, refetch } = useQuery(queries.bars(dagId, runId));
  const [asking, setAsking] = useState<Asking>();
  const all = useMemo(() => (data ? barsOf(data) : []), [data]);
  // Counted here, so that they are those of the rows, and as new.
  const counts = useMemo(() => (data ? countsOf(data.states) : Object.entries((run.data?.task_counts ?? {}) as Record<string, number>)), [data, run.data]);
  // A selection that is too long for the address.
  const [long, keepLong] = useState<{ run: string; keys: ReadonlySet<string> }>();
  const selected = useMemo(() => (long?.run === runId ? long.keys : read(all, search.selected)), [long, runId, all, search.selected]);
  const pick = ({ bar, keys }: { bar?: Bar; keys?: ReadonlySet<string> }) => {
    const text = keys && written(all, keys);
    const fits = !text || text.length <= LONGEST;
    if (keys) keepLong(fits ? undefined : { run: runId, keys });
    void navigate({ search: { ...search, ...(bar && { task: bar.task, map: bar.map >= 0 ? bar.map : undefined }), ...(keys && { selected: fits ? text : undefined }) }, replace: true });
  };
  const bars = useMemo(() => {
    const words = (search.q ?? "").toLowerCase();
    const found = !words && !search.state ? all : all.filter((bar) => (!words || nameOf(bar).toLowerCase().includes(words)) && (!search.state || bar.state === search.state));
    const order = search.sort && SORTS[search.sort];
    return order ? [...found].sort(order) : found;
  }, [all, search.q, search.state, search.sort]);
  const named = search.task ? all.find((bar) => bar.task === search.task && bar.map === (search.map ?? -1)) : undefined;
  const [kept, keep] = useState<{ run: string; key: string; at: number }>();
  const best = search.task ? undefined : first(all);
  const shown = kept?.run === runId && !search.task ? all.find((bar) => bar.key === kept.key) : undefined;
  const chosen = search.task ? named : shown && stays(shown, best, run.data && !isOver(run.data.state) ? kept?.at : undefined) ? shown : best;
  if (!search.task && chosen && chosen !== shown) keep({ run: runId, key: chosen.key, at: Date.now() });
  const several = useMemo(() => all.filter((bar) => selected.has(bar.key)), [all, selected]);
  const acted = several.length ? several : chosen ? [chosen] : [];
  const failed = counts.some(([state]) => isFailure(state));

  const whole: Clearing = { title: "Run all again", body: { only_failed: false } };
  const retry: Clearing = { title: "Retry what failed", body: { only_failed: true } };
  const clear = (clearing: Clearing) => setAsking({ kind: "clear", clearing });
  const of = acted.length === 1 && acted[0] ? nameOf(acted[0]) : `${acted.length} tasks`;
  const mine = (down: boolean) => clear({ title: down ? `Run again from ${of} on` : `Run ${of} again`, body: { only_failed: false, include_downstream: down, task_ids: acted.map(idOf) } });
  const mark = (state: Marked) => setAsking({ kind: "mark", state, tasks: acted });
  useKeys({
    "shift+c": () => (several.length ? mine(false) : clear(failed ? retry : whole)),
    "shift+f": () => (several.length ? mark("failed") : setAsking({ kind: "markRun", state: "failed" })),
    "shift+s": () => (several.length ? mark("success") : setAsking({ kind: "markRun", state: "success" })),
  });
  if (run.error && !run.data) return <Failure whole error={run.error} retry={() => void run.refetch()} />;
  if (!run.data) return <Skeleton />;
  const live = !isOver(run.data.state);
  const none = acted.length === 0;
  const many = acted.length > MOST_MARKED;
  const items: Item[] = [
    { name: "Retry what failed", disabled: !failed, act: () => clear(retry) },
    { name: `Run ${none ? "the selected task" : of} again`, disabled: none, act: () => mine(false) },
    { name: `From ${none ? "the selected task" : of} on`, hint: "and all after it", disabled: none, act: () => mine(true) },
    { name: "Run all again", act: () => clear(whole) },
    { name: "With other params…", hint: live ? "when it is over" : "", disabled: live, act: () => setAsking({ kind: "rerun" }) },
    { name: `Mark ${none ? "the selected task" : of} as success`, disabled: none || many, act: () => mark("success") },
    { name: `Mark ${none ? "the selected task" : of} as failed`, disabled: none || many, act: () => mark("failed") },
    { name: `Mark ${none ? "the selected task" : of} as skipped`, disabled: none || many, act: () => mark("skipped") },
    { name: "Mark the run as success", hint: "Shift S", act: () => setAsking({ kind: "markRun", state: "success" }) },
    { name: "Mark the run as failed", hint: "Shift F", act: () => setAsking({ kind: "markRun", state: "failed" }) },
  ];
  const range = search.from !== undefined && search.to !== undefined && search.to > search.from ? { from: search.from, to: search.to } : undefined;
  const close = () => setAsking(undefined);
  return (
    <>
      <div className="head">
        <div className="title">
          <h1><Mark state={run.data.state} size={22} /> <span className="seen-by-ear">{lookOf(run.data.state).word}: </span>{runId}</h1>
          <p className="quiet">{[run.data.run_type, run.data.triggering_user_name && `by ${run.data.triggering_user_name}`, run.data.reason].filter(Boolean).join(" · ")}</p>
          <Note note={run.data.note} url={path`/api/v2/dags/${dagId}/dagRuns/${runId}`} stale={["run", dagId, runId]} />
        </div>
        <dl className="facts">
          <div><dt>State</dt><dd>{lookOf(run.data.state).word}</dd></div>
          <div><dt>Started</dt><dd>{run.data.start_date ? <Time at={run.data.start_date} /> : "not yet"}</dd></div>
          <div><dt>Took</dt><dd><Took start={run.data.start_date} seconds={run.data.duration} live={live} /></dd></div>
        </dl>
        <div className="actions">
          {live && <button type="button" onClick={() => setAsking({ kind: "markRun", state: "failed" })}>■ Stop</button>}
          <SplitButton name={failed ? "↻ Retry failed" : "↻ Run again"} act={() => clear(failed ? retry : whole)} items={items} />
        </div>
      </div>
      <Conf conf={run.data.conf as Record<string, unknown> | null} />
      <div className="row tools">
        <RunViews />
        <input type="search" data-search className="search" aria-label="Show only tasks with this in their name" placeholder="Tasks  ( / )" value={search.q ?? ""} onChange={(event) => void navigate({ search: { ...search, q: event.target.value || undefined }, replace: true })} />
        <div className="chips" role="group" aria-label="Which states">
          {counts.map(([state, count]) => (
            <button key={state} type="button" aria-pressed={search.state === state} onClick={() => void navigate({ search: { ...search, state: search.state === state ? undefined : state } })}><Mark state={state} size={14} />{lookOf(state).word} <b>{count.toLocaleString("en")}</b></button>
          ))}
        </div>
        <label className="inline">Order <select value={search.sort ?? ""} onChange={(event) => void navigate({ search: { ...search, sort: (event.target.value || undefined) as typeof search.sort }, replace: true })}><option value="">of the file</option><option value="start">first begun</option><option value="took">took longest</option></select></label>
        {several.length > 0 && <span className="selection" role="status"><b>{several.length.toLocaleString("en")} selected</b> <button type="button" onClick={() => mine(false)}>↻ Run again</button> <button type="button" className="link" onClick={() => pick({ keys: new Set() })}>Select none</button></span>}
      </div>
      {error && !data ? <Failure error={error} retry={() => void refetch()} /> : !data ? <Skeleton /> : (
        <div className="beside">
          {search.view === "graph" ? <RunGraph bars={all} version={run.data.dag_versions.at(-1)?.version_number} /> : bars.length === 0 ? <Empty title={all.length ? "No task matches" : "This run has no tasks"}>{all.length > 0 && <p><button type="button" onClick={() => void navigate({ search: {} })}>Show all</button></p>}</Empty>
            : <Gantt
                bars={bars} start={run.data.start_date} live={live} chosen={chosen} selected={selected} pick={pick} range={range}
                zoom={(next) => void navigate({ search: { ...search, from: next?.from, to: next?.to }, replace: true })}
              />}
          {chosen && <Panel dag={dagId} run={runId} bar={chosen} />}
        </div>
      )}
      {asking?.kind === "clear" && <ClearDialog dag={dagId} run={runId} clearing={asking.clearing} close={close} />}
      {asking?.kind === "rerun" && <RerunDialog dag={dagId} run={runId} conf={run.data.conf as Record<string, unknown> | null} bars={all} chosen={acted} close={close} />}
      {asking?.kind === "mark" && <MarkDialog dag={dagId} run={runId} tasks={asking.tasks} state={asking.state} close={close} />}
      {asking?.kind === "markRun" && <MarkRunDialog dag={dagId} run={runId} bars={all} state={asking.state} close={close} />}
    </>
  );
}

function Conf({ conf }: { conf: Record<string, unknown> | null }) {
  const entries = Object.entries(conf ?? {});
  if (entries.length === 0) return null;
  return <p className="conf">{entries.map(([name, value]) => <span key={name}><span className="quiet">{name}</span> <code>{typeof value === "string" ? value : JSON.stringify(value)}</code></span>)}</p>;
}

function Panel({ dag, run, bar }: { dag: string; run: string; bar: Bar }) {
  const { data } = useQuery(queries.why(dag, run, bar.task, bar.map));
  const params = { dagId: dag, runId: run, taskId: bar.task };
  const map = bar.map >= 0 ? bar.map : undefined;
  const newest = data?.attempts.at(-1)?.try_number;
  return (
    <section className="panel" aria-label={`Task ${nameOf(bar)}`}>
      <header><h2>{nameOf(bar)}</h2><State state={bar.state} /><Link to="/dags/$dagId/runs/$runId/tasks/$taskId" params={params} search={{ map }} className="button">Open</Link></header>
      {data && <p className={isFailure(bar.state) ? "summary bad" : "summary"}>{data.summary}</p>}
      {data && data.waiting.length > 0 && <ul className="reasons">{data.waiting.map((one, at) => <li key={at}>{one.detail}{one.remedy && <> → <code>{one.remedy}</code></>}</li>)}</ul>}
      {newest ? <LogTail key={`${bar.key} ${newest}`} dag={dag} run={run} task={bar.task} map={bar.map} number={newest} /> : data && <p className="quiet">It has no log: no attempt was made.</p>}
    </section>
  );
}
