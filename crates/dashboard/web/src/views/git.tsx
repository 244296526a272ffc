// Where DAG files come from: at which commit, since when, what is wrong, and what the last commits changed.
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type Schemas, send } from "../api/client";
import { queries, useMay } from "../api/queries";
import { Empty, Failure, Mark, Skeleton, Time } from "../components/bits";
import { complain, say } from "../components/toast";
import "./admin.css";

const STATES: Record<string, { state: string; word: string }> = { ok: { state: "success", word: "in step" }, starting: { state: "queued", word: "begins" }, degraded: { state: "failed", word: "something is wrong" } };

export function Commit({ id }: { id: string | null | undefined }) {
  return id ? <code title={id}>{id.slice(0, 10)}</code> : null;
}

export function useSync() {
  return useMutation({
    mutationFn: () => send<Schemas["WebhookAnswer"]>("POST", "/ui/sources/sync"),
    onError: complain,
    onSuccess: (told) => say(`${told.schedulers === 1 ? "The scheduler asks" : `${told.schedulers} schedulers ask`} every repository now.`),
  });
}

export function GitPage() {
  const { data, error, refetch } = useQuery(queries.sources());
  const may = useMay();
  const sync = useSync();
  if (error && !data) return <Failure whole error={error} retry={() => void refetch()} />;
  const git = data?.sources.some((one) => one.kind === "git");
  return (
    <>
      <div className="head"><h1>Git</h1>{git && may("dags.edit", true) && <div className="actions"><button type="button" className="primary" disabled={sync.isPending} onClick={() => sync.mutate()}>↻ Sync now</button></div>}</div>
      {!data ? <Skeleton rows={5} /> : data.sources.length === 0 ? (
        <Empty title="No scheduler says where DAG files come from"><p>One that is alive does within a few seconds. Is one? <Link to="/fleet">Fleet</Link></p></Empty>
      ) : data.sources.map((one) => <Source key={one.bundle} one={one} />)}
      {data && <Commits commits={data.commits} git={Boolean(git)} />}
    </>
  );
}

function Source({ one }: { one: Schemas["DagSource"] }) {
  const look = STATES[one.state] ?? { state: "none", word: one.state };
  const elsewhere = one.schedulers.filter((each) => each.commit !== one.commit);
  return (
    <section className="card source" aria-label={one.bundle}>
      <h2>{one.bundle} <span className="state quiet"><Mark state={look.state} />{look.word}</span></h2>
      <p><code className="wrap">{one.source}</code></p>
      {one.commit ? <p><Commit id={one.commit} /> {one.subject && <b className="wrap">{one.subject}</b>} <span className="quiet">{one.author && <>by {one.author} </>}{one.committed_at && <Time at={one.committed_at} />}</span></p> : <p className="quiet">{one.kind === "git" ? "No commit is there yet." : "A folder that is of no commit: its files are read as they are saved."}</p>}
      {one.last_error && <div className="notice"><Mark state="failed" /><div><b>The last good state goes on{one.failing_since && <>, since <Time at={one.failing_since} /></>}.</b><pre className="said" tabIndex={0}>{one.last_error}</pre></div></div>}
      <dl className="facts">
        {one.fetched_at && <div><dt>The server last answered</dt><dd><Time at={one.fetched_at} /></dd></div>}
        {one.read_at && <div><dt>Read</dt><dd><Time at={one.read_at} /></dd></div>}
        <div><dt>Files</dt><dd>{one.files}</dd></div><div><dt>DAGs</dt><dd>{one.dags}</dd></div>
        {one.files_with_errors > 0 && <div><dt>Cannot be read</dt><dd><Link to="/import-errors" className="wrong">✗ {one.files_with_errors}</Link></dd></div>}
      </dl>
      {elsewhere.length > 0 && <p>Not yet there: {elsewhere.map((each) => <span key={each.scheduler}>{each.hostname} {each.commit ? <>at <Commit id={each.commit} /></> : "without a commit"} </span>)}</p>}
      {one.notes.length > 0 && <details><summary>{one.notes.length === 1 ? "1 note" : `${one.notes.length} notes`}</summary><ul>{one.notes.map((note) => <li key={note} className="wrap">{note}</li>)}</ul></details>}
    </section>
  );
}

function Names({ of, sign, dead }: { of: string[]; sign: string; dead?: boolean }) {
  return <>{of.map((dag) => <span key={dag} className="wrap">{sign} <Link to="/dags/$dagId" params={{ dagId: dag }} search={dead ? {} : { tab: "code" }}>{dag}</Link> </span>)}</>;
}

function Commits({ commits, git }: { commits: Schemas["TakenCommit"][]; git: boolean }) {
  return (
    <section className="part" aria-label="Last commits">
      <h2>Last commits that were taken</h2>
      {commits.length === 0 ? <Empty title="None yet"><p>{git ? "The first one is here as soon as it is read." : <>A folder has no commits. From a repository: <code>--dags git+https://host/team/dags.git@main#dags</code></>}</p></Empty> : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Commits, a table"><table>
          <thead><tr><th scope="col">Taken</th><th scope="col">Commit</th><th scope="col">What and who</th><th scope="col">DAGs that changed</th></tr></thead>
          <tbody>{commits.map((one) => (
            <tr key={`${one.bundle} ${one.commit}`}>
              <td><Time at={one.taken_at} /></td><td><Commit id={one.commit} /><div className="quiet">{one.bundle}</div></td>
              <td className="subject">{one.subject ?? <span className="quiet">its message is not known here</span>}<div className="quiet">{[one.author].filter(Boolean).join(" ")} {one.committed_at && <Time at={one.committed_at} />}</div></td>
              <td>{one.changed.length + one.removed.length === 0 && <span className="quiet">none</span>}<Names of={one.changed} sign="±" /><Names of={one.removed} sign="− gone:" dead />{one.files_with_errors > 0 && <div className="wrong">✗ {one.files_with_errors === 1 ? "1 file" : `${one.files_with_errors} files`} could not be read</div>}</td>
            </tr>
          ))}</tbody>
        </table></div>
      )}
    </section>
  );
}
