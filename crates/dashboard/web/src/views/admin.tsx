// Pools, variables, connections and files that cannot be read. Loaded when one of them is asked for.
import { type UseQueryResult, useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, type ReactNode, useState } from "react";
import { type Schemas, path, send } from "../api/client";
import { queries, queryClient } from "../api/queries";
import { Empty, Failure, Field, Skeleton, Time } from "../components/bits";
import { Dialog } from "../components/dialog";
import { say } from "../components/toast";

type Values = Record<string, string>;
interface FieldOf { name: string; label: string; hint?: string; kind?: "text" | "number" | "area" | "password"; required?: boolean; fixed?: boolean }

/** What is written, and what is said when it was. */
function useWrite(key: string, close: () => void) {
  return useMutation({
    mutationFn: ({ method, url, body }: { method: "POST" | "PATCH" | "DELETE"; url: string; body?: unknown; done: string }) => send(method, url, body),
    onSuccess: (_, { done }) => {
      say(done);
      close();
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: [key] }),
  });
}

function Editor({ title, fields, values, save, error, busy, close }: { title: string; fields: FieldOf[]; values: Values; save: (values: Values) => void; error: Error | null; busy: boolean; close: () => void }) {
  const [now, setNow] = useState(values);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save(now);
  };
  return (
    <Dialog open close={close} title={title}>
      <form className="form" onSubmit={submit}>
        {fields.map((field) => (
          <Field key={field.name} label={field.label} hint={field.hint}>
            {(props) => {
              const common = { ...props, value: now[field.name] ?? "", required: field.required ?? false, disabled: field.fixed ?? false, onChange: (event: { target: { value: string } }) => setNow({ ...now, [field.name]: event.target.value }) };
              return field.kind === "area" ? <textarea {...common} rows={4} spellCheck={false} /> : <input {...common} type={field.kind ?? "text"} autoComplete={field.kind === "password" ? "new-password" : "off"} />;
            }}
          </Field>
        ))}
        {error && <p className="wrong" role="alert">{error.message}</p>}
        <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={busy}>Save</button></footer>
      </form>
    </Dialog>
  );
}

function Sure({ what, why, act, error, busy, close }: { what: string; why: string; act: () => void; error: Error | null; busy: boolean; close: () => void }) {
  return <Dialog open close={close} title={`Delete ${what}?`}><p>{why}</p>{error && <p className="wrong" role="alert">{error.message}</p>}<footer><button type="button" onClick={close}>Cancel</button><button type="button" className="danger" disabled={busy} onClick={act}>Delete</button></footer></Dialog>;
}

function Page<T>({ title, query, empty, add, rows, children }: { title: string; query: UseQueryResult<T>; empty: ReactNode; add?: (() => void) | undefined; rows: (data: T) => ReactNode[]; children: ReactNode }) {
  const { data, error, refetch } = query;
  const found = data ? rows(data) : [];
  return (
    <>
      <div className="head"><h1>{title}</h1><Search />{add && <button type="button" className="primary" onClick={add}>+ Add</button>}</div>
      {error && !data ? <Failure error={error} retry={() => void refetch()} /> : !data ? <Skeleton rows={4} /> : found.length === 0 ? empty : <div className="scroll" tabIndex={0} role="region" aria-label={title}><table><thead>{children}</thead><tbody>{found}</tbody></table></div>}
    </>
  );
}

function useFilter(): (text: string) => boolean {
  const { q } = useSearch({ strict: false }) as { q?: string };
  return (text) => !q || text.toLowerCase().includes(q.toLowerCase());
}

function Search() {
  const { q } = useSearch({ strict: false }) as { q?: string };
  const navigate = useNavigate();
  return <input type="search" data-search className="search" aria-label="Search in this list" placeholder="Search  ( / )" value={q ?? ""} onChange={(event) => void navigate({ to: ".", search: { q: event.target.value || undefined }, replace: true })} />;
}

const orNull = (text: string | undefined) => (text ? text : null);
type Open<T> = { kind: "edit"; of: T } | { kind: "delete"; of: T } | { kind: "add" } | undefined;

export function PoolsPage() {
  const [open, setOpen] = useState<Open<Schemas["PoolResponse"]>>();
  const close = () => setOpen(undefined);
  const write = useWrite("pools", close);
  const wanted = useFilter();
  const save = (values: Values) => {
    const body = { name: values.name, slots: Number(values.slots), description: orNull(values.description) };
    if (open?.kind === "edit") write.mutate({ method: "PATCH", url: path`/api/v2/pools/${open.of.name}` + "?update_mask=slots&update_mask=description", body: { ...body, include_deferred: open.of.include_deferred }, done: `The pool ${values.name} is saved.` });
    else write.mutate({ method: "POST", url: "/api/v2/pools", body, done: `The pool ${values.name} is made.` });
  };
  return (
    <>
      <Page title="Pools" query={useQuery(queries.pools())} add={() => setOpen({ kind: "add" })} empty={<Empty title="No pool matches" />} rows={(data) => data.pools.filter((pool) => wanted(`${pool.name} ${pool.description ?? ""}`)).map((pool) => (
        <tr key={pool.name}>
          <td><b>{pool.name}</b>{pool.description && <div className="quiet">{pool.description}</div>}</td>
          <td className="bar-cell"><PoolBar pool={pool} /></td>
          <td className="num">{pool.slots < 0 ? "no limit" : pool.slots}</td><td className="num">{pool.running_slots}</td><td className="num">{pool.queued_slots}</td><td className="num">{pool.scheduled_slots}</td><td className="num">{pool.open_slots < 0 ? "" : pool.open_slots}</td>
          <td className="right"><button type="button" aria-label={`Edit ${pool.name}`} onClick={() => setOpen({ kind: "edit", of: pool })}>Edit</button> {pool.name !== "default_pool" && <button type="button" aria-label={`Delete ${pool.name}`} onClick={() => setOpen({ kind: "delete", of: pool })}>Delete</button>}</td>
        </tr>
      ))}><tr><th scope="col">Pool</th><th scope="col">Use</th><th scope="col" className="num">Slots</th><th scope="col" className="num">Running</th><th scope="col" className="num">Queued</th><th scope="col" className="num">Waiting</th><th scope="col" className="num">Free</th><th scope="col"><span className="seen-by-ear">Actions</span></th></tr></Page>
      {(open?.kind === "edit" || open?.kind === "add") && (
        <Editor title={open.kind === "edit" ? `Pool ${open.of.name}` : "New pool"} close={close} save={save} error={write.error} busy={write.isPending}
          values={open.kind === "edit" ? { name: open.of.name, slots: String(open.of.slots), description: open.of.description ?? "" } : { slots: "8" }}
          fields={[{ name: "name", label: "Name", required: true, fixed: open.kind === "edit" }, { name: "slots", label: "Slots", kind: "number", required: true, hint: "How many may be in use at once; -1 is no limit" }, { name: "description", label: "Description" }]} />
      )}
      {open?.kind === "delete" && <Sure what={open.of.name} why="Tasks that name it will wait until it is there again." close={close} error={write.error} busy={write.isPending} act={() => write.mutate({ method: "DELETE", url: path`/api/v2/pools/${open.of.name}`, done: "The pool is deleted." })} />}
    </>
  );
}

function PoolBar({ pool }: { pool: Schemas["PoolResponse"] }) {
  const of = Math.max(1, pool.slots < 0 ? pool.running_slots + pool.queued_slots : pool.slots);
  return <span className="pool-bar" role="img" aria-label={`${pool.running_slots} running, ${pool.queued_slots} queued of ${pool.slots < 0 ? "no limit" : pool.slots}`}><span className="k-running" style={{ width: `${Math.min(100, (pool.running_slots / of) * 100)}%` }} /><span className="k-waiting" style={{ width: `${Math.min(100, (pool.queued_slots / of) * 100)}%` }} /></span>;
}

export function VariablesPage() {
  const [open, setOpen] = useState<Open<Schemas["VariableResponse"]>>();
  const close = () => setOpen(undefined);
  const write = useWrite("variables", close);
  const wanted = useFilter();
  const save = (values: Values) => {
    const body = { key: values.key, value: values.value ?? "", description: orNull(values.description) };
    if (open?.kind === "edit") write.mutate({ method: "PATCH", url: path`/api/v2/variables/${open.of.key}`, body, done: `${values.key} is saved.` });
    else write.mutate({ method: "POST", url: "/api/v2/variables", body, done: `${values.key} is made.` });
  };
  return (
    <>
      <Page title="Variables" query={useQuery(queries.variables())} add={() => setOpen({ kind: "add" })} empty={<Empty title="No variables here"><p>A task reads one by <code>{"{{ var.value.name }}"}</code> in a template. They are sealed in the database.</p></Empty>} rows={(data) => data.variables.filter((one) => wanted(`${one.key} ${one.description ?? ""}`)).map((one) => (
        <tr key={one.key}><td><b>{one.key}</b>{one.description && <div className="quiet">{one.description}</div>}</td><td><code className="cut value">{one.value ?? "its key is gone"}</code></td><td>{one.is_encrypted ? "sealed" : "plain"}</td>
          <td className="right"><button type="button" aria-label={`Edit ${one.key}`} onClick={() => setOpen({ kind: "edit", of: one })}>Edit</button> <button type="button" aria-label={`Delete ${one.key}`} onClick={() => setOpen({ kind: "delete", of: one })}>Delete</button></td></tr>
      ))}><tr><th scope="col">Key</th><th scope="col">Value</th><th scope="col">Kept</th><th scope="col"><span className="seen-by-ear">Actions</span></th></tr></Page>
      {(open?.kind === "edit" || open?.kind === "add") && (
        <Editor title={open.kind === "edit" ? `Variable ${open.of.key}` : "New variable"} close={close} save={save} error={write.error} busy={write.isPending}
          values={open.kind === "edit" ? { key: open.of.key, value: open.of.value ?? "", description: open.of.description ?? "" } : {}}
          fields={[{ name: "key", label: "Key", required: true, fixed: open.kind === "edit" }, { name: "value", label: "Value", kind: "area", hint: open.kind === "edit" && open.of.value === "***" ? "What is kept is not shown: write all of the new value" : undefined } as FieldOf, { name: "description", label: "Description" }]} />
      )}
      {open?.kind === "delete" && <Sure what={open.of.key} why="Templates that name it will fail." close={close} error={write.error} busy={write.isPending} act={() => write.mutate({ method: "DELETE", url: path`/api/v2/variables/${open.of.key}`, done: "The variable is deleted." })} />}
    </>
  );
}

const CONNECTION: FieldOf[] = [
  { name: "connection_id", label: "Name", required: true }, { name: "conn_type", label: "Type", required: true, hint: "postgres, http, aws, …" }, { name: "description", label: "Description" }, { name: "host", label: "Host" }, { name: "port", label: "Port", kind: "number" },
  { name: "login", label: "Login" }, { name: "password", label: "Password", kind: "password", hint: "Left empty, what is kept stays" }, { name: "schema", label: "Schema" }, { name: "extra", label: "Extra, as JSON", kind: "area" },
];

export function ConnectionsPage() {
  const [open, setOpen] = useState<Open<Schemas["ConnectionResponse"]>>();
  const close = () => setOpen(undefined);
  const write = useWrite("connections", close);
  const wanted = useFilter();
  const save = (values: Values) => {
    const body: Record<string, unknown> = { connection_id: values.connection_id, conn_type: values.conn_type };
    for (const name of ["description", "host", "login", "schema", "extra"]) body[name] = orNull(values[name]);
    body.port = values.port ? Number(values.port) : null;
    if (values.password) body.password = values.password;
    if (open?.kind === "edit") {
      const mask = Object.keys(body).filter((name) => name !== "connection_id").map((name) => `update_mask=${name}`).join("&");
      write.mutate({ method: "PATCH", url: `${path`/api/v2/connections/${open.of.connection_id}`}?${mask}`, body, done: `${values.connection_id} is saved.` });
    } else write.mutate({ method: "POST", url: "/api/v2/connections", body, done: `${values.connection_id} is made.` });
  };
  const valuesOf = (one: Schemas["ConnectionResponse"]): Values => ({ connection_id: one.connection_id, conn_type: one.conn_type, description: one.description ?? "", host: one.host ?? "", port: one.port === null || one.port === undefined ? "" : String(one.port), login: one.login ?? "", schema: one.schema ?? "", extra: one.extra ?? "" });
  return (
    <>
      <Page title="Connections" query={useQuery(queries.connections())} add={() => setOpen({ kind: "add" })} empty={<Empty title="No connections here"><p>A task reads one by <code>{"{{ conn.name.host }}"}</code> in a template. Many at once: <code>updraft connections import FILE</code></p></Empty>} rows={(data) => data.connections.filter((one) => wanted(`${one.connection_id} ${one.conn_type} ${one.host ?? ""}`)).map((one) => (
        <tr key={one.connection_id}><td><b>{one.connection_id}</b>{one.description && <div className="quiet">{one.description}</div>}</td><td>{one.conn_type}</td><td>{one.host}{one.port ? `:${one.port}` : ""}</td><td>{one.login}</td>
          <td className="right"><button type="button" aria-label={`Edit ${one.connection_id}`} onClick={() => setOpen({ kind: "edit", of: one })}>Edit</button> <button type="button" aria-label={`Delete ${one.connection_id}`} onClick={() => setOpen({ kind: "delete", of: one })}>Delete</button></td></tr>
      ))}><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Host</th><th scope="col">Login</th><th scope="col"><span className="seen-by-ear">Actions</span></th></tr></Page>
      {(open?.kind === "edit" || open?.kind === "add") && <Editor title={open.kind === "edit" ? `Connection ${open.of.connection_id}` : "New connection"} close={close} save={save} error={write.error} busy={write.isPending} values={open.kind === "edit" ? valuesOf(open.of) : {}} fields={CONNECTION.map((field) => (field.name === "connection_id" && open.kind === "edit" ? { ...field, fixed: true } : field))} />}
      {open?.kind === "delete" && <Sure what={open.of.connection_id} why="Templates that name it will fail." close={close} error={write.error} busy={write.isPending} act={() => write.mutate({ method: "DELETE", url: path`/api/v2/connections/${open.of.connection_id}`, done: "The connection is deleted." })} />}
    </>
  );
}

export function ImportErrorsPage() {
  const { data, error, refetch } = useQuery(queries.importErrors());
  if (error && !data) return <Failure whole error={error} retry={() => void refetch()} />;
  return (
    <>
      <div className="head"><h1>Import errors</h1></div>
      {!data ? <Skeleton rows={4} /> : data.import_errors.length === 0 ? <Empty title="Every file can be read"><p>Before a file is pushed, <code>updraft dags check FOLDER</code> says the same as is said here.</p></Empty> : data.import_errors.map((one) => (
        <section className="card" key={one.import_error_id}><h2>✗ {one.filename}</h2><p className="quiet">{one.bundle_name} · <Time at={one.timestamp} /> · its last good version goes on</p><pre tabIndex={0} className="doc">{one.stack_trace}</pre></section>
      ))}
    </>
  );
}
