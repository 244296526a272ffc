// Running again, after a look at what that touches.
import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Schemas, path, send } from "../api/client";
import { queries, queryClient } from "../api/queries";
import { Failure, Skeleton, State } from "../components/bits";
import { Dialog } from "../components/dialog";
import { say } from "../components/toast";
import { type Bar, idOf, nameOf } from "../lib/bars";
import { isFailure } from "../lib/states";
import { useParamsForm } from "./params";
import { paramsOf, useFirstField } from "./trigger";

export interface Clearing { title: string; body: { only_failed: boolean; include_downstream?: boolean; include_upstream?: boolean; task_ids?: (string | [string, number])[] } }
type Cleared = Pick<Schemas["ClearTaskInstanceCollectionResponse"], "task_instances" | "total_entries">;
const SHOWN = 100;

/** What an action touches: the first hundred by name, and how many more. */
export function Preview({ of, total }: { of: { name: string; state: string | null | undefined; becomes?: string }[]; total: number }) {
  return (
    <>
      <ul className="preview">{of.slice(0, SHOWN).map((one) => <li key={one.name}><span>{one.name}</span><span className="row"><State state={one.state} />{one.becomes && <>→ <State state={one.becomes} /></>}</span></li>)}</ul>
      {total > Math.min(SHOWN, of.length) && <p className="quiet">and {(total - Math.min(SHOWN, of.length)).toLocaleString("en")} more</p>}
    </>
  );
}

const told = (count: number) => say(count === 1 ? "1 task will run again." : `${count} tasks will run again.`);

export function ClearDialog({ dag, run, clearing, close }: { dag: string; run: string; clearing: Clearing; close: () => void }) {
  const [body, setBody] = useState(clearing.body);
  const clear = (dry: boolean) => send<Cleared>("POST", path`/api/v2/dags/${dag}/clearTaskInstances`, { dag_run_id: run, dry_run: dry, ...body });
  const preview = useQuery({ queryKey: ["clear", dag, run, body], queryFn: () => clear(true), gcTime: 0, staleTime: 0, placeholderData: (old) => old });
  const doing = useMutation({
    mutationFn: () => clear(false),
    onSuccess: (done) => {
      close();
      told(done.total_entries);
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["run", dag, run] }),
  });
  const found = (preview.data?.task_instances ?? []) as Schemas["TaskInstanceResponse"][];
  const option = (name: "include_downstream" | "include_upstream" | "only_failed", words: string) => <label className="inline"><input type="checkbox" checked={Boolean(body[name])} onChange={(event) => setBody({ ...body, [name]: event.target.checked })} /> {words}</label>;
  return (
    <Dialog open close={close} title={clearing.title}>
      {body.task_ids && <div className="row">{option("include_downstream", "and all after it")}{option("include_upstream", "and all before it")}{option("only_failed", "only what failed")}</div>}
      {preview.error ? <Failure error={preview.error} retry={() => void preview.refetch()} /> : !preview.data ? <Skeleton rows={3} /> : found.length === 0 ? <p>There is nothing to run again.</p> : (
        <>
          <p>{found.length === 1 ? "This task runs again" : `These ${preview.data.total_entries} tasks run again`}, with the params of the run. Logs of earlier tries are kept.</p>
          <Preview of={found.map((one) => ({ name: nameOf({ task: one.task_id, map: one.map_index }), state: one.state }))} total={preview.data.total_entries} />
        </>
      )}
      {doing.error && <p className="wrong" role="alert">{doing.error.message}</p>}
      <footer><button type="button" onClick={close}>Cancel</button><button type="button" className="primary" disabled={found.length === 0 || doing.isPending || preview.isPlaceholderData} onClick={() => doing.mutate()}>↻ Run again</button></footer>
    </Dialog>
  );
}

const WHICH = { failed: "What failed, and what did not run because of it", selected: "What is selected", all: "All of it" } as const;

/** The same run with other params. */
export function RerunDialog({ dag, run, conf, bars, chosen, close }: { dag: string; run: string; conf: Record<string, unknown> | null; bars: Bar[]; chosen: Bar[]; close: () => void }) {
  const { data, error, refetch } = useQuery(queries.dag(dag));
  return (
    <Dialog open close={close} title="Run again with other params">
      {data ? <Rerun details={data} run={run} conf={conf} bars={bars} chosen={chosen} close={close} /> : error ? <Failure error={error} retry={() => void refetch()} /> : <Skeleton rows={4} />}
    </Dialog>
  );
}

function Rerun({ details, run, conf, bars, chosen, close }: { details: Schemas["DAGDetailsResponse"]; run: string; conf: Record<string, unknown> | null; bars: Bar[]; chosen: Bar[]; close: () => void }) {
  const dag = details.dag_id;
  const form = useFirstField();
  const params = useParamsForm(paramsOf(details), conf);
  const failed = bars.filter((bar) => isFailure(bar.state));
  const [which, setWhich] = useState<keyof typeof WHICH>(failed.length ? "failed" : "all");
  const [after, setAfter] = useState(true);
  const touched = which === "failed" ? failed : which === "all" ? bars : chosen;
  const doing = useMutation({
    mutationFn: (given: Record<string, unknown>) => send<Schemas["Rerun"]>("POST", path`/ui/runs/${dag}/${run}/rerun`, {
      conf: given, only_failed: which === "failed", ...(which === "selected" ? { task_ids: chosen.map(idOf), include_downstream: after } : {}),
    }),
    onSuccess: (done) => {
      close();
      told(done.total_entries);
    },
    onError: (error) => params.blame(error.message),
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["run", dag, run] }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const given = params.take();
    if (given) doing.mutate(given);
  };
  return (
    <form ref={form} onSubmit={submit} className="form" noValidate>
      <p className="quiet">It stays the same run, with its name and its date. What does not run again keeps what it did with the params from before; the audit log has both.</p>
      {params.fields}
      <fieldset className="which">
        <legend>What runs again</legend>
        {(Object.keys(WHICH) as (keyof typeof WHICH)[]).map((one) => (
          <label key={one} className="inline"><input type="radio" name="which" checked={which === one} disabled={one === "failed" ? failed.length === 0 : one === "selected" && chosen.length === 0} onChange={() => setWhich(one)} /> {WHICH[one]}{one === "selected" && chosen.length > 0 && `: ${chosen.slice(0, 3).map(nameOf).join(", ")}${chosen.length > 3 ? ` and ${chosen.length - 3} more` : ""}`}</label>
        ))}
        {which === "selected" && <label className="inline"><input type="checkbox" checked={after} onChange={(event) => setAfter(event.target.checked)} /> and all after it</label>}
      </fieldset>
      <Preview of={touched.map((bar) => ({ name: nameOf(bar), state: bar.state }))} total={touched.length} />
      {doing.error && <p className="wrong" role="alert">{doing.error.message}</p>}
      <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={doing.isPending || touched.length === 0}>↻ Run again</button></footer>
    </form>
  );
}
