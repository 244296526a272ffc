// Who takes work, where work waits, how that went lately. What people on Airflow open Flower and Grafana for.
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, type ReactNode, useState } from "react";
import { type Schemas, path, send } from "../api/client";
import { queries, queryClient, useMay } from "../api/queries";
import { Empty, Failure, Field, Mark, Skeleton, Time, Took } from "../components/bits";
import { Dialog } from "../components/dialog";
import { complain, say } from "../components/toast";
import { span } from "../lib/time";
import { Plot, type Series } from "./plots";
import { PoolBar } from "./pool-bar";
import "./fleet.css";

const ROUTE = "/fleet";
type Worker = Schemas["Worker"];

const WORKER: Record<string, { state: string; word: string }> = {
  running: { state: "success", word: "takes work" }, draining: { state: "up_for_retry", word: "drains" }, drained: { state: "skipped", word: "drained" }, silent: { state: "failed", word: "silent" }, stopped: { state: "removed", word: "stopped" },
};

function Is({ state, word }: { state: string; word: string }) {
  return <span className="state"><Mark state={state} />{word}</span>;
}

export function FleetPage() {
  const { range = "1h", worker } = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const workers = useQuery(queries.workers());
  const queues = useQuery(queries.queues());
  const found = workers.data?.workers ?? [];
  const alive = found.filter((one) => ["running", "draining", "drained"].includes(one.state));
  const taking = found.filter((one) => one.state === "running");
  const slots = taking.reduce((sum, one) => sum + one.concurrency, 0);
  const running = alive.reduce((sum, one) => sum + one.running, 0);
  const waiting = (queues.data?.queues ?? []).reduce((sum, one) => sum + one.queued, 0);
  const watched = worker && found.find((one) => one.id === worker);
  return (
    <>
      <div className="head">
        <h1>Fleet</h1>
        <dl className="facts">
          <div><dt>Workers</dt><dd>{workers.data ? `${taking.length} take work${alive.length > taking.length ? `, ${alive.length - taking.length} drain` : ""}` : "…"}</dd></div>
          <div><dt>In use</dt><dd>{workers.data ? `${running} of ${slots} slots` : "…"}</dd></div>
          <div><dt>Waiting</dt><dd>{queues.data ? waiting : "…"}</dd></div>
        </dl>
        <Launches />
      </div>
      <History range={range} choose={(next) => void navigate({ search: (old) => ({ ...old, range: next === "1h" ? undefined : next }) })} />
      <Workers query={workers} show={(id) => void navigate({ search: (old) => ({ ...old, worker: id }) })} />
      <Queues query={queues} />
      <Pools />
      <Schedulers />
      {worker && <Watched id={worker} worker={watched || undefined} close={() => void navigate({ search: (old) => ({ ...old, worker: undefined }), replace: true })} />}
    </>
  );
}

/** The switch that stops all launches. */
function Launches() {
  const may = useMay();
  const { data } = useQuery({ ...queries.maintenance(), enabled: may("installation.read") });
  const [open, setOpen] = useState(false);
  const end = useMutation({ mutationFn: () => send("DELETE", "/ui/maintenance"), onError: complain, onSuccess: () => say("Launches go on."), onSettled: () => queryClient.invalidateQueries({ queryKey: ["maintenance"] }) });
  if (!data) return null;
  return (
    <>
      {data.maintenance && <p className="notice"><Mark state="failed" /><span><strong>Maintenance</strong>: nothing is launched since <Time at={data.since} />, by {data.by}{data.reason && `: ${data.reason}`}. What runs goes on.</span></p>}
      {may("installation.edit") && <div className="actions">{data.maintenance ? <button type="button" disabled={end.isPending} onClick={() => end.mutate()}>End the maintenance</button> : <button type="button" onClick={() => setOpen(true)}>Stop launches…</button>}</div>}
      {open && <Reason title="Stop launches" about="Nothing new is launched until somebody ends this. What runs goes on, and runs go on being made." act="Stop launches" method="PUT" url="/ui/maintenance" keys={["maintenance"]} done="Nothing is launched any more." close={() => setOpen(false)} />}
    </>
  );
}

function Reason({ title, about, act, method, url, keys, done, close }: { title: string; about: string; act: string; method: "PUT"; url: string; keys: string[]; done: string; close: () => void }) {
  const [reason, setReason] = useState("");
  const doing = useMutation({ mutationFn: () => send(method, url, reason ? { reason } : {}), onSuccess: () => { close(); say(done); }, onSettled: () => queryClient.invalidateQueries({ queryKey: keys }) });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    doing.mutate();
  };
  return (
    <Dialog open close={close} title={title}>
      <form className="form" onSubmit={submit}>
        <p>{about}</p>
        <Field label="Why" hint="Others see it here and in the audit log">{(props) => <input {...props} value={reason} maxLength={200} onChange={(event) => setReason(event.target.value)} />}</Field>
        {doing.error && <p className="wrong" role="alert">{doing.error.message}</p>}
        <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={doing.isPending}>{act}</button></footer>
      </form>
    </Dialog>
  );
}

const RANGES = [["1h", "1 hour"], ["24h", "24 hours"], ["7d", "7 days"]] as const;
const DASHES = ["", "5 3", "1.5 3", "9 3 2 3", "12 4"];
const LOOKS = ["k-running", "k-success", "k-retry", "k-blocked", "k-off"];

function History({ range, choose }: { range: string; choose: (range: (typeof RANGES)[number][0]) => void }) {
  const { data, error, refetch } = useQuery(queries.fleetHistory(range));
  const minutes = (data?.step_seconds ?? 60) / 60;
  const points = data?.points ?? [];
  const times = points.map((one) => one.at);
  const rate = (value: number | null) => (value === null ? null : value / minutes);
  const names = [...new Set(points.flatMap((one) => Object.keys(one.queued)))].sort();
  // The fullest ones by themselves, and the others as one.
  const fullest = names.map((name) => [name, points.reduce((sum, one) => sum + (one.queued[name] ?? 0), 0)] as const).sort((a, b) => b[1] - a[1]).map(([name]) => name);
  const shown = fullest.slice(0, names.length > 4 ? 3 : 4);
  const depth = (point: (typeof points)[number], of: string[]) => (point.running === null ? null : of.reduce((sum, name) => sum + (point.queued[name] ?? 0), 0));
  const queues: Series[] = [...shown.map((name) => [name, [name]] as const), ...(fullest.length > shown.length ? [["all others", fullest.slice(shown.length)] as const] : [])]
    .map(([name, of], n) => ({ name, look: LOOKS[n] ?? "k-off", dash: DASHES[n] ?? "", values: points.map((point) => depth(point, [...of])) }));
  const number = (value: number) => (value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toFixed(1));
  return (
    <section aria-label="Over time" className="history">
      <div className="chips" role="group" aria-label="How far back">{RANGES.map(([name, words]) => <button key={name} type="button" aria-pressed={range === name} onClick={() => choose(name)}>{words}</button>)}</div>
      {error && !data ? <Failure error={error} retry={() => void refetch()} /> : !data ? <Skeleton rows={3} /> : (
        <div className="plots">
          <Plot title="Throughput" about="Tasks that ended, per minute" stacked times={times} format={number} series={[
            { name: "success", look: "k-success", values: points.map((one) => rate(one.success)) }, { name: "failed", look: "k-failed", values: points.map((one) => rate(one.failed)) },
            { name: "to be retried", look: "k-retry", values: points.map((one) => rate(one.retried)) }, { name: "skipped", look: "k-off", values: points.map((one) => rate(one.skipped)) },
          ]} />
          <Plot title="From queue to start" about="How long tries waited for a worker" times={times} format={(value) => (value === 0 ? "0 s" : span(value))} series={[
            { name: "p50", look: "k-running", values: points.map((one) => one.wait_p50) }, { name: "p95", look: "k-blocked", dash: "5 3", values: points.map((one) => one.wait_p95) },
          ]} />
          <Plot title="Waiting" about="Tries that waited for a worker, by queue" times={times} format={number} series={queues.length ? queues : [{ name: "all queues", look: "k-running", values: points.map((one) => (one.running === null ? null : 0)) }]} />
          <Plot title="Running" about="Tries that ran, and slots of workers that take work" times={times} format={number} series={[
            { name: "running", look: "k-running", values: points.map((one) => one.running) }, { name: "slots", look: "k-off", dash: "5 3", values: points.map((one) => one.slots) },
          ]} />
        </div>
      )}
    </section>
  );
}

type Query<T> = { data: T | undefined; error: Error | null; refetch: () => unknown };
function Part<T>({ title, query, empty, rows, children }: { title: string; query: Query<T>; empty: ReactNode; rows: (data: T) => ReactNode[]; children: ReactNode }) {
  const found = query.data ? rows(query.data) : [];
  return (
    <section aria-label={title} className="part">
      <h2>{title}</h2>
      {query.error && !query.data ? <Failure error={query.error} retry={() => void query.refetch()} /> : !query.data ? <Skeleton rows={2} /> : found.length === 0 ? empty : <div className="scroll" tabIndex={0} role="region" aria-label={`${title}, a table`}><table><thead>{children}</thead><tbody>{found}</tbody></table></div>}
    </section>
  );
}

function Workers({ query, show }: { query: Query<Schemas["Workers"]>; show: (id: string) => void }) {
  const may = useMay();
  const [draining, setDraining] = useState<Worker>();
  const undrain = useMutation({ mutationFn: (worker: Worker) => send("DELETE", path`/ui/workers/${worker.id}/drain`), onError: complain, onSuccess: (_, worker) => say(`${worker.hostname} takes work again.`), onSettled: () => queryClient.invalidateQueries({ queryKey: ["fleet"] }) });
  const mayDrain = may("installation.edit");
  return (
    <>
      <Part title="Workers" query={query} empty={<Empty title="No worker was ever here"><p>Tasks wait until there is one: <code>updraft worker</code> on any host that reaches the database, or more replicas in the chart.</p></Empty>} rows={(data) => data.workers.map((one) => (
        <tr key={one.id} className={["silent", "stopped"].includes(one.state) ? "gone" : undefined}>
          <td className="host"><b>{one.hostname}</b><div className="quiet">pid {one.pid}, {one.runner}</div></td>
          <td><Is {...(WORKER[one.state] ?? { state: "none", word: one.state })} />{one.draining_since && <div className="quiet">by {one.drained_by}{one.drain_reason && `: ${one.drain_reason}`}</div>}</td>
          <td className="bar-cell"><Use used={one.running} of={one.concurrency} /></td>
          <td>{one.queues.map((queue) => <span className="tag" key={queue}>{queue}</span>)}</td>
          <td><Time at={one.latest_heartbeat} /></td><td><Time at={one.start_date} /></td><td>{one.version ?? <span className="quiet">unknown</span>}</td>
          <td className="right"><button type="button" aria-label={`What ${one.hostname} runs`} onClick={() => show(one.id)}>Runs…</button>{" "}
            {mayDrain && (one.draining_since ? <button type="button" aria-label={`Undrain ${one.hostname}`} onClick={() => undrain.mutate(one)}>Undrain</button> : one.state === "running" && <button type="button" aria-label={`Drain ${one.hostname}`} onClick={() => setDraining(one)}>Drain…</button>)}</td>
        </tr>
      ))}><tr><th scope="col">Worker</th><th scope="col">State</th><th scope="col">Slots in use</th><th scope="col">Queues</th><th scope="col">Last heard of</th><th scope="col">Since</th><th scope="col">Version</th><th scope="col"><span className="seen-by-ear">Actions</span></th></tr></Part>
      {draining && <Reason title={`Drain ${draining.hostname}`} about="It takes nothing new; what it watches goes on to its end." act="Drain" method="PUT" url={path`/ui/workers/${draining.id}/drain`} keys={["fleet"]} done={`${draining.hostname} takes nothing new.`} close={() => setDraining(undefined)} />}
    </>
  );
}

function Use({ used, of }: { used: number; of: number }) {
  return <><span className="pool-bar" role="img" aria-label={`${used} of ${of} in use`}><svg width="100%" height="12" aria-hidden="true" className="k-running"><rect width={`${Math.min(100, (used / Math.max(1, of)) * 100)}%`} height="12" /></svg></span><span className="quiet">{used} of {of}</span></>;
}

/** What a worker watches. */
function Watched({ id, worker, close }: { id: string; worker: Worker | undefined; close: () => void }) {
  const { data, error, refetch } = useQuery(queries.workerAttempts(id));
  return (
    <Dialog open wide close={close} title={worker ? `What ${worker.hostname} runs` : "What this worker runs"}>
      {error && !data ? <Failure error={error} retry={() => void refetch()} /> : !data ? <Skeleton rows={3} /> : data.attempts.length === 0 ? <p>It runs nothing now.</p> : (
        <>
          <div className="scroll" tabIndex={0} role="region" aria-label="Attempts"><table>
            <thead><tr><th scope="col">Task</th><th scope="col">Run</th><th scope="col">Queue, pool</th><th scope="col" className="num">For</th></tr></thead>
            <tbody>{data.attempts.map((one) => (
              <tr key={`${one.dag_id} ${one.dag_run_id} ${one.task_id} ${one.map_index}`}>
                <td><Link to="/dags/$dagId/runs/$runId/tasks/$taskId" params={{ dagId: one.dag_id, runId: one.dag_run_id, taskId: one.task_id }} search={one.map_index >= 0 ? { map: one.map_index } : {}}>{one.task_id}{one.map_index >= 0 && `[${one.map_index}]`}</Link>{one.detail && <div className="wrong">{one.detail}</div>}</td>
                <td>{one.dag_id}<div className="quiet">{one.dag_run_id}</div></td><td>{one.queue}, {one.pool}</td><td className="num"><Took start={one.start_date} live /></td>
              </tr>
            ))}</tbody>
          </table></div>
          {data.total_entries > data.attempts.length && <p className="quiet">and {data.total_entries - data.attempts.length} more</p>}
        </>
      )}
      <footer><button type="button" onClick={close}>Close</button></footer>
    </Dialog>
  );
}

function Queues({ query }: { query: Query<Schemas["Queues"]> }) {
  return (
    <>
      <Part title="Queues" query={query} empty={<Empty title="No queue"><p>A queue is here while a worker takes from it or something waits in it.</p></Empty>} rows={(data) => data.queues.map((one) => (
        <tr key={one.queue}>
          <td><b>{one.queue}</b></td><td className="num">{one.queued}</td><td className="num">{one.oldest_seconds === null ? "" : span(one.oldest_seconds)}</td><td className="num">{one.running}</td><td className="num">{one.begun_per_minute}</td><td className="num">{one.ended_per_minute}</td>
          <td>{one.workers === 0 ? <span className="wrong">✗ nobody takes from it{one.draining > 0 && `: ${one.draining} drain`}</span> : `${one.workers} with ${one.slots} slots${one.draining ? `, ${one.draining} drain` : ""}`}</td>
          {data.queues.some((each) => each.broker_messages !== null) && <td className="num">{one.broker_messages}</td>}
        </tr>
      ))}><tr><th scope="col">Queue</th><th scope="col" className="num">Waiting</th><th scope="col" className="num">The oldest</th><th scope="col" className="num">Running</th><th scope="col" className="num">Begun, last minute</th><th scope="col" className="num">Ended, last minute</th><th scope="col">Workers</th>{query.data?.queues.some((each) => each.broker_messages !== null) && <th scope="col" className="num">In RabbitMQ</th>}</tr></Part>
      {query.data?.broker_error && <p className="notice"><Mark state="failed" /><span>RabbitMQ's own counts are missing: {query.data.broker_error}</span></p>}
    </>
  );
}

function Pools() {
  const query = useQuery(queries.pools());
  return <Part title="Pools" query={query} empty={<Empty title="No pool" />} rows={(data) => data.pools.map((pool) => (
    <tr key={pool.name}><td><Link to="/pools" search={{ q: pool.name }}>{pool.name}</Link></td><td className="bar-cell wide"><PoolBar pool={pool} /></td><td className="num">{pool.running_slots}</td><td className="num">{pool.queued_slots}</td><td className="num">{pool.scheduled_slots}</td><td className="num">{pool.open_slots < 0 ? "no limit" : pool.open_slots}</td></tr>
  ))}><tr><th scope="col">Pool</th><th scope="col">Slots</th><th scope="col" className="num">Running</th><th scope="col" className="num">Queued</th><th scope="col" className="num">Waiting for a slot</th><th scope="col" className="num">Open</th></tr></Part>;
}

function Schedulers() {
  const query = useQuery(queries.schedulers());
  return <Part title="Schedulers and DAG processors" query={query} empty={<Empty title="No scheduler was ever here"><p>Nothing starts without one: <code>updraft scheduler</code></p></Empty>} rows={(data) => data.schedulers.map((one) => (
    <tr key={one.id}>
      <td><b>{one.hostname}</b><div className="quiet">pid {one.pid}</div></td><td><Is {...(one.state === "running" ? { state: "success", word: "alive" } : { state: "failed", word: "silent" })} /></td><td><Time at={one.latest_heartbeat} /></td><td><Time at={one.start_date} /></td><td>{one.version ?? <span className="quiet">unknown</span>}</td>
      <td>{one.dag_processor_error ? <span className="wrong">✗ {one.dag_processor_error}</span> : <>reads {one.sources.join(", ") || "nothing yet"}</>}{one.dag_processor_starts !== null && one.dag_processor_starts > 1 && <div className="quiet">started {one.dag_processor_starts} times</div>}{one.files_set_aside.length > 0 && <div className="wrong">✗ not read any more: {one.files_set_aside.join(", ")}</div>}</td>
    </tr>
  ))}><tr><th scope="col">Scheduler</th><th scope="col">State</th><th scope="col">Last heard of</th><th scope="col">Since</th><th scope="col">Version</th><th scope="col">Its DAG processor</th></tr></Part>;
}
