// The file of a DAG: any version, and what differs between two of them, in what they say and in their lines.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { queries } from "../api/queries";
import { Empty, Failure, Skeleton } from "../components/bits";
import { useZone } from "../lib/preferences";
import { absolute } from "../lib/time";

const ROUTE = "/dags/$dagId";

export function CodeTab({ dag }: { dag: string }) {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const versions = useQuery(queries.versions(dag));
  const zone = useZone();
  const all = versions.data?.dag_versions ?? [];
  const newest = all[0]?.version_number;
  const version = search.version ?? newest;
  const options = all.map((one) => <option key={one.id} value={one.version_number}>{one.version_number}, {absolute(one.created_at, zone)}{one.bundle_version ? `, ${one.bundle_version.slice(0, 9)}` : ""}</option>);
  const unlisted = (number: number | undefined) => number !== undefined && all.every((one) => one.version_number !== number) && <option value={number}>{number}</option>;
  return (
    <>
      <div className="row tools">
        <label className="inline">Version <select value={version ?? ""} onChange={(event) => void navigate({ search: { ...search, version: Number(event.target.value) } })}>{options}{unlisted(version)}</select></label>
        <label className="inline">Compared with <select value={search.base ?? ""} onChange={(event) => void navigate({ search: { ...search, base: Number(event.target.value) || undefined } })}><option value="">nothing</option>{options}{unlisted(search.base)}</select></label>
        {search.base === undefined && version !== undefined && version > 1 && <button type="button" onClick={() => void navigate({ search: { ...search, base: version - 1 } })}>What changed in version {version}?</button>}
        {all.length === 1 && <span className="quiet">There is one version: the next is made when the file says something else.</span>}
      </div>
      {search.base === undefined ? <Source dag={dag} version={search.version} /> : <Diff dag={dag} from={search.base} to={search.version} />}
    </>
  );
}

function Source({ dag, version }: { dag: string; version: number | undefined }) {
  const { data, error, refetch } = useQuery(queries.source(dag, version));
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton rows={16} />;
  return <div className="code" tabIndex={0} role="region" aria-label={`Source of version ${data.version_number}`}><ol>{data.content.replace(/\n$/, "").split("\n").map((line, at) => <li key={at}><code>{line || " "}</code></li>)}</ol></div>;
}

function Diff({ dag, from, to }: { dag: string; from: number; to: number | undefined }) {
  const { data, error, refetch } = useQuery(queries.diff(dag, from, to));
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton rows={16} />;
  if (data.hunks.length === 0 && data.changes.length === 0) return <Empty title={`Versions ${data.from_version} and ${data.to_version} say the same`} />;
  return (
    <>
      <Changes changes={data.changes} />
      {data.hunks.length === 0 ? <p className="quiet">The file is the same: what it reads from elsewhere was different.</p> : (
        <div className="code diff" tabIndex={0} role="region" aria-label={`Lines of version ${data.from_version} and of version ${data.to_version}`}>
          {data.hunks.map((hunk, at) => <table key={at}><tbody>{hunk.map((line, n) => <LineOf key={n} line={line} />)}</tbody></table>)}
        </div>
      )}
    </>
  );
}

const SIGNS: Record<string, string> = { added: "+", removed: "−", same: " " };

function LineOf({ line }: { line: Schemas["DiffLine"] }) {
  const word = line.kind === "same" ? "" : line.kind;
  return <tr className={`is-${line.kind}`}><td className="number">{line.before}</td><td className="number">{line.after}</td><td className="sign"><span aria-hidden="true">{SIGNS[line.kind]}</span><span className="seen-by-ear">{word}</span></td><td><code>{line.text || " "}</code></td></tr>;
}

const short = (value: unknown) => {
  const text = value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
};

/** What the two versions say, however it is written. */
function Changes({ changes }: { changes: Schemas["DagChange"][] }) {
  if (changes.length === 0) return <p className="quiet">Both say the same: only the text differs.</p>;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="What changed in what they say"><table className="changes">
      <thead><tr><th scope="col">Change</th><th scope="col">Of</th><th scope="col">What</th><th scope="col">Before</th><th scope="col">After</th></tr></thead>
      <tbody>{changes.slice(0, 200).map((change, at) => (
        <tr key={at}><td><span className={`change is-${change.kind}`}>{change.kind === "added" ? "+ added" : change.kind === "removed" ? "− removed" : "~ changed"}</span></td><td>{change.task_id ?? <span className="quiet">the DAG</span>}</td><td>{change.field ?? "task"}</td><td><code className="value">{short(change.before)}</code></td><td><code className="value">{short(change.after)}</code></td></tr>
      ))}</tbody>
    </table>{changes.length > 200 && <p className="quiet">and {changes.length - 200} more</p>}</div>
  );
}
