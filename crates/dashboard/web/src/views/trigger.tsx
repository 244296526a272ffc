// A run by hand: a form made from the DAG's params, or their JSON.
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { type Schemas, path, send } from "../api/client";
import { queries } from "../api/queries";
import { Failure, Field, Skeleton } from "../components/bits";
import { Dialog } from "../components/dialog";
import { say } from "../components/toast";
import { type Params, useParamsForm } from "./params";

export function TriggerDialog({ dag, close }: { dag: string; close: () => void }) {
  const { data, error, refetch } = useQuery(queries.dag(dag));
  return (
    <Dialog open close={close} title={`Trigger ${dag}`}>
      {data ? <Form dag={data} close={close} /> : error ? <Failure error={error} retry={() => void refetch()} /> : <Skeleton rows={4} />}
    </Dialog>
  );
}

export const paramsOf = (dag: Schemas["DAGDetailsResponse"]): Params => Object.entries((dag.params ?? {}) as unknown as Record<string, Params[number][1]>);

/** The field that one wants to type in first. The dialog may have been open before it was there. */
export function useFirstField() {
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    (form.current?.querySelector<HTMLElement>("[data-params] :is(input, select, textarea):not([readonly])") ?? form.current?.querySelector<HTMLElement>("[type=submit]"))?.focus();
  }, []);
  return form;
}

function Form({ dag, close }: { dag: Schemas["DAGDetailsResponse"]; close: () => void }) {
  const navigate = useNavigate();
  const form = useFirstField();
  const params = useParamsForm(paramsOf(dag));
  const [more, setMore] = useState({ runId: "", note: "", unpause: dag.is_paused });
  const [badName, setBadName] = useState<string>();
  const trigger = useMutation({
    mutationFn: async (given: Record<string, unknown>) => {
      const run = await send<Schemas["DAGRunResponse"]>("POST", path`/api/v2/dags/${dag.dag_id}/dagRuns`, { logical_date: null, conf: given, ...(more.runId ? { dag_run_id: more.runId } : {}), ...(more.note ? { note: more.note } : {}) });
      if (dag.is_paused && more.unpause) await send("PATCH", path`/api/v2/dags/${dag.dag_id}`, { is_paused: false });
      return run;
    },
    onSuccess: (run) => {
      close();
      say(dag.is_paused && !more.unpause ? "The DAG is paused: the run waits until it is switched on." : "The run has begun.");
      void navigate({ to: "/dags/$dagId/runs/$runId", params: { dagId: dag.dag_id, runId: run.dag_run_id }, search: {} });
    },
    onError: (error) => params.blame(error.message),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const bad = more.runId && !/^[A-Za-z0-9_.~:+-]{1,250}$/.test(more.runId) ? "letters, digits and _ . ~ : + - are allowed, 250 at most" : undefined;
    setBadName(bad);
    const given = params.take();
    if (given && !bad) trigger.mutate(given);
  };
  return (
    <form ref={form} onSubmit={submit} className="form" noValidate>
      {params.fields}
      <details open={badName !== undefined || undefined}><summary>More: name, note</summary>
        <Field label="Name of the run" hint="Made from the time, if it is empty" error={badName}>{(props) => <input {...props} value={more.runId} onChange={(event) => setMore({ ...more, runId: event.target.value })} />}</Field>
        <Field label="Note">{(props) => <textarea {...props} rows={2} maxLength={1000} value={more.note} onChange={(event) => setMore({ ...more, note: event.target.value })} />}</Field>
      </details>
      {dag.is_paused && <label className="inline"><input type="checkbox" checked={more.unpause} onChange={(event) => setMore({ ...more, unpause: event.target.checked })} /> The DAG is paused: switch it on</label>}
      {trigger.error && <p className="wrong" role="alert">{trigger.error.message}</p>}
      <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={trigger.isPending}>▶ Trigger</button></footer>
    </form>
  );
}
