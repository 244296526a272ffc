// A task of a run: its log, why it stands where it stands, its attempts with their evidence, its pod or process, what was decided of it, what it
// left, what it was given.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { type Schemas, path } from "../api/client";
import { queries } from "../api/queries";
import { Empty, Failure, Mark, Skeleton, State, Tabs, Time, Took } from "../components/bits";
import { SplitButton } from "../components/menu";
import { idOf, nameOf } from "../lib/bars";
import { useKeys } from "../lib/keys";
import { isFailure, lookOf } from "../lib/states";
import { span } from "../lib/time";
import { ClearDialog, type Clearing } from "./clear";
import { Logs } from "./log";
import { MarkDialog, type Marked, Note } from "./mark";
import { PodTab } from "./pod";
import "./task.css";

const ROUTE = "/dags/$dagId/runs/$runId/tasks/$taskId";
const NAMES = { log: "Log", why: "Why and attempts", pod: "Pod or process", history: "History", xcom: "XCom", rendered: "Rendered", details: "Details" } as const;

export function TaskPage() {
  const { dagId, runId, taskId } = useParams({ from: ROUTE });
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const map = search.map ?? -1;
  const { data, error, refetch } = useQuery(queries.why(dagId, runId, taskId, map));
  const instance = useQuery(queries.instance(dagId, runId, taskId, map));
  const [clearing, setClearing] = useState<Clearing>();
  const [marking, setMarking] = useState<Marked>();
  const one = { task: taskId, map };
  const name = nameOf(one);
  const from: Clearing = { title: `Run again from ${name} on`, body: { only_failed: false, include_downstream: true, task_ids: [idOf(one)] } };
  // Where there is no room for all of them, the one that is shown is among those that are seen.
  const ready = data !== undefined;
  useEffect(() => {
    document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [search.tab, ready]);
  useKeys({ "shift+c": () => setClearing(from), "shift+s": () => setMarking("success"), "shift+f": () => setMarking("failed") });
  if (error && !data) return <Failure whole error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton />;
  const newest = data.attempts.at(-1)?.try_number;
  const number = search.try ?? newest;
  const tab = search.tab ?? (newest ? "log" : "why");
  const last = data.attempts.at(-1);
  const tries = data.attempts.length > 1 && (
    <div className="chips tries" role="group" aria-label="Tries">{data.attempts.map((attempt) => <button key={attempt.try_number} type="button" aria-pressed={attempt.try_number === number} onClick={() => void navigate({ search: { ...search, try: attempt.try_number } })}><Mark state={attempt.state} size={14} />try {attempt.try_number}</button>)}</div>
  );
  return (
    <>
      <div className="head">
        <div className="title">
          <h1><Mark state={data.state} size={22} /> <span className="seen-by-ear">{lookOf(data.state).word}: </span>{name}</h1>
          <p className={isFailure(data.state) ? "summary bad" : "summary"}>{data.summary}</p>
          <Note note={instance.data?.note} url={path`/api/v2/dags/${dagId}/dagRuns/${runId}/taskInstances/${taskId}` + (map >= 0 ? `/${map}` : "")} stale={["run", dagId, runId]} />
        </div>
        <dl className="facts">
          <div><dt>State</dt><dd>{lookOf(data.state).word}</dd></div>
          <div><dt>Try</dt><dd>{data.try_number} of {data.max_tries + 1}</dd></div>
          {last?.started_at && <div><dt>Took</dt><dd><Took start={last.started_at} seconds={last.ended_at ? (Date.parse(last.ended_at) - Date.parse(last.started_at)) / 1000 : null} live={!last.ended_at} /></dd></div>}
        </dl>
        <div className="actions">
          {["running", "queued", "deferred"].includes(data.state ?? "") && <button type="button" onClick={() => setMarking("failed")}>■ Stop</button>}
          <SplitButton
            name="↻ Run again from here" act={() => setClearing(from)}
            items={[
              { name: "From here on", hint: "it and all after it", act: () => setClearing(from) },
              { name: "Only this task", act: () => setClearing({ title: `Run ${name} again`, body: { only_failed: false, task_ids: [idOf(one)] } }) },
              { name: "Mark as success", hint: "Shift S", act: () => setMarking("success") },
              { name: "Mark as failed", hint: "Shift F", act: () => setMarking("failed") },
              { name: "Mark as skipped", act: () => setMarking("skipped") },
            ]}
          />
        </div>
      </div>
      <Tabs label="Parts of the task" tabs={(Object.keys(NAMES) as (keyof typeof NAMES)[]).map((part) => ({ name: NAMES[part], current: tab === part, link: { to: ROUTE, params: { dagId, runId, taskId }, search: { map: search.map, try: search.try, tab: part } } }))} />
      {tab === "log" && (number ? <Logs place={{ dag: dagId, run: runId, task: taskId, map, number }} attempts={data.attempts} /> : <Empty title="No log yet"><p>No attempt was made. {data.summary}</p></Empty>)}
      {tab === "why" && <Why why={data} />}
      {tab === "pod" && (number ? <>{tries}<PodTab dag={dagId} run={runId} task={taskId} map={map} number={number} /></> : <Empty title="Nothing was started yet"><p>{data.summary}</p></Empty>)}
      {tab === "history" && <History dag={dagId} run={runId} task={taskId} map={map} />}
      {tab === "xcom" && <XComs dag={dagId} run={runId} task={taskId} map={map} />}
      {(tab === "rendered" || tab === "details") && <Instance dag={dagId} run={runId} task={taskId} map={map} rendered={tab === "rendered"} />}
      {clearing && <ClearDialog dag={dagId} run={runId} clearing={clearing} close={() => setClearing(undefined)} />}
      {marking && <MarkDialog dag={dagId} run={runId} tasks={[one]} state={marking} close={() => setMarking(undefined)} />}
    </>
  );
}

const PAYS: Record<string, string> = { user: "the task's retries", infra: "the infrastructure's budget" };

/** What was decided, oldest first: what happened, why, who paid. */
function History({ dag, run, task, map }: Of) {
  const { data, error, refetch } = useQuery(queries.history(dag, run, task, map));
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton rows={5} />;
  if (data.entries.length === 0) return <Empty title="Nothing has happened to it yet"><p>What is decided of it appears here: when it is ready, queued, started, how it ends and who asked for what.</p></Empty>;
  let before: string | undefined;
  return (
    <ol className="timeline" aria-label="What happened to it">
      {data.entries.map((entry, at) => {
        const waited = before ? (Date.parse(entry.at) - Date.parse(before)) / 1000 : 0;
        before = entry.at;
        return (
          <li key={at}>
            <Mark state={entry.state} />
            <div>
              <p><b>{entry.state === null ? "cleared" : lookOf(entry.state).word}</b>{entry.try_number > 0 && <span className="tag">try {entry.try_number}</span>}{entry.reason && <span className="quiet"> {entry.reason.replaceAll("_", " ")}</span>}</p>
              {entry.message && <p>{entry.message}</p>}
              <p className="quiet"><Time at={entry.at} />{waited >= 0.05 && ` · ${span(waited)} later`}{entry.host && ` · on ${entry.host}`}{entry.budget && ` · paid by ${PAYS[entry.budget] ?? entry.budget}`}</p>
            </div>
          </li>
        );
      })}
    </ol>
  );
}

const shown = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

function Why({ why }: { why: Schemas["WhyAnswer"] }) {
  return (
    <>
      {why.waiting.length > 0 && <section className="card"><h2>Why it waits</h2><ul className="reasons">{why.waiting.map((one, at) => <li key={at}>{one.detail}{one.remedy && <div>What helps: <code>{one.remedy}</code></div>}</li>)}</ul></section>}
      <section className="card">
        <h2>Attempts</h2>
        <p className="quiet">{why.attempts_left} of {why.max_tries} retries are left{why.next_attempt_at && <>; the next try is <Time at={why.next_attempt_at} /></>}</p>
        {why.attempts.length === 0 ? <p>None was made yet.</p> : (
          <ol className="attempts">{[...why.attempts].reverse().map((attempt) => (
            <li key={attempt.try_number}>
              <h3>Try {attempt.try_number} <State state={attempt.state} /></h3>
              <p>{attempt.message ?? "It ran through."}{attempt.budget && <span className="quiet"> Paid by {PAYS[attempt.budget] ?? attempt.budget}.</span>}</p>
              <p className="quiet">{attempt.host && `on ${attempt.host} · `}{attempt.started_at && <Time at={attempt.started_at} />}{attempt.started_at && attempt.ended_at && ` · took ${span((Date.parse(attempt.ended_at) - Date.parse(attempt.started_at)) / 1000)}`}</p>
              {attempt.evidence != null && <details><summary>Evidence</summary><dl className="details">{Object.entries(attempt.evidence as Record<string, unknown>).map(([name, value]) => <div key={name}><dt>{name.replaceAll("_", " ")}</dt><dd><code>{shown(value)}</code></dd></div>)}</dl></details>}
            </li>
          ))}</ol>
        )}
      </section>
    </>
  );
}

interface Of { dag: string; run: string; task: string; map: number }

function XComs({ dag, run, task, map }: Of) {
  const { data, error, refetch } = useQuery(queries.xcoms(dag, run, task, map));
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton rows={3} />;
  if (data.length === 0) return <Empty title="It left no XCom"><p>A task leaves one by what it returns, or by writing JSON to <code>/airflow/xcom/return.json</code>.</p></Empty>;
  return <dl className="details">{data.map((one) => <div key={one.key}><dt>{one.key}</dt><dd><pre>{JSON.stringify(one.value, null, 2)}</pre></dd></div>)}</dl>;
}

function Instance({ dag, run, task, map, rendered }: Of & { rendered: boolean }) {
  const { data, error, refetch } = useQuery(queries.instance(dag, run, task, map));
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton rows={4} />;
  if (rendered) {
    const fields = Object.entries((data.rendered_fields ?? {}) as Record<string, unknown>).filter(([, value]) => value !== null);
    if (fields.length === 0) return <Empty title="Nothing is rendered yet"><p>Templates are filled in when an attempt is made.</p></Empty>;
    return <dl className="details">{fields.map(([name, value]) => <div key={name}><dt>{name}</dt><dd><pre>{typeof value === "string" ? value : JSON.stringify(value, null, 2)}</pre></dd></div>)}</dl>;
  }
  const rows: [string, unknown][] = [
    ["Operator", data.operator], ["Host", data.hostname], ["Queue", data.queue], ["Pool", `${data.pool}, ${data.pool_slots} ${data.pool_slots === 1 ? "slot" : "slots"}`], ["Priority", data.priority_weight],
    ["Queued", data.queued_when && <Time at={data.queued_when} />], ["Started", data.start_date && <Time at={data.start_date} />], ["Ended", data.end_date && <Time at={data.end_date} />], ["Version of the DAG", data.dag_version?.version_number], ["Commit", data.dag_version?.bundle_version],
  ];
  return <dl className="details">{rows.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value as string}</dd></div>)}</dl>;
}
