// Home: every DAG in a row, the failing ones first.
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { Suspense, lazy, useDeferredValue, useLayoutEffect, useMemo, useRef, useState } from "react";
import { type Schemas, path, send } from "../api/client";
import { queries, queryClient } from "../api/queries";
import { Empty, Failure, Mark, Skeleton } from "../components/bits";
import { Parts } from "../components/parts";
import { complain, say } from "../components/toast";
import { useZone } from "../lib/preferences";
import { lookOf } from "../lib/states";
import { absolute, relative, span, useNow } from "../lib/time";
import { TriggerDialog } from "./trigger";

type Dag = Schemas["OverviewDag"];

// For the first visits alone.
const NoDags = lazy(() => import("./welcome").then((found) => ({ default: found.NoDags })));
const FirstRun = lazy(() => import("./welcome").then((found) => ({ default: found.FirstRun })));

const settled = (dag: Dag) => dag.runs.find((run) => run.state === "success" || run.state === "failed");
const isFailing = (dag: Dag) => settled(dag)?.state === "failed";
const isRunning = (dag: Dag) => dag.runs.some((run) => run.state === "running" || run.state === "queued");

function order(sort: string | undefined) {
  return (a: Dag, b: Dag): number => {
    if (sort === "next") return (a.next_run_after ?? "9").localeCompare(b.next_run_after ?? "9") || a.dag_id.localeCompare(b.dag_id);
    if (sort === "last") return (b.runs[0]?.run_after ?? "").localeCompare(a.runs[0]?.run_after ?? "") || a.dag_id.localeCompare(b.dag_id);
    if (sort === "name") return a.dag_id.localeCompare(b.dag_id);
    return Number(isFailing(b)) - Number(isFailing(a)) || Number(a.is_paused) - Number(b.is_paused) || a.dag_id.localeCompare(b.dag_id);
  };
}

export function usePause() {
  return useMutation({
    mutationFn: ({ dag, paused }: { dag: string; paused: boolean }) => send("PATCH", path`/api/v2/dags/${dag}`, { is_paused: paused }),
    onMutate: ({ dag, paused }) => {
      queryClient.setQueryData(queries.overview().queryKey, (old) => old && { ...old, dags: old.dags.map((one) => (one.dag_id === dag ? { ...one, is_paused: paused } : one)) });
      queryClient.setQueryData(queries.dag(dag).queryKey, (old) => old && { ...old, is_paused: paused });
    },
    onError: complain,
    onSuccess: (_, { dag, paused }) => say(`${dag} is ${paused ? "paused: no new runs begin" : "on"}`),
    onSettled: (_, __, { dag }) => Promise.all([queryClient.invalidateQueries({ queryKey: ["overview"] }), queryClient.invalidateQueries({ queryKey: ["dag", dag], exact: true })]),
  });
}

export function Pause({ dag, paused }: { dag: string; paused: boolean }) {
  const pause = usePause();
  return <button type="button" role="switch" className="switch" aria-checked={!paused} aria-label={`Schedule of ${dag}`} onClick={() => pause.mutate({ dag, paused: !paused })}><span className="track" aria-hidden="true" /><span>{paused ? "paused" : "on"}</span></button>;
}

export function DagsPage() {
  const search = useSearch({ strict: false }) as { q?: string; show?: string; tag?: string; owner?: string; sort?: string };
  const navigate = useNavigate();
  const { data, error, refetch } = useQuery(queries.overview());
  const [triggered, setTriggered] = useState<string>();
  const query = useDeferredValue(search.q ?? "");
  const change = (next: object) => void navigate({ to: ".", search: (old: object) => ({ ...old, ...next }), replace: true });
  const dags = useMemo(() => {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    return (data?.dags ?? [])
      .filter((dag) => !search.tag || dag.tags.includes(search.tag))
      .filter((dag) => !search.owner || dag.owners.includes(search.owner))
      .filter((dag) => ({ failing: isFailing(dag), running: isRunning(dag), active: !dag.is_paused, paused: dag.is_paused })[search.show ?? ""] ?? true)
      .filter((dag) => {
        const text = `${dag.dag_id} ${dag.dag_display_name} ${dag.description ?? ""} ${dag.tags.join(" ")} ${dag.owners.join(" ")} ${dag.relative_fileloc}`.toLowerCase();
        return words.every((word) => text.includes(word));
      })
      .sort(order(search.sort));
  }, [data, query, search.tag, search.owner, search.show, search.sort]);
  if (error && !data) return <Failure whole error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton />;
  const count = { all: data.dags.length, failing: data.dags.filter(isFailing).length, running: data.dags.filter(isRunning).length, active: data.dags.filter((dag) => !dag.is_paused).length, paused: data.dags.filter((dag) => dag.is_paused).length };
  return (
    <>
      <div className="head">
        <h1>DAGs</h1>
        <div className="chips" role="group" aria-label="Which DAGs">
          {(["all", "failing", "running", "active", "paused"] as const).map((name) => (
            <button key={name} type="button" aria-pressed={(search.show ?? "all") === name} onClick={() => change({ show: name === "all" ? undefined : name })}>
              {name === "failing" && <Mark state="failed" size={14} />}{name === "running" && <Mark state="running" size={14} />}{name} <b>{count[name]}</b>
            </button>
          ))}
        </div>
        <input type="search" data-search className="search" aria-label="Search DAGs by name, tag, owner or file" placeholder="Search name, tag, owner  ( / )" value={search.q ?? ""} onChange={(event) => change({ q: event.target.value || undefined })} />
        <label className="inline">Order <select value={search.sort ?? ""} onChange={(event) => change({ sort: event.target.value || undefined })}><option value="">failing first</option><option value="name">name</option><option value="last">last run</option><option value="next">next run</option></select></label>
      </div>
      {(search.tag || search.owner) && (
        <p className="row">{search.tag && <button type="button" onClick={() => change({ tag: undefined })}>tag {search.tag} ×</button>}{search.owner && <button type="button" onClick={() => change({ owner: undefined })}>owner {search.owner} ×</button>}</p>
      )}
      {data.import_errors.length > 0 && (
        <section className="notice" aria-label="Files that cannot be read">
          <Mark state="failed" /><p><strong>{data.import_errors.length === 1 ? "1 file cannot be read" : `${data.import_errors.length} files cannot be read`}</strong>: {data.import_errors.slice(0, 3).map((one) => one.filename).join(", ")}. What they held before goes on. <Link to="/import-errors">What is wrong</Link></p>
        </section>
      )}
      <Unhealthy />
      {data.dags.length > 0 && data.dags.every((dag) => dag.runs.length === 0) && <Suspense fallback={null}><FirstRun dags={data.dags} /></Suspense>}
      {data.dags.length === 0 ? (
        <Suspense fallback={<Skeleton rows={4} />}><NoDags /></Suspense>
      ) : dags.length === 0 ? (
        <Empty title="No DAG matches"><p><button type="button" onClick={() => void navigate({ to: ".", search: {} })}>Show all {data.dags.length}</button></p></Empty>
      ) : (
        <Rows dags={dags} trigger={setTriggered} pick={change} />
      )}
      {triggered && <TriggerDialog dag={triggered} close={() => setTriggered(undefined)} />}
    </>
  );
}

/** What of the installation is not well, and what to do: where one looks first. */
function Unhealthy() {
  const { data } = useQuery(queries.health());
  const wrong = data?.parts.filter((part) => part.remedy && part.status === "unhealthy") ?? [];
  if (!data || (wrong.length === 0 && !data.maintenance)) return null;
  return <section className="notice" aria-label="What is not well">{wrong.length > 0 ? <Mark state="failed" /> : <Mark state="queued" />}<Parts data={{ ...data, parts: wrong }} /></section>;
}

/** Pixels of a row on a wide screen. */
const HEIGHT = 32;

function Rows({ dags, trigger, pick }: { dags: Dag[]; trigger: (dag: string) => void; pick: (next: object) => void }) {
  const list = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => setTop(list.current?.offsetTop ?? 0), []);
  const rows = useWindowVirtualizer({ count: dags.length, estimateSize: () => HEIGHT, overscan: 12, scrollMargin: top, getItemKey: (at) => dags[at]?.dag_id ?? at });
  const now = useNow();
  const zone = useZone();
  return (
    <div className="dags" role="table" aria-label="DAGs" aria-rowcount={dags.length + 1}>
      <div role="row" className="dag head-row" aria-rowindex={1}>
        <span role="columnheader">DAG</span><span role="columnheader">Last runs, the newest on the right</span><span role="columnheader">Last</span><span role="columnheader">Next</span><span role="columnheader">Schedule</span><span role="columnheader">Run</span>
      </div>
      <div ref={list} role="rowgroup" className="body" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((item) => {
          const dag = dags[item.index];
          if (!dag) return null;
          const lastRun = dag.runs[0];
          return (
            <div key={item.key} role="row" aria-rowindex={item.index + 2} data-index={item.index} ref={rows.measureElement} className="dag" style={{ transform: `translateY(${item.start - top}px)` }}>
              <div role="cell" className="name">
                <Mark state={dag.runs.length ? (settled(dag)?.state ?? lastRun?.state) : "none"} />
                <div>
                  <Link to="/dags/$dagId" params={{ dagId: dag.dag_id }}>{dag.dag_display_name}</Link>
                  {dag.has_import_errors && <Link to="/import-errors" className="wrong"> ✗ its file has an error</Link>}
                  <span className="tags">{dag.tags.map((tag) => <button type="button" key={tag} className="tag" onClick={() => pick({ tag })}>{tag}</button>)}{dag.owners.map((owner) => <button type="button" key={owner} className="tag owner" aria-label={`owner ${owner}`} onClick={() => pick({ owner })}>{owner}</button>)}</span>
                  <span className="quiet cut about" title={dag.description || dag.relative_fileloc}>{dag.description || dag.relative_fileloc}</span>
                </div>
              </div>
              <div role="cell"><Strip dag={dag} zone={zone} /></div>
              <div role="cell" className="last">{lastRun ? <><span>{relative(lastRun.start_date ?? lastRun.run_after, now)}</span><span className="quiet">{lastRun.state === "running" && lastRun.start_date ? span((now - Date.parse(lastRun.start_date)) / 1000) : span(lastRun.duration)}</span></> : <span className="quiet">never ran</span>}</div>
              <div role="cell" className="next">{dag.is_paused ? <span className="quiet">paused</span> : dag.next_run_after ? <time dateTime={dag.next_run_after} title={absolute(dag.next_run_after, zone)}>{relative(dag.next_run_after, now)}</time> : <span className="quiet">by hand</span>}</div>
              <div role="cell" className="schedule"><Pause dag={dag.dag_id} paused={dag.is_paused} /><span className="quiet cut">{dag.schedule && dag.schedule !== "None" ? dag.schedule : "by hand"}</span></div>
              <div role="cell"><button type="button" aria-label={`Trigger ${dag.dag_id}`} onClick={() => trigger(dag.dag_id)}>▶</button></div>
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** The last runs: colour and shape say how each ended, its height how long it took beside the others. */
function Strip({ dag, zone }: { dag: Dag; zone: string }) {
  const longest = Math.max(1, ...dag.runs.map((run) => run.duration ?? 0));
  return (
    <div className="strip">
      {[...dag.runs].reverse().map((run) => {
        const look = lookOf(run.state);
        const words = `${look.word}, ${run.run_type}, ${absolute(run.run_after, zone)}${run.duration ? `, took ${span(run.duration)}` : ""}`;
        return (
          <Link key={run.dag_run_id} to="/dags/$dagId/runs/$runId" params={{ dagId: dag.dag_id, runId: run.dag_run_id }} search={{}} className={`k-${look.kind}`} title={words} aria-label={words}>
            <span style={{ height: `${run.duration ? Math.max(20, Math.sqrt(run.duration / longest) * 100) : 20}%` }} /><Mark state={run.state} size={12} />
          </Link>
        );
      })}
    </div>
  );
}
