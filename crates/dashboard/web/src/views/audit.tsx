// Who asked for what: the audit log, newest first, with what was before and after.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, Fragment, useState } from "react";
import type { Schemas } from "../api/client";
import { queries } from "../api/queries";
import { Empty, Failure, Skeleton, Time } from "../components/bits";
import "./admin.css";

const ROUTE = "/audit";
const PAGE = 50;
type Entry = Schemas["EventLogResponse"];
type Json = Record<string, unknown>;

export function AuditPage() {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  // The number of an entry never changes: a page begins after one, so that what comes meanwhile moves nothing.
  const query = new URLSearchParams({ order_by: "-event_log_id", limit: String(PAGE) });
  for (const [name, value] of [["event", search.event], ["owner", search.user], ["dag_id", search.dag], ["run_id", search.run], ["event_log_id_lt", search.before], ["when_gte", search.from && `${search.from}T00:00:00Z`], ["when_lte", search.to && `${search.to}T23:59:59.999999Z`]] as const) if (value !== undefined && value !== "") query.set(name, String(value));
  const { data, error, refetch, isPlaceholderData } = useQuery(queries.audit(query.toString()));
  const change = (next: object) => void navigate({ search: (old) => ({ ...old, before: undefined, ...next }) });
  const filtered = Boolean(search.event || search.user || search.dag || search.run || search.from || search.to);
  const rows = data?.event_logs ?? [];
  const last = rows.at(-1);
  return (
    <>
      <div className="head"><h1>Audit</h1></div>
      <Filters key={JSON.stringify({ ...search, open: undefined, before: undefined })} change={change} filtered={filtered} />
      {error && !data ? <Failure error={error} retry={() => void refetch()} /> : !data ? <Skeleton /> : rows.length === 0 ? (
        <Empty title={filtered || search.before ? "Nothing of this is written" : "Nobody has changed anything yet"}>{(filtered || search.before !== undefined) && <p><button type="button" onClick={() => void navigate({ search: {} })}>Show everything</button></p>}</Empty>
      ) : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Entries" aria-busy={isPlaceholderData}><table className="audit">
          <thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">Of</th><th scope="col">More</th></tr></thead>
          <tbody>{rows.map((one) => <Row key={one.event_log_id} one={one} open={search.open === one.event_log_id} toggle={() => void navigate({ search: (old) => ({ ...old, open: search.open === one.event_log_id ? undefined : one.event_log_id }), replace: true })} pick={change} />)}</tbody>
        </table></div>
      )}
      {data && <p className="row">
        {search.before !== undefined && <Link to="." search={{ ...search, before: undefined, open: undefined }} className="button">« Newest</Link>}
        {rows.length === PAGE && last && <Link to="." search={{ ...search, before: last.event_log_id, open: undefined }} className="button">Older ›</Link>}
        <span className="quiet">{rows.length} of {data.total_entries}{search.before !== undefined && " older ones"}</span>
      </p>}
    </>
  );
}

function Filters({ change, filtered }: { change: (next: object) => void; filtered: boolean }) {
  const search = useSearch({ from: ROUTE });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim() || undefined;
    change({ event: text("event"), user: text("user"), dag: text("dag"), run: text("run"), from: text("from"), to: text("to") });
  };
  return (
    <form className="row filters" onSubmit={submit} role="search" aria-label="Entries">
      <label>What <input name="event" data-search defaultValue={search.event} placeholder="patch_pool" /></label>
      <label>Who <input name="user" defaultValue={search.user} /></label>
      <label>DAG <input name="dag" defaultValue={search.dag} /></label>
      <label>Run <input name="run" defaultValue={search.run} /></label>
      <label>From (UTC) <input name="from" type="date" defaultValue={search.from} /></label>
      <label>To (UTC) <input name="to" type="date" defaultValue={search.to} /></label>
      <button type="submit">Filter</button>
      {filtered && <button type="button" onClick={() => change({ event: undefined, user: undefined, dag: undefined, run: undefined, from: undefined, to: undefined })}>All ×</button>}
    </form>
  );
}

function parse(text: string | null): Json | undefined {
  try {
    const found = JSON.parse(text ?? "null") as unknown;
    return found && typeof found === "object" ? (found as Json) : undefined;
  } catch {
    return undefined;
  }
}

const shown = (value: unknown): string => (value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));

function Row({ one, open, toggle, pick }: { one: Entry; open: boolean; toggle: () => void; pick: (next: object) => void }) {
  const extra = parse(one.extra);
  const object = (value: unknown) => (value && typeof value === "object" && !Array.isArray(value) ? (value as Json) : undefined);
  const [before, after] = [object(extra?.before), object(extra?.after)];
  const changed = before && after ? [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((key) => shown(before[key]) !== shown(after[key])) : [];
  const rest = extra && Object.entries(extra).filter(([key]) => key !== "before" && key !== "after");
  const about = shown(after?.name ?? before?.name ?? after?.key ?? before?.key ?? after?.connection_id ?? before?.connection_id ?? extra?.name ?? extra?.user ?? "");
  const brief = changed.length ? changed.join(", ") : (rest ?? []).map(([key, value]) => `${key} ${shown(value)}`).join(", ");
  return (
    <Fragment>
      <tr>
        <td><Time at={one.when} /></td>
        <td><button type="button" className="link" onClick={() => pick({ user: one.owner })}>{one.owner}</button></td>
        <td><button type="button" className="link" onClick={() => pick({ event: one.event })}>{one.event}</button></td>
        <td>{one.dag_id ? <><Link to="/dags/$dagId" params={{ dagId: one.dag_id }} search={{}}>{one.dag_id}</Link>{one.run_id && <div><Link to="/dags/$dagId/runs/$runId" params={{ dagId: one.dag_id, runId: one.run_id }} search={{}}>{one.run_id}</Link></div>}{one.task_id && <div className="quiet">{one.task_id}{one.map_index !== null && one.map_index >= 0 && `[${one.map_index}]`}</div>}</> : about}</td>
        <td className="brief">{extra ? <><button type="button" className="plain" aria-expanded={open} aria-label={`What entry ${one.event_log_id} says`} onClick={toggle}>{open ? "▾" : "▸"}</button> <span className="quiet">{brief.slice(0, 160)}</span></> : null}</td>
      </tr>
      {open && extra && (
        <tr className="more"><td colSpan={5}>
          {(before ?? after) && (
            <table className="diff" aria-label="Before and after"><thead><tr><th scope="col">Field</th><th scope="col">Before</th><th scope="col">After</th></tr></thead>
              <tbody>{[...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].map((key) => (
                <tr key={key} className={changed.includes(key) ? "is-changed" : undefined}><th scope="row">{changed.includes(key) && "± "}{key}</th><td><code>{before ? shown(before[key]) : ""}</code></td><td><code>{after ? shown(after[key]) : ""}</code></td></tr>
              ))}</tbody></table>
          )}
          {rest && rest.length > 0 && <Rest rest={Object.fromEntries(rest)} />}
        </td></tr>
      )}
    </Fragment>
  );
}

function Rest({ rest }: { rest: Json }) {
  const [text] = useState(() => JSON.stringify(rest, null, 2));
  return <pre className="doc" tabIndex={0}>{text}</pre>;
}
