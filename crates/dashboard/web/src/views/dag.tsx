// A DAG: its grid, graph, runs, tasks, calendar, source, audit log and details.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { queries } from "../api/queries";
import { Empty, Failure, Skeleton, State, Tabs, Time, Took } from "../components/bits";
import { useKeys } from "../lib/keys";
import { DAG_TABS } from "../lib/tabs";
import { useZone } from "../lib/preferences";
import { absolute, relative, useNow } from "../lib/time";
import { AuditTab } from "./dag-audit";
import { CalendarTab } from "./dag-calendar";
import { CodeTab } from "./dag-code";
import { GraphTab } from "./dag-graph";
import { TasksTab } from "./dag-tasks";
import { Grid } from "./grid";
import { Pause } from "./dags";
import "./dag.css";
import { TriggerDialog } from "./trigger";

const ROUTE = "/dags/$dagId";

export function DagPage() {
  const { dagId } = useParams({ from: ROUTE });
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const { data, error, refetch } = useQuery(queries.dag(dagId));
  const tab = search.tab ?? "grid";
  useKeys({ g: () => void navigate({ search: { ...search, tab: tab === "grid" ? "graph" : undefined } }) });
  if (error && !data) return <Failure whole error={error} retry={() => void refetch()} />;
  return (
    <>
      <div className="head">
        <div className="title"><h1>{data?.dag_display_name ?? dagId}</h1>{data && <p className="quiet">{[data.description, data.owners.join(", ")].filter(Boolean).join(" · ")}</p>}</div>
        {data && <Next paused={data.is_paused} at={data.next_dagrun_run_after} schedule={data.timetable_description} />}
        {data && <div className="actions"><Link to="/backfills" search={{ dag: dagId }} className="button">Backfills</Link><Pause dag={dagId} paused={data.is_paused} /><button type="button" className="primary" onClick={() => void navigate({ search: { ...search, trigger: 1 } })}>▶ Trigger</button></div>}
      </div>
      {data?.is_stale && <p className="notice">Its file no longer has this DAG: nothing of it is started any more. Its runs stay until they are deleted.</p>}
      {data?.has_import_errors && <p className="notice">Its file has an error: its last good version goes on. <Link to="/import-errors">What is wrong</Link></p>}
      <Tabs label="Parts of the DAG" tabs={DAG_TABS.map((name) => ({ name: name[0]?.toUpperCase() + name.slice(1), current: tab === name, link: { to: ROUTE, params: { dagId }, search: { tab: name === "grid" ? undefined : name } } }))} />
      {tab === "grid" && <GridTab dag={dagId} />}
      {tab === "runs" && <RunsTab dag={dagId} />}
      {tab === "graph" && <GraphTab dag={dagId} />}
      {tab === "tasks" && <TasksTab dag={dagId} />}
      {tab === "calendar" && <CalendarTab dag={dagId} />}
      {tab === "code" && <CodeTab dag={dagId} />}
      {tab === "audit" && <AuditTab dag={dagId} />}
      {tab === "details" && <DetailsTab dag={dagId} />}
      {search.trigger && <TriggerDialog dag={dagId} close={() => void navigate({ search: { ...search, trigger: undefined }, replace: true })} />}
    </>
  );
}

function Next({ paused, at, schedule }: { paused: boolean; at: string | null; schedule: string | null }) {
  const now = useNow();
  const zone = useZone();
  return <dl className="facts"><div><dt>Schedule</dt><dd>{schedule?.startsWith("Never") ? "by hand" : schedule}</dd></div><div><dt>Next run</dt><dd>{paused ? "paused" : at ? <>{relative(at, now)} <span className="quiet">{absolute(at, zone)}</span></> : "when it is triggered"}</dd></div></dl>;
}

const COUNTS = [25, 50, 100, 200];

function GridTab({ dag }: { dag: string }) {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const count = search.runs ?? 50;
  const { data, error, refetch } = useQuery(queries.grid(dag, count));
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton rows={10} />;
  if (data.runs.length === 0) return <Empty title="It has not run yet"><p><button type="button" className="primary" onClick={() => void navigate({ search: { ...search, trigger: 1 } })}>▶ Trigger the first run</button></p><p className="quiet">or <code>updraft dags trigger {dag} --wait</code></p></Empty>;
  return (
    <>
      <div className="row tools">
        <input type="search" data-search className="search" aria-label="Show only tasks with this in their name" placeholder="Tasks  ( / )" value={search.q ?? ""} onChange={(event) => void navigate({ search: { ...search, q: event.target.value || undefined }, replace: true })} />
        <label className="inline">Runs <select value={count} onChange={(event) => void navigate({ search: { ...search, runs: Number(event.target.value) } })}>{[...new Set([...COUNTS, count])].sort((a, b) => a - b).map((n) => <option key={n}>{n}</option>)}</select></label>
        {data.has_more && <span className="quiet">Older runs: choose more here, or look at <Link to={ROUTE} params={{ dagId: dag }} search={{ tab: "runs" }}>Runs</Link>.</span>}
      </div>
      <Grid grid={data} filter={search.q} folding={search} refold={({ folded, open }) => void navigate({ search: { ...search, folded, open } })} />
    </>
  );
}

function RunsTab({ dag }: { dag: string }) {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const count = search.runs ?? 50;
  const { data, error, refetch } = useQuery(queries.runs(dag, count, search.state, search.from, search.to));
  const zone = useZone();
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton />;
  return (
    <>
      <div className="row tools">
        <label className="inline">State <select value={search.state ?? ""} onChange={(event) => void navigate({ search: { ...search, state: (event.target.value || undefined) as typeof search.state } })}><option value="">all</option>{["failed", "running", "queued", "success"].map((one) => <option key={one}>{one}</option>)}</select></label>
        {(search.from || search.to) && <span className="filter">due {search.from && `from ${absolute(search.from, zone)}`} {search.to && `until ${absolute(search.to, zone)}`}<Link to={ROUTE} params={{ dagId: dag }} search={{ ...search, from: undefined, to: undefined }} className="button" aria-label="Runs of all times">×</Link></span>}
        <span className="quiet">{data.dag_runs.length} of {data.total_entries}</span>
      </div>
      {data.dag_runs.length === 0 ? <Empty title={search.state ? `No run is ${search.state}` : search.from || search.to ? "No run was due then" : "It has not run yet"} /> : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Runs"><table>
          <thead><tr><th scope="col">Run</th><th scope="col">State</th><th scope="col">Type</th><th scope="col">Started</th><th scope="col" className="num">Took</th><th scope="col">By</th></tr></thead>
          <tbody>{data.dag_runs.map((run) => (
            <tr key={run.dag_run_id}>
              <td><Link to="/dags/$dagId/runs/$runId" params={{ dagId: dag, runId: run.dag_run_id }} search={{}}>{run.dag_run_id}</Link>{run.note && <div className="quiet">{run.note}</div>}</td>
              <td><State state={run.state} /></td><td>{run.run_type}</td><td><Time at={run.start_date ?? run.run_after} /></td>
              <td className="num"><Took start={run.start_date} seconds={run.duration} live={run.state === "running"} /></td><td>{run.triggering_user_name ?? run.triggered_by}</td>
            </tr>
          ))}</tbody>
        </table></div>
      )}
      {data.total_entries > data.dag_runs.length && count < 1000 && <p><button type="button" onClick={() => void navigate({ search: { ...search, runs: Math.min(1000, count * 2) } })}>Show more</button></p>}
    </>
  );
}

function DetailsTab({ dag }: { dag: string }) {
  const { data } = useQuery(queries.dag(dag));
  if (!data) return <Skeleton />;
  const rows: [string, unknown][] = [
    ["File", data.fileloc], ["Bundle", data.bundle_name], ["Commit", data.bundle_version], ["Version", data.latest_dag_version?.version_number], ["Last read", data.last_parsed_time && <Time at={data.last_parsed_time} />],
    ["Schedule", `${data.timetable_summary ?? "none"}${data.timezone ? `, ${data.timezone}` : ""}`], ["Catches up", data.catchup ? "yes" : "no"], ["Start date", data.start_date && <Time at={data.start_date} />], ["End date", data.end_date && <Time at={data.end_date} />],
    ["Most active runs", data.max_active_runs], ["Most active tasks", data.max_active_tasks], ["Time limit of a run", data.dag_run_timeout], ["Tags", data.tags.map((tag) => tag.name).join(", ")], ["Owners", data.owners.join(", ")],
  ];
  return (
    <>
      {data.doc_md && <section className="card"><h2>Documentation</h2><pre className="doc">{data.doc_md}</pre></section>}
      <dl className="details">{rows.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value as string}</dd></div>)}</dl>
    </>
  );
}
