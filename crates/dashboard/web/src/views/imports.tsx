// Files that cannot be read: the lines around each mistake, what it is and what to do.
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "../api/client";
import { queries } from "../api/queries";
import { Empty, Failure, Skeleton, Time } from "../components/bits";
import "./admin.css";

export function ImportErrorsPage() {
  const { data, error, refetch } = useQuery(queries.importErrors());
  if (error && !data) return <Failure whole error={error} retry={() => void refetch()} />;
  return (
    <>
      <div className="head"><h1>Import errors</h1></div>
      {!data ? <Skeleton rows={4} /> : data.files.length === 0 ? (
        <Empty title="Every file can be read"><p>Before a file is pushed, this says the same as is said here:</p><pre>updraft dags check FOLDER</pre></Empty>
      ) : data.files.map((one) => (
        <section className="card" key={one.import_error_id} aria-label={one.filename}>
          <h2 className="wrap">✗ {one.filename}</h2>
          <p className="quiet">{one.bundle_name} · <Time at={one.timestamp} /> · what it held before goes on</p>
          {one.mistakes.length === 0 ? <pre tabIndex={0} className="doc">{one.text}</pre> : one.mistakes.map((mistake, at) => <Mistake key={at} mistake={mistake} file={one.filename} />)}
        </section>
      ))}
    </>
  );
}

function Mistake({ mistake, file }: { mistake: Schemas["FileMistake"]; file: string }) {
  const { around, line } = mistake;
  return (
    <div className="mistake">
      <p><span className="tag">{mistake.kind.replaceAll("_", " ")}</span> <b className="wrap">{mistake.message}</b>{mistake.dag_id && <span className="quiet"> in {mistake.dag_id}</span>}</p>
      {around ? (
        <div className="frame" tabIndex={0} role="region" aria-label={`${file}, around line ${line}`}>
          <ol start={around.first}>{around.lines.map((text, at) => {
            const number = around.first + at;
            const here = number === line;
            return <li key={number} value={number} className={here ? "here" : undefined} aria-current={here ? "true" : undefined}><code>{text || " "}</code>{here && mistake.column !== null && <code className="caret" aria-label={`column ${mistake.column}`}>{under(text, mistake)}</code>}</li>;
          })}</ol>
        </div>
      ) : line !== null && <p className="quiet">line {line}{mistake.column !== null && `, column ${mistake.column}`}</p>}
      {mistake.hint && <p className="remedy"><b>What to do:</b> {mistake.hint}</p>}
      {mistake.traceback && <details><summary>Traceback</summary><pre className="doc" tabIndex={0}>{mistake.traceback}</pre></details>}
    </div>
  );
}

/** Carets below what is meant. Tabs stay tabs, so that both lines are as wide. */
function under(text: string, mistake: Schemas["FileMistake"]): string {
  const before = text.slice(0, Math.max(0, (mistake.column ?? 1) - 1)).replace(/[^\t]/g, " ");
  return before + "^".repeat(Math.max(1, mistake.caret?.trim().length ?? 1));
}
