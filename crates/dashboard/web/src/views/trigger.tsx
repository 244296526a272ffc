// A run by hand: a form made from the DAG's params, or their JSON.
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { type Schemas, path, send } from "../api/client";
import { queries } from "../api/queries";
import { Failure, Field, Skeleton } from "../components/bits";
import { Dialog } from "../components/dialog";
import { say } from "../components/toast";

interface Schema { type?: string | string[]; title?: string; description?: string; enum?: unknown[]; minimum?: number; maximum?: number; format?: string; minLength?: number; maxLength?: number; pattern?: string }
interface Param { value: unknown; description?: string | null; schema: Schema }

export function TriggerDialog({ dag, close }: { dag: string; close: () => void }) {
  const { data, error, refetch } = useQuery(queries.dag(dag));
  return (
    <Dialog open close={close} title={`Trigger ${dag}`}>
      {data ? <Form dag={data} close={close} /> : error ? <Failure error={error} retry={() => void refetch()} /> : <Skeleton rows={4} />}
    </Dialog>
  );
}

const typeOf = (schema: Schema): string => {
  const types = [schema.type ?? "string"].flat();
  return types.find((type) => type !== "null") ?? "string";
};
const mayBeNull = (schema: Schema) => [schema.type ?? []].flat().includes("null");

/** What a field's text means. */
function read(text: string, schema: Schema): unknown {
  const type = typeOf(schema);
  if (text === "" && mayBeNull(schema)) return null;
  if (schema.enum) return schema.enum.find((one) => String(one) === text) ?? text;
  if (type === "integer" || type === "number") {
    const number = Number(text);
    if (text.trim() === "" || Number.isNaN(number)) throw new Error("a number is needed");
    return number;
  }
  if (type === "object" || type === "array") return JSON.parse(text) as unknown;
  return text;
}

function Form({ dag, close }: { dag: Schemas["DAGDetailsResponse"]; close: () => void }) {
  const navigate = useNavigate();
  const params = Object.entries((dag.params ?? {}) as unknown as Record<string, Param>);
  const shown = (param: Param) => (typeof param.value === "object" && param.value !== null ? JSON.stringify(param.value, null, 2) : String(param.value ?? ""));
  const [values, setValues] = useState<Record<string, string | boolean>>(() => Object.fromEntries(params.map(([name, param]) => [name, typeOf(param.schema) === "boolean" ? Boolean(param.value) : shown(param)])));
  const [json, setJson] = useState<string>();
  const [wrong, setWrong] = useState<Record<string, string>>({});
  const [more, setMore] = useState({ runId: "", note: "", unpause: dag.is_paused });
  const conf = (): Record<string, unknown> | undefined => {
    const bad: Record<string, string> = {};
    const found: Record<string, unknown> = {};
    if (json !== undefined) {
      try {
        const read = JSON.parse(json || "{}") as unknown;
        if (typeof read !== "object" || read === null || Array.isArray(read)) throw new Error("an object is needed: { … }");
        Object.assign(found, read);
      } catch (error) {
        bad[""] = (error as Error).message;
      }
    } else {
      for (const [name, param] of params) {
        const value = values[name];
        try {
          found[name] = typeof value === "boolean" ? value : read(value ?? "", param.schema);
        } catch (error) {
          bad[name] = (error as Error).message;
        }
      }
    }
    setWrong(bad);
    return Object.keys(bad).length ? undefined : found;
  };
  const trigger = useMutation({
    mutationFn: async (given: Record<string, unknown>) => {
      if (dag.is_paused && more.unpause) await send("PATCH", path`/api/v2/dags/${dag.dag_id}`, { is_paused: false });
      return send<Schemas["DAGRunResponse"]>("POST", path`/api/v2/dags/${dag.dag_id}/dagRuns`, { logical_date: null, conf: given, ...(more.runId ? { dag_run_id: more.runId } : {}), ...(more.note ? { note: more.note } : {}) });
    },
    onSuccess: (run) => {
      close();
      say(dag.is_paused && !more.unpause ? "The DAG is paused: the run waits until it is switched on." : "The run has begun.");
      void navigate({ to: "/dags/$dagId/runs/$runId", params: { dagId: dag.dag_id, runId: run.dag_run_id }, search: {} });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const given = conf();
    if (given) trigger.mutate(given);
  };
  return (
    <form onSubmit={submit} className="form">
      {params.length === 0 && json === undefined && <p className="quiet">This DAG has no params.</p>}
      {json === undefined ? params.map(([name, param]) => (
        <Field key={name} label={param.schema.title ?? name} hint={[param.schema.title && name, param.description ?? param.schema.description].filter(Boolean).join(": ")} error={wrong[name]}>
          {(props) => <Input name={name} schema={param.schema} value={values[name] ?? ""} change={(value) => setValues({ ...values, [name]: value })} more={props} />}
        </Field>
      )) : (
        <Field label="Configuration as JSON" error={wrong[""]}>{(props) => <textarea {...props} rows={8} spellCheck={false} value={json} onChange={(event) => setJson(event.target.value)} />}</Field>
      )}
      <p><button type="button" className="link" onClick={() => { if (json === undefined) { const given = conf(); if (given) setJson(JSON.stringify(given, null, 2)); } else setJson(undefined); }}>{json === undefined ? "Edit as JSON" : "Back to the form (what the JSON says is dropped)"}</button></p>
      <details><summary>More: name, note</summary>
        <Field label="Name of the run" hint="Made from the time, if it is empty">{(props) => <input {...props} value={more.runId} pattern="[A-Za-z0-9_.~:+\-]+" onChange={(event) => setMore({ ...more, runId: event.target.value })} />}</Field>
        <Field label="Note">{(props) => <textarea {...props} rows={2} maxLength={1000} value={more.note} onChange={(event) => setMore({ ...more, note: event.target.value })} />}</Field>
      </details>
      {dag.is_paused && <label className="inline"><input type="checkbox" checked={more.unpause} onChange={(event) => setMore({ ...more, unpause: event.target.checked })} /> The DAG is paused: switch it on</label>}
      {trigger.error && <p className="wrong" role="alert">{trigger.error.message}</p>}
      <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={trigger.isPending}>▶ Trigger</button></footer>
    </form>
  );
}

function Input({ name, schema, value, change, more }: { name: string; schema: Schema; value: string | boolean; change: (value: string | boolean) => void; more: object }) {
  const type = typeOf(schema);
  if (type === "boolean") return <input {...more} name={name} type="checkbox" checked={value === true} onChange={(event) => change(event.target.checked)} />;
  const text = String(value);
  if (schema.enum) return <select {...more} name={name} value={text} onChange={(event) => change(event.target.value)}>{schema.enum.map((one) => <option key={String(one)}>{String(one)}</option>)}</select>;
  if (type === "object" || type === "array" || schema.format === "multiline") return <textarea {...more} name={name} rows={4} spellCheck={false} value={text} onChange={(event) => change(event.target.value)} />;
  const numeric = type === "integer" || type === "number";
  return <input {...more} name={name} type={numeric ? "number" : schema.format === "date" ? "date" : "text"} step={type === "number" ? "any" : undefined} min={schema.minimum} max={schema.maximum} minLength={schema.minLength} maxLength={schema.maxLength} value={text} onChange={(event) => change(event.target.value)} />;
}
