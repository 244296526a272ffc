// Runs for a stretch of the past: what there is, how it goes on, and a new one with a look at what it would make.
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, useDeferredValue, useMemo, useState } from "react";
import { type Schemas, path, send } from "../api/client";
import { queries, queryClient, useMay } from "../api/queries";
import { Empty, Failure, Field, Mark, Skeleton, Time } from "../components/bits";
import { Dialog } from "../components/dialog";
import { complain, say } from "../components/toast";
import { useZone } from "../lib/preferences";
import { lookOf } from "../lib/states";
import { absolute } from "../lib/time";
import "./admin.css";

const ROUTE = "/backfills";
type Backfill = Schemas["BackfillProgress"];

export function BackfillsPage() {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const may = useMay();
  const { data, error, refetch } = useQuery(queries.backfills(search.dag));
  const [cancelled, setCancelled] = useState<Backfill>();
  const act = useMutation({
    mutationFn: ({ of, verb }: { of: Backfill; verb: "pause" | "unpause" | "cancel"; done: string }) => send("PUT", path`/api/v2/backfills/${of.id}/${verb}`),
    onError: complain,
    onSuccess: (_, { done }) => {
      setCancelled(undefined);
      say(done);
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["backfills"] }),
  });
  if (error && !data) return <Failure whole error={error} retry={() => void refetch()} />;
  const add = () => void navigate({ search: (old) => ({ ...old, new: search.dag ?? "" }) });
  return (
    <>
      <div className="head"><h1>Backfills</h1>{search.dag && <button type="button" onClick={() => void navigate({ search: {} })}>of {search.dag} ×</button>}{may("backfills.create") && <div className="actions"><button type="button" className="primary" onClick={add}>+ New backfill</button></div>}</div>
      {!data ? <Skeleton rows={4} /> : data.backfills.length === 0 ? (
        <Empty title={search.dag ? `${search.dag} has no backfills` : "No backfills yet"}><p>A backfill makes the runs of a stretch of the past, or does failed ones again, in order and under a limit of its own. On the command line:</p><pre tabIndex={0}>updraft backfill create --dag-id DAG --from-date 2026-01-01 --to-date 2026-02-01</pre></Empty>
      ) : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Backfills, a table"><table>
          <thead><tr><th scope="col">DAG</th><th scope="col">Range</th><th scope="col">State</th><th scope="col">Runs</th><th scope="col">How</th><th scope="col">Made</th><th scope="col"><span className="seen-by-ear">Actions</span></th></tr></thead>
          <tbody>{data.backfills.map((one) => {
            const over = one.completed_at !== null;
            return (
              <tr key={one.id}>
                <td><Link to="/dags/$dagId" params={{ dagId: one.dag_id }} search={{ tab: "runs" }} className="wrap">{one.dag_display_name}</Link><div className="quiet">number {one.id}</div></td>
                <td><Range from={one.from_date} to={one.to_date} /></td>
                <td><How one={one} />{over && <div className="quiet"><Time at={one.completed_at} /></div>}</td>
                <td className="bar-cell">{over && Object.keys(one.run_counts).length === 0 ? <span className="quiet">none are left: a later one did them again, or they are deleted</span> : <Progress counts={one.run_counts} />}</td>
                <td>{one.run_backwards ? "the newest first" : "the oldest first"}, {one.max_active_runs} at once<div className="quiet">{AGAIN[one.reprocess_behavior] ?? one.reprocess_behavior}{one.dag_run_conf && Object.keys(one.dag_run_conf).length > 0 && ", with its own conf"}</div></td>
                <td><Time at={one.created_at} /><div className="quiet">{one.triggering_user_name}</div></td>
                <td className="right">{!over && may("backfills.edit") && <>{one.is_paused
                  ? <button type="button" aria-label={`Go on with backfill ${one.id}`} onClick={() => act.mutate({ of: one, verb: "unpause", done: "It goes on." })}>Go on</button>
                  : <button type="button" aria-label={`Pause backfill ${one.id}`} onClick={() => act.mutate({ of: one, verb: "pause", done: "It is paused: what runs goes on, no other run begins." })}>Pause</button>} <button type="button" aria-label={`Cancel backfill ${one.id}`} onClick={() => setCancelled(one)}>Cancel…</button></>}</td>
              </tr>
            );
          })}</tbody>
        </table></div>
      )}
      {cancelled && (
        <Dialog open close={() => setCancelled(undefined)} title={`Cancel backfill ${cancelled.id} of ${cancelled.dag_id}?`}>
          <p>{cancelled.run_counts.queued ?? 0} runs that have not begun end as failed. Those that run go on to their end.</p>
          <footer><button type="button" onClick={() => setCancelled(undefined)}>Let it be</button><button type="button" className="danger" disabled={act.isPending} onClick={() => act.mutate({ of: cancelled, verb: "cancel", done: "It is cancelled." })}>Cancel the backfill</button></footer>
        </Dialog>
      )}
      {search.new !== undefined && <Wizard dag={search.new} close={() => void navigate({ search: (old) => ({ ...old, new: undefined }), replace: true })} />}
    </>
  );
}

const AGAIN: Record<string, string> = { none: "only what is missing", failed: "and what failed", completed: "and all that is over" };

function Range({ from, to }: { from: string; to: string }) {
  const zone = useZone();
  return <><time dateTime={from}>{absolute(from, zone)}</time><div>to <time dateTime={to}>{absolute(to, zone)}</time></div></>;
}

function How({ one }: { one: Backfill }) {
  const [state, word] = one.completed_at ? ((one.run_counts.failed ?? 0) > 0 ? ["failed", "over, with failures"] : ["success", "complete"]) : one.is_paused ? ["queued", "paused"] : ["running", "goes on"];
  return <span className="state"><Mark state={state} />{word}</span>;
}

const ORDER = ["success", "failed", "running", "queued"];

function Progress({ counts }: { counts: Record<string, number> }) {
  const total = Math.max(1, Object.values(counts).reduce((sum, n) => sum + n, 0));
  const done = (counts.success ?? 0) + (counts.failed ?? 0);
  let at = 0;
  return (
    <>
      <span className="progress" role="progressbar" aria-valuenow={done} aria-valuemin={0} aria-valuemax={total} aria-label="Runs that are over"><svg width="100%" height="14" aria-hidden="true">{ORDER.map((state) => {
        const part = ((counts[state] ?? 0) / total) * 100;
        const x = at;
        at += part;
        return part > 0 && <rect key={state} className={`k-${lookOf(state).kind}`} x={`${x}%`} width={`${part}%`} height="14" fillOpacity={state === "queued" ? 0.3 : 1} />;
      })}</svg></span>
      <span className="counts">{ORDER.filter((state) => (counts[state] ?? 0) > 0).map((state) => <span key={state} className="state"><Mark state={state} size={12} />{counts[state]} {lookOf(state).word}</span>)}</span>
    </>
  );
}

interface Wanted { dag: string; from: string; to: string; backwards: boolean; most: string; again: string; conf: string; latest: boolean }

const day = (before: number) => new Date(Date.now() - before * 86_400_000).toISOString().slice(0, 10);

/** What the server is asked, or what is wrong with it. */
function bodyOf(wanted: Wanted): { body?: object; wrong?: string } {
  if (!wanted.dag || !wanted.from || !wanted.to) return {};
  let conf: unknown;
  try {
    conf = wanted.conf.trim() ? JSON.parse(wanted.conf) : undefined;
  } catch (error) {
    return { wrong: `The configuration is not JSON: ${(error as Error).message}` };
  }
  if (conf !== undefined && (typeof conf !== "object" || conf === null || Array.isArray(conf))) return { wrong: "The configuration must be an object: { … }" };
  const time = (text: string) => `${text}${text.length === 10 ? "T00:00" : ""}:00Z`;
  return { body: { dag_id: wanted.dag, from_date: time(wanted.from), to_date: time(wanted.to), run_backwards: wanted.backwards, reprocess_behavior: wanted.again, run_on_latest_version: wanted.latest, max_active_runs: Number(wanted.most) || 1, ...(conf ? { dag_run_conf: conf } : {}) } };
}

function Wizard({ dag, close }: { dag: string; close: () => void }) {
  const [now, setNow] = useState<Wanted>({ dag, from: `${day(7)}T00:00`, to: `${day(0)}T00:00`, backwards: false, most: "10", again: "none", conf: "", latest: true });
  const overview = useQuery(queries.overview());
  const zone = useZone();
  const asked = useDeferredValue(now);
  const { body, wrong } = useMemo(() => bodyOf(asked), [asked]);
  const preview = useQuery({ queryKey: ["backfill-preview", body], queryFn: () => send<Schemas["DryRunBackfillCollectionResponse"]>("POST", "/api/v2/backfills/dry_run", body), enabled: Boolean(body), gcTime: 0, staleTime: 0, retry: false });
  const make = useMutation({
    mutationFn: () => send<Schemas["BackfillResponse"]>("POST", "/api/v2/backfills", body),
    onSuccess: (made) => {
      close();
      say(`Backfill ${made.id} of ${made.dag_id} begins.`);
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["backfills"] }),
  });
  const set = (name: keyof Wanted) => (event: { target: { value: string } }) => setNow({ ...now, [name]: event.target.value });
  const found = body ? preview.data?.backfills : undefined;
  const paused = overview.data?.dags.find((one) => one.dag_id === now.dag)?.is_paused;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (found?.length) make.mutate();
  };
  return (
    <Dialog open wide close={close} title="New backfill">
      <form className="form" onSubmit={submit}>
        <Field label="DAG" hint="One with a schedule that comes round">{(props) => (
          <select {...props} required value={now.dag} onChange={set("dag")}><option value="">Choose one</option>{(overview.data?.dags ?? []).map((one) => <option key={one.dag_id} value={one.dag_id}>{one.dag_id}{one.schedule && one.schedule !== "None" ? ` (${one.schedule})` : " (by hand)"}</option>)}</select>
        )}</Field>
        <div className="pair">
          <Field label="From (UTC)">{(props) => <input {...props} type="datetime-local" required max={now.to} value={now.from} onChange={set("from")} />}</Field>
          <Field label="To (UTC)">{(props) => <input {...props} type="datetime-local" required min={now.from} value={now.to} onChange={set("to")} />}</Field>
        </div>
        <fieldset><legend>Where there is a run already</legend><div className="choices">
          <label><input type="radio" name="again" checked={now.again === "none"} onChange={() => setNow({ ...now, again: "none" })} /> leave it as it is</label>
          <label><input type="radio" name="again" checked={now.again === "failed"} onChange={() => setNow({ ...now, again: "failed" })} /> do it again if it failed</label>
          <label><input type="radio" name="again" checked={now.again === "completed"} onChange={() => setNow({ ...now, again: "completed" })} /> do it again if it is over, however it ended</label>
        </div></fieldset>
        <div className="pair">
          <Field label="Runs at once" hint="Beside those that the schedule makes">{(props) => <input {...props} type="number" required min={1} max={10000} value={now.most} onChange={set("most")} />}</Field>
          <div className="choices order">
            <label><input type="checkbox" checked={now.backwards} onChange={(event) => setNow({ ...now, backwards: event.target.checked })} /> The newest first</label>
            {now.again !== "none" && <label><input type="checkbox" checked={now.latest} onChange={(event) => setNow({ ...now, latest: event.target.checked })} /> With the DAG as it is now</label>}
          </div>
        </div>
        <details><summary>Configuration of its runs</summary><Field label="As JSON" hint="Empty: the params' defaults, and what runs that are done again were given">{(props) => <textarea {...props} rows={4} spellCheck={false} value={now.conf} onChange={set("conf")} />}</Field></details>
        <section aria-label="What it would make" aria-busy={preview.isFetching}>
          <h3>What it would make</h3>
          <div role="status">{wrong ? <p className="wrong">{wrong}</p> : !body ? <p className="quiet">Choose a DAG and a range.</p> : preview.error ? <p className="wrong">{preview.error.message}</p> : !found ? <p className="quiet">It is being worked out…</p> : found.length === 0 ? <p>Nothing: every run of this range is there, or the range holds none.</p> : <p><b>{found.length === 1 ? "1 run" : `${found.length} runs`}</b>, in this order:</p>}</div>
          {found && found.length > 0 && <ol className="dates" tabIndex={0} aria-label="Dates of the runs">{found.slice(0, 500).map((one) => <li key={one.logical_date}><time dateTime={one.logical_date}>{absolute(one.logical_date, zone)}</time></li>)}{found.length > 500 && <li className="quiet">and {found.length - 500} more</li>}</ol>}
        </section>
        {paused && <p className="notice plain"><Mark state="queued" /><span>The DAG is paused: the runs are made, and begin when it is switched on.</span></p>}
        {make.error && <p className="wrong" role="alert">{make.error.message}</p>}
        <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={!found?.length || preview.isFetching || make.isPending}>{found?.length ? `Make ${found.length === 1 ? "1 run" : `${found.length} runs`}` : "Make the runs"}</button></footer>
      </form>
    </Dialog>
  );
}
