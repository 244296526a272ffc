// Who did what to a DAG, newest first, page after page.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import type { ChangeEvent } from "react";
import { queries } from "../api/queries";
import { Empty, Failure, Skeleton, Time } from "../components/bits";

const ROUTE = "/dags/$dagId";
const PAGE = 50;

export function AuditTab({ dag }: { dag: string }) {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const { data, error, refetch } = useQuery(queries.dagAudit(dag, { event: search.event, who: search.who, before: search.before }));
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton />;
  // One more than is shown: whether there is a next page.
  const rows = data.event_logs.slice(0, PAGE);
  const last = data.event_logs.length > PAGE ? rows.at(-1)?.event_log_id : undefined;
  const filter = (name: "event" | "who") => (event: ChangeEvent<HTMLInputElement>) => void navigate({ search: { ...search, [name]: event.target.value || undefined, before: undefined }, replace: true });
  return (
    <>
      <div className="row tools">
        <input type="search" data-search className="search" aria-label="What was done" placeholder="What, as in clear  ( / )" value={search.event ?? ""} onChange={filter("event")} />
        <input type="search" className="search" aria-label="Who did it" placeholder="Who" value={search.who ?? ""} onChange={filter("who")} />
        {search.before !== undefined && <Link to={ROUTE} params={{ dagId: dag }} search={{ ...search, before: undefined }} className="button">⇤ Newest</Link>}
      </div>
      {rows.length === 0 ? <Empty title={search.event || search.who ? "Nobody did that" : "Nobody did anything to it yet"}><p className="quiet">What people and programs ask for is written down here: triggers, pauses, marks, clears. What the schedule does by itself is not.</p></Empty> : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Audit log"><table>
          <thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">Run, task</th><th scope="col">More</th></tr></thead>
          <tbody>{rows.map((row) => (
            <tr key={row.event_log_id}>
              <td><Time at={row.when} /></td><td>{row.owner}</td><td><b>{row.event}</b></td>
              <td>{row.run_id && <Link to="/dags/$dagId/runs/$runId" params={{ dagId: dag, runId: row.run_id }} search={{}}>{row.run_id}</Link>}{row.run_id && row.task_id ? <> / <Link to="/dags/$dagId/runs/$runId/tasks/$taskId" params={{ dagId: dag, runId: row.run_id, taskId: row.task_id }} search={row.map_index != null && row.map_index >= 0 ? { map: row.map_index } : {}}>{row.task_id}{row.map_index != null && row.map_index >= 0 && `[${row.map_index}]`}</Link></> : row.task_id}</td>
              <td><Extra text={row.extra} /></td>
            </tr>
          ))}</tbody>
        </table></div>
      )}
      {last !== undefined && <p><Link to={ROUTE} params={{ dagId: dag }} search={{ ...search, before: last }} className="button">Older →</Link></p>}
    </>
  );
}

function Extra({ text }: { text: string | null | undefined }) {
  if (!text) return null;
  let words: [string, unknown][];
  try {
    words = Object.entries(JSON.parse(text) as Record<string, unknown>);
  } catch {
    return <code className="value">{text}</code>;
  }
  const short = (value: unknown) => { const said = typeof value === "string" ? value : JSON.stringify(value); return said.length > 160 ? `${said.slice(0, 160)}…` : said; };
  return <span className="conf">{words.filter(([, value]) => value !== null).map(([name, value]) => <span key={name}><span className="quiet">{name}</span> <code>{short(value)}</code></span>)}</span>;
}
