// Pools, variables and connections. Loaded when one of them is asked for; what is edited is in the address.
import { type UseQueryResult, useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type ChangeEvent, type FormEvent, type ReactNode, useRef, useState } from "react";
import { type Schemas, path, send } from "../api/client";
import { queries, queryClient, useMay } from "../api/queries";
import { Empty, Failure, Field, Skeleton } from "../components/bits";
import { Dialog } from "../components/dialog";
import { complain, say } from "../components/toast";
import { PoolBar } from "./pool-bar";
import "./admin.css";

type Values = Record<string, string>;
interface FieldOf { name: string; label: string; hint?: string; kind?: "text" | "number" | "area" | "password" | "check"; required?: boolean; fixed?: boolean; choices?: string[] }

/** What is written, and what is said when it was. */
function useWrite(key: string, close: () => void) {
  return useMutation({
    mutationFn: ({ method, url, body }: { method: "POST" | "PATCH" | "DELETE"; url: string; body?: unknown; done: string }) => send(method, url, body),
    onSuccess: (_, { done }) => {
      close();
      say(done);
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: [key] }),
  });
}

/** What is being made, changed or deleted, in the address. */
function useOpen<T>(rows: T[] | undefined, name: (row: T) => string) {
  const search = useSearch({ strict: false }) as { add?: number; edit?: string; gone?: string };
  const navigate = useNavigate();
  const set = (next: object, replace: boolean) => void navigate({ to: ".", search: (old: object) => ({ ...old, add: undefined, edit: undefined, gone: undefined, ...next }), replace });
  const row = (wanted: string | undefined) => (wanted === undefined ? undefined : rows?.find((one) => name(one) === wanted));
  return {
    adding: Boolean(search.add), edited: row(search.edit), gone: row(search.gone), close: () => set({}, true),
    add: () => set({ add: 1 }, false), edit: (one: T) => set({ edit: name(one) }, false), remove: (one: T) => set({ gone: name(one) }, false),
  };
}

function Editor({ title, fields, values, save, error, busy, close }: { title: string; fields: (values: Values) => FieldOf[]; values: Values; save: (values: Values) => void; error: Error | null; busy: boolean; close: () => void }) {
  const [now, setNow] = useState(values);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save(now);
  };
  return (
    <Dialog open close={close} title={title}>
      <form className="form" onSubmit={submit}>
        {fields(now).map((field) => (
          <Field key={field.name} label={field.label} hint={field.hint}>
            {(props) => {
              if (field.kind === "check") return <input {...props} type="checkbox" checked={now[field.name] === "true"} onChange={(event) => setNow({ ...now, [field.name]: String(event.target.checked) })} />;
              const common = { ...props, value: now[field.name] ?? "", required: field.required ?? false, disabled: field.fixed ?? false, onChange: (event: { target: { value: string } }) => setNow({ ...now, [field.name]: event.target.value }) };
              if (field.kind === "area") return <textarea {...common} rows={4} spellCheck={false} />;
              return <><input {...common} list={field.choices ? `${props.id}-choices` : undefined} type={field.kind ?? "text"} autoComplete={field.kind === "password" ? "new-password" : "off"} />{field.choices && <datalist id={`${props.id}-choices`}>{field.choices.map((one) => <option key={one}>{one}</option>)}</datalist>}</>;
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

function Page<T>({ title, query, empty, add, more, rows, children }: { title: string; query: UseQueryResult<T>; empty: ReactNode; add?: (() => void) | undefined; more?: ReactNode; rows: (data: T) => ReactNode[]; children: ReactNode }) {
  const { data, error, refetch } = query;
  const { q } = useSearch({ strict: false }) as { q?: string };
  const found = data ? rows(data) : [];
  return (
    <>
      <div className="head"><h1>{title}</h1><Search />{more}{add && <button type="button" className="primary" onClick={add}>+ Add</button>}</div>
      {error && !data ? <Failure error={error} retry={() => void refetch()} /> : !data ? <Skeleton rows={4} /> : found.length === 0 ? (q ? <Empty title={`Nothing here has “${q}” in it`} /> : empty) : <div className="scroll" tabIndex={0} role="region" aria-label={title}><table><thead>{children}</thead><tbody>{found}</tbody></table></div>}
    </>
  );
}

/** Edit and delete, as far as one may. */
function Acts({ name, edit, remove }: { name: string; edit: (() => void) | false; remove: (() => void) | false }) {
  return <td className="right">{edit && <button type="button" aria-label={`Edit ${name}`} onClick={edit}>Edit</button>} {remove && <button type="button" aria-label={`Delete ${name}`} onClick={remove}>Delete</button>}</td>;
}

function useFilter(): (text: string) => boolean {
  const { q } = useSearch({ strict: false }) as { q?: string };
  return (text) => !q || text.toLowerCase().includes(q.toLowerCase());
}

function Search() {
  const { q } = useSearch({ strict: false }) as { q?: string };
  const navigate = useNavigate();
  return <input type="search" data-search className="search" aria-label="Search in this list" placeholder="Search  ( / )" value={q ?? ""} onChange={(event) => void navigate({ to: ".", search: (old: object) => ({ ...old, q: event.target.value || undefined }), replace: true })} />;
}

const orNull = (text: string | undefined) => (text ? text : null);

export function PoolsPage() {
  const query = useQuery(queries.pools());
  const open = useOpen(query.data?.pools, (pool) => pool.name);
  const may = useMay();
  const write = useWrite("pools", open.close);
  const wanted = useFilter();
  const { edited, gone } = open;
  const save = (values: Values) => {
    const body = { name: values.name, slots: Number(values.slots), description: orNull(values.description) };
    // The default pool's name and description are Airflow's.
    const fixed = edited?.name === "default_pool";
    if (edited) write.mutate({ method: "PATCH", url: path`/api/v2/pools/${edited.name}` + (fixed ? "?update_mask=slots" : "?update_mask=slots&update_mask=description"), body: { ...body, include_deferred: edited.include_deferred }, done: `The pool ${values.name} is saved.` });
    else write.mutate({ method: "POST", url: "/api/v2/pools", body, done: `The pool ${values.name} is made.` });
  };
  return (
    <>
      <Page title="Pools" query={query} add={may("pools.create") ? open.add : undefined} empty={<Empty title="No pool matches" />} rows={(data) => data.pools.filter((pool) => wanted(`${pool.name} ${pool.description ?? ""}`)).map((pool) => (
        <tr key={pool.name}>
          <td><b className="wrap">{pool.name}</b>{pool.description && <div className="quiet wrap">{pool.description}</div>}</td>
          <td className="bar-cell"><PoolBar pool={pool} /></td>
          <td className="num">{pool.slots < 0 ? "no limit" : pool.slots}</td><td className="num">{pool.running_slots}</td><td className="num">{pool.queued_slots}</td><td className="num">{pool.scheduled_slots}</td><td className="num">{pool.open_slots < 0 ? "" : pool.open_slots}</td>
          <Acts name={pool.name} edit={may("pools.edit") && (() => open.edit(pool))} remove={may("pools.delete") && pool.name !== "default_pool" && (() => open.remove(pool))} />
        </tr>
      ))}><tr><th scope="col">Pool</th><th scope="col">Use</th><th scope="col" className="num">Slots</th><th scope="col" className="num">Running</th><th scope="col" className="num">Queued</th><th scope="col" className="num">Waiting</th><th scope="col" className="num">Free</th><th scope="col"><span className="seen-by-ear">Actions</span></th></tr></Page>
      {(open.adding || edited) && (
        <Editor title={edited ? `Pool ${edited.name}` : "New pool"} close={open.close} save={save} error={write.error} busy={write.isPending}
          values={edited ? { name: edited.name, slots: String(edited.slots), description: edited.description ?? "" } : { slots: "8" }}
          fields={() => [{ name: "name", label: "Name", required: true, fixed: Boolean(edited) }, { name: "slots", label: "Slots", kind: "number", required: true, hint: "How many may be in use at once; -1 is no limit" }, { name: "description", label: "Description", fixed: edited?.name === "default_pool" }]} />
      )}
      {gone && <Sure what={gone.name} why="Tasks that name it will wait until it is there again." close={open.close} error={write.error} busy={write.isPending} act={() => write.mutate({ method: "DELETE", url: path`/api/v2/pools/${gone.name}`, done: "The pool is deleted." })} />}
    </>
  );
}

export function VariablesPage() {
  const query = useQuery(queries.variables());
  const open = useOpen(query.data?.variables, (one) => one.key);
  const may = useMay();
  const write = useWrite("variables", open.close);
  const wanted = useFilter();
  const { edited, gone } = open;
  const save = (values: Values) => {
    const body = { key: values.key, value: values.value ?? "", description: orNull(values.description) };
    if (edited) write.mutate({ method: "PATCH", url: path`/api/v2/variables/${edited.key}`, body, done: `${values.key} is saved.` });
    else write.mutate({ method: "POST", url: "/api/v2/variables", body, done: `${values.key} is made.` });
  };
  return (
    <>
      <Page title="Variables" query={query} add={may("variables.create") ? open.add : undefined} more={query.data && <Transfer variables={query.data.variables} may={may("variables.edit") && may("variables.create")} />} empty={<Empty title="No variables here"><p>A task reads one by <code>{"{{ var.value.name }}"}</code> in a template. They are sealed in the database.</p></Empty>} rows={(data) => data.variables.filter((one) => wanted(`${one.key} ${one.description ?? ""}`)).map((one) => (
        <tr key={one.key}><td><b className="wrap">{one.key}</b>{one.description && <div className="quiet wrap">{one.description}</div>}</td><td><code className="cut value">{one.value ?? "its key is gone"}</code></td><td>{one.is_encrypted ? "sealed" : "plain"}</td>
          <Acts name={one.key} edit={may("variables.edit") && (() => open.edit(one))} remove={may("variables.delete") && (() => open.remove(one))} /></tr>
      ))}><tr><th scope="col">Key</th><th scope="col">Value</th><th scope="col">Kept</th><th scope="col"><span className="seen-by-ear">Actions</span></th></tr></Page>
      {(open.adding || edited) && (
        <Editor title={edited ? `Variable ${edited.key}` : "New variable"} close={open.close} save={save} error={write.error} busy={write.isPending}
          values={edited ? { key: edited.key, value: edited.value ?? "", description: edited.description ?? "" } : {}}
          fields={() => [{ name: "key", label: "Key", required: true, fixed: Boolean(edited) }, { name: "value", label: "Value", kind: "area", ...(edited?.value === MASK ? { hint: "What is kept is not shown: left so it stays, otherwise write all of the new value" } : {}) }, { name: "description", label: "Description" }]} />
      )}
      {gone && <Sure what={gone.key} why="Templates that name it will fail." close={open.close} error={write.error} busy={write.isPending} act={() => write.mutate({ method: "DELETE", url: path`/api/v2/variables/${gone.key}`, done: "The variable is deleted." })} />}
    </>
  );
}

/** What stands for a value that is not shown. */
const MASK = "***";
type Given = { key: string; value: string; description?: string };

/** As `airflow variables export` writes them: names with values, or with a value and a description. */
function readVariables(text: string): Given[] {
  const found = JSON.parse(text) as unknown;
  if (typeof found !== "object" || found === null || Array.isArray(found)) throw new Error("The file must be JSON: { \"name\": \"value\" }");
  return Object.entries(found).map(([key, value]) => {
    const whole: { value: unknown; description?: unknown } = typeof value === "object" && value !== null && "value" in value ? (value as { value: unknown }) : { value: value as unknown };
    return { key, value: typeof whole.value === "string" ? whole.value : JSON.stringify(whole.value), ...(typeof whole.description === "string" ? { description: whole.description } : {}) };
  });
}

function Transfer({ variables, may }: { variables: Schemas["VariableResponse"][]; may: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  const [given, setGiven] = useState<Given[]>();
  const save = () => {
    const shown = variables.filter((one) => one.value !== null && one.value !== MASK);
    const all = Object.fromEntries(shown.map((one) => [one.key, one.description ? { value: one.value, description: one.description } : one.value]));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${JSON.stringify(all, null, 2)}\n`], { type: "application/json" }));
    link.download = "variables.json";
    link.click();
    URL.revokeObjectURL(link.href);
    const left = variables.length - shown.length;
    if (left) say(`${shown.length} are in the file. ${left} are not: their names are those of secrets, and their values are not shown.`);
  };
  const read = (event: ChangeEvent<HTMLInputElement>) => {
    const file = event.target.files?.[0];
    event.target.value = "";
    void file?.text().then((text) => setGiven(readVariables(text))).catch(complain);
  };
  return (
    <>
      <button type="button" disabled={variables.length === 0} onClick={save}>Export</button>
      {may && <><button type="button" onClick={() => input.current?.click()}>Import…</button><input ref={input} type="file" accept=".json,application/json" hidden aria-label="A file of variables" onChange={read} /></>}
      {given && <Import given={given} known={variables} close={() => setGiven(undefined)} />}
    </>
  );
}

function Import({ given, known, close }: { given: Given[]; known: Schemas["VariableResponse"][]; close: () => void }) {
  const [over, setOver] = useState(false);
  const there = given.filter((one) => known.some((each) => each.key === one.key));
  const masked = given.filter((one) => one.value === MASK);
  const taken = given.filter((one) => one.value !== MASK && (over || !there.includes(one)));
  const doing = useMutation({
    mutationFn: () => send<Schemas["BulkResponse"]>("PATCH", "/api/v2/variables", { actions: [{ action: "create", entities: taken, action_on_existence: over ? "overwrite" : "skip" }] }),
    onSuccess: (done) => {
      const wrong = done.create?.errors?.length ?? 0;
      close();
      say(wrong ? `${wrong} could not be written.` : taken.length === 1 ? "1 variable is written." : `${taken.length} variables are written.`, wrong > 0);
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["variables"] }),
  });
  return (
    <Dialog open close={close} title="Import variables">
      <p>The file has {given.length === 1 ? "1 variable" : `${given.length} variables`}, {there.length} of which {there.length === 1 ? "is" : "are"} here already.{masked.length > 0 && ` ${masked.length} have no value but ${MASK} and are left out.`}</p>
      {there.length > 0 && <p><label><input type="checkbox" checked={over} onChange={(event) => setOver(event.target.checked)} /> Write over those that are here</label></p>}
      <ul className="preview">{taken.slice(0, 100).map((one) => <li key={one.key}><span>{one.key}</span><span className="quiet">{there.includes(one) ? "written over" : "new"}</span></li>)}</ul>
      {doing.error && <p className="wrong" role="alert">{doing.error.message}</p>}
      <footer><button type="button" onClick={close}>Cancel</button><button type="button" className="primary" disabled={taken.length === 0 || doing.isPending} onClick={() => doing.mutate()}>Write {taken.length}</button></footer>
    </Dialog>
  );
}

/** Kinds of connections, with what their fields mean where that is another thing than their names say. */
const KINDS: Record<string, { port?: string; host?: string; schema?: string; login?: string; password?: string; extra?: string }> = {
  postgres: { port: "5432", schema: "Database", extra: '{"sslmode": "require"}' }, mysql: { port: "3306", schema: "Database" }, mssql: { port: "1433", schema: "Database" }, oracle: { port: "1521", schema: "Service name" }, snowflake: { schema: "Schema", extra: '{"account": "…", "warehouse": "…"}' },
  redis: { port: "6379", extra: '{"db": 0}' }, mongo: { port: "27017", schema: "Database" }, http: { host: "Base URL", schema: "Scheme: http or https", extra: "Headers, as JSON" }, ssh: { port: "22", extra: '{"key_file": "/path"}' }, sftp: { port: "22" }, ftp: { port: "21" },
  smtp: { port: "587", extra: '{"from_email": "…"}' }, aws: { login: "Access key id", password: "Secret access key", extra: '{"region_name": "eu-west-1"}' }, google_cloud_platform: { extra: '{"project": "…", "keyfile_dict": "…"}' }, wasb: { login: "Storage account", password: "Key" },
  kubernetes: { extra: '{"in_cluster": true}' }, slack: { password: "Token" }, elasticsearch: { port: "9200" }, kafka: { extra: '{"bootstrap.servers": "…"}' }, trino: { port: "8080", schema: "Catalog" }, databricks: { password: "Token" }, generic: {},
};

function fieldsOf(values: Values, fixed: boolean): FieldOf[] {
  const kind = KINDS[values.conn_type ?? ""] ?? {};
  return [
    { name: "connection_id", label: "Name", required: true, fixed }, { name: "conn_type", label: "Type", required: true, choices: Object.keys(KINDS), hint: "One of the list, or what the task's own hook expects" }, { name: "description", label: "Description" },
    { name: "host", label: kind.host ?? "Host" }, { name: "port", label: "Port", kind: "number", ...(kind.port ? { hint: `Usually ${kind.port}` } : {}) }, { name: "login", label: kind.login ?? "Login" },
    { name: "password", label: kind.password ?? "Password", kind: "password", ...(fixed ? { hint: "Left empty, what is kept stays" } : {}) }, { name: "schema", label: kind.schema ?? "Schema" }, { name: "extra", label: "Extra, as JSON", kind: "area", ...(kind.extra ? { hint: `For example ${kind.extra}` } : {}) },
  ];
}

export function ConnectionsPage() {
  const query = useQuery(queries.connections());
  const open = useOpen(query.data?.connections, (one) => one.connection_id);
  const may = useMay();
  const write = useWrite("connections", open.close);
  const wanted = useFilter();
  const { edited, gone } = open;
  const save = (values: Values) => {
    const body: Record<string, unknown> = { connection_id: values.connection_id, conn_type: values.conn_type };
    for (const name of ["description", "host", "login", "schema", "extra"]) body[name] = orNull(values[name]);
    body.port = values.port ? Number(values.port) : null;
    if (values.password) body.password = values.password;
    if (edited) {
      const mask = Object.keys(body).filter((name) => name !== "connection_id").map((name) => `update_mask=${name}`).join("&");
      write.mutate({ method: "PATCH", url: `${path`/api/v2/connections/${edited.connection_id}`}?${mask}`, body, done: `${values.connection_id} is saved.` });
    } else write.mutate({ method: "POST", url: "/api/v2/connections", body, done: `${values.connection_id} is made.` });
  };
  const valuesOf = (one: Schemas["ConnectionResponse"]): Values => ({ connection_id: one.connection_id, conn_type: one.conn_type, description: one.description ?? "", host: one.host ?? "", port: one.port === null || one.port === undefined ? "" : String(one.port), login: one.login ?? "", schema: one.schema ?? "", extra: one.extra ?? "" });
  return (
    <>
      <Page title="Connections" query={query} add={may("connections.create") ? open.add : undefined} empty={<Empty title="No connections here"><p>A task reads one by <code>{"{{ conn.name.host }}"}</code> in a template. Many at once: <code>updraft connections import FILE</code></p></Empty>} rows={(data) => data.connections.filter((one) => wanted(`${one.connection_id} ${one.conn_type} ${one.host ?? ""}`)).map((one) => (
        <tr key={one.connection_id}><td><b className="wrap">{one.connection_id}</b>{one.description && <div className="quiet wrap">{one.description}</div>}</td><td className="wrap">{one.conn_type}</td><td className="wrap">{one.host}{one.port ? `:${one.port}` : ""}</td><td className="wrap">{one.schema}</td><td className="wrap">{one.login}</td>
          <Acts name={one.connection_id} edit={may("connections.edit") && (() => open.edit(one))} remove={may("connections.delete") && (() => open.remove(one))} /></tr>
      ))}><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Host</th><th scope="col">Schema</th><th scope="col">Login</th><th scope="col"><span className="seen-by-ear">Actions</span></th></tr></Page>
      {(open.adding || edited) && <Editor title={edited ? `Connection ${edited.connection_id}` : "New connection"} close={open.close} save={save} error={write.error} busy={write.isPending} values={edited ? valuesOf(edited) : {}} fields={(values) => fieldsOf(values, Boolean(edited))} />}
      {gone && <Sure what={gone.connection_id} why="Templates that name it will fail." close={open.close} error={write.error} busy={write.isPending} act={() => write.mutate({ method: "DELETE", url: path`/api/v2/connections/${gone.connection_id}`, done: "The connection is deleted." })} />}
    </>
  );
}
