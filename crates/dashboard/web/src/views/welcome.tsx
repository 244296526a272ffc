// The first visit of a new install: from nothing to a green run, by what this installation is.
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type Schemas, path, send } from "../api/client";
import { queries, useMay } from "../api/queries";
import { Mark } from "../components/bits";
import { complain, say } from "../components/toast";
import { useSync } from "./git";
import "./admin.css";

const HELLO = `dag_id: hello
schedule: null
tasks:
  greet: { bash_command: echo hello }
  done: { bash_command: echo done, needs: [greet] }`;

/** No DAG is there yet: what to put where. */
export function NoDags() {
  const { data } = useQuery({ ...queries.sources(), refetchOnMount: "always" });
  const may = useMay();
  const sync = useSync();
  const source = data?.sources[0];
  const folder = source?.kind === "folder" ? source.source : "dags";
  return (
    <div className="empty">
      <h2>Welcome: three steps to a green run</h2>
      <ol className="steps">
        {source?.kind === "git" ? (
          <li><b>Push a DAG file</b> to <code className="wrap">{source.source}</code>:<pre tabIndex={0}>{`cat > hello.yaml <<'EOF'\n${HELLO}\nEOF\ngit add hello.yaml && git commit -m "Say hello" && git push`}</pre>
            <p>It is asked for a new commit every few seconds. {may("dags.edit", true) && <button type="button" onClick={() => sync.mutate()}>↻ Ask now</button>}</p></li>
        ) : (
          <li><b>Save a DAG file</b>, YAML or Python, where this server looks: <code className="wrap">{folder}</code><pre tabIndex={0}>{`cat > ${folder}/hello.yaml <<'EOF'\n${HELLO}\nEOF`}</pre></li>
        )}
        <li><b>It appears here by itself</b>, as soon as it is saved. If it does not, this says what is wrong with it:<pre tabIndex={0}>{`updraft dags check ${folder}`}</pre></li>
        <li><b>Trigger it</b> with the ▶ beside its name, and watch it turn green.</li>
      </ol>
      {source?.last_error && <p className="wrong wrap">✗ {source.last_error} <Link to="/git">More</Link></p>}
      {data?.sources.length === 0 && <p className="wrong">✗ No scheduler says yet that it reads DAG files. <Link to="/fleet">Fleet</Link></p>}
    </div>
  );
}

/** There are DAGs, and none has ever run: one button. */
export function FirstRun({ dags }: { dags: Schemas["OverviewDag"][] }) {
  const navigate = useNavigate();
  const may = useMay();
  const dag = dags.find((one) => one.dag_id === "hello") ?? dags.find((one) => !one.has_import_errors) ?? dags[0];
  const run = useMutation({
    mutationFn: async (of: Schemas["OverviewDag"]) => {
      if (of.is_paused) await send("PATCH", path`/api/v2/dags/${of.dag_id}`, { is_paused: false });
      return send<Schemas["DAGRunResponse"]>("POST", path`/api/v2/dags/${of.dag_id}/dagRuns`, { logical_date: null });
    },
    onError: complain,
    onSuccess: (made) => {
      say("The first run has begun.");
      void navigate({ to: "/dags/$dagId/runs/$runId", params: { dagId: made.dag_id, runId: made.dag_run_id }, search: {} });
    },
  });
  if (!dag || !may("runs.create")) return null;
  return (
    <section className="notice plain first" aria-label="The first run">
      <Mark state="running" /><p><strong>{dags.length === 1 ? "The DAG is read" : `${dags.length} DAGs are read`}, and nothing has run yet.</strong> {dag.is_paused && "It is switched on with this, so that its schedule runs it too."}</p>
      <button type="button" className="primary" disabled={run.isPending} onClick={() => run.mutate(dag)}>▶ Run {dag.dag_display_name}</button>
    </section>
  );
}
