// Users with their roles, and personal tokens. Only what one may do is offered; the server decides.
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { ApiError, type Schemas, path, send } from "../api/client";
import { queries, queryClient, useMay } from "../api/queries";
import { Empty, Failure, Field, Mark, Skeleton, Time } from "../components/bits";
import { Dialog } from "../components/dialog";
import { Menu } from "../components/menu";
import { complain, say } from "../components/toast";
import "./admin.css";

type User = Schemas["User"];
type Role = Schemas["Role"];
type Has = { role: string; scope: string };
const SHORTEST = 12;

function useSave(key: string, close: () => void) {
  return useMutation({
    mutationFn: ({ method, url, body }: { method: "POST" | "PATCH" | "PUT" | "DELETE"; url: string; body?: unknown; done: string }) => send(method, url, body),
    onSuccess: (_, { done }) => {
      close();
      say(done);
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: [key] }),
  });
}

/** Something that nobody guesses, without letters that look alike. */
function password(): string {
  const letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
  const numbers = crypto.getRandomValues(new Uint32Array(20));
  return [...numbers].map((number) => letters[number % letters.length]).join("").replace(/(.{5})(?=.)/g, "$1-");
}

export function Copy({ text, what }: { text: string; what: string }) {
  const copy = () => navigator.clipboard.writeText(text).then(() => say(`${what} is copied.`), () => say("This browser does not let the page copy: select it, and copy it by hand.", true));
  return <div className="secret"><code>{text}</code><button type="button" onClick={() => void copy()}>Copy</button></div>;
}

export function UsersPage() {
  const search = useSearch({ from: "/users" });
  const navigate = useNavigate({ from: "/users" });
  const { data, error, refetch } = useQuery(queries.users());
  const roles = useQuery(queries.roles());
  const me = useQuery(queries.me());
  const may = useMay();
  const [acting, setActing] = useState<{ kind: "password" | "delete"; user: User }>();
  const close = () => void navigate({ search: (old) => ({ ...old, add: undefined, edit: undefined, role: undefined }), replace: true });
  const act = useSave("users", () => setActing(undefined));
  if (error && !data) return <Failure whole error={error} retry={() => void refetch()} />;
  const wanted = (search.q ?? "").toLowerCase();
  const users = (data?.users ?? []).filter((one) => `${one.name} ${one.display_name ?? ""} ${one.email ?? ""} ${one.roles.map((role) => role.role).join(" ")}`.toLowerCase().includes(wanted));
  const edited = data?.users.find((one) => one.name === search.edit);
  const own = me.data?.name === "anonymous";
  return (
    <>
      <div className="head"><h1>Users</h1>
        <input type="search" data-search className="search" aria-label="Search in this list" placeholder="Search  ( / )" value={search.q ?? ""} onChange={(event) => void navigate({ search: (old) => ({ ...old, q: event.target.value || undefined }), replace: true })} />
        {may("users.create") && <button type="button" className="primary" onClick={() => void navigate({ search: (old) => ({ ...old, add: 1 }) })}>+ Add a user</button>}
      </div>
      {own && <p className="notice plain"><Mark state="queued" /><span>This installation listens on this host alone and asks nobody who they are. Users count when it has a password: <code>UPDRAFT_API_PASSWORD</code>.</span></p>}
      {!data ? <Skeleton rows={4} /> : users.length === 0 ? <Empty title={data.users.length ? "No user matches" : "No users yet"}><p>The deployment's own account needs none. On the command line: <code>updraft users create NAME --role viewer</code></p></Empty> : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Users, a table"><table>
          <thead><tr><th scope="col">User</th><th scope="col">Roles</th><th scope="col">Logs in by</th><th scope="col">State</th><th scope="col">Last login</th><th scope="col"><span className="seen-by-ear">Actions</span></th></tr></thead>
          <tbody>{users.map((one) => (
            <tr key={one.name}>
              <td><b className="wrap">{one.name}</b><div className="quiet wrap">{[one.display_name, one.email].filter(Boolean).join(" · ")}</div></td>
              <td>{one.roles.length === 0 ? <span className="quiet">none: may do nothing</span> : one.roles.map((role) => <span className="tag wrap" key={`${role.role} ${role.scope}`}>{role.role}{role.scope !== "*" && ` over ${role.scope}`}</span>)}</td>
              <td className="wrap">{[one.has_password && "password", one.origin].filter(Boolean).join(", ") || <span className="quiet">nothing yet</span>}</td>
              <td><span className="state"><Mark state={one.active ? "success" : "removed"} />{one.active ? "active" : "shut out"}</span></td>
              <td>{one.last_login_at ? <Time at={one.last_login_at} /> : <span className="quiet">never</span>}</td>
              <td className="right">{may("users.edit") && <button type="button" aria-label={`Edit ${one.name}`} onClick={() => void navigate({ search: (old) => ({ ...old, edit: one.name }) })}>Edit</button>}{" "}
                {(may("users.edit") || may("users.delete")) && <Menu label={`More for ${one.name}`} items={[
                  ...(may("users.edit") ? [{ name: "Set a password…", act: () => setActing({ kind: "password" as const, user: one }) }, one.active
                    ? { name: "Shut out", act: () => act.mutate({ method: "PATCH", url: path`/ui/users/${one.name}`, body: { active: false }, done: `${one.name} is shut out: sessions and tokens are void.` }, { onError: complain }) }
                    : { name: "Let in again", act: () => act.mutate({ method: "PATCH", url: path`/ui/users/${one.name}`, body: { active: true }, done: `${one.name} may log in again.` }, { onError: complain }) }] : []),
                  ...(may("users.delete") ? [{ name: "Delete…", act: () => setActing({ kind: "delete" as const, user: one }) }] : []),
                ]}>⋯</Menu>}</td>
            </tr>
          ))}</tbody>
        </table></div>
      )}
      {roles.data && <Roles roles={roles.data.roles} edit={(name) => void navigate({ search: (old) => ({ ...old, role: name }) })} />}
      {search.add && roles.data && <UserForm roles={roles.data.roles} close={close} />}
      {edited && roles.data && <UserForm user={edited} roles={roles.data.roles} close={close} />}
      {search.role !== undefined && roles.data && <RoleForm name={search.role} roles={roles.data.roles} close={close} />}
      {acting?.kind === "password" && <PasswordForm user={acting.user} close={() => setActing(undefined)} />}
      {acting?.kind === "delete" && (
        <Dialog open close={() => setActing(undefined)} title={`Delete ${acting.user.name}?`}>
          <p>Their sessions and tokens are void at once. What they did stays in the audit log.</p>
          {act.error && <p className="wrong" role="alert">{act.error.message}</p>}
          <footer><button type="button" onClick={() => setActing(undefined)}>Cancel</button><button type="button" className="danger" disabled={act.isPending} onClick={() => act.mutate({ method: "DELETE", url: path`/ui/users/${acting.user.name}`, done: `${acting.user.name} is deleted.` })}>Delete</button></footer>
        </Dialog>
      )}
    </>
  );
}

function RoleList({ has, roles, change }: { has: Has[]; roles: Role[]; change: (has: Has[]) => void }) {
  const set = (at: number, next: Partial<Has>) => change(has.map((one, n) => (n === at ? { ...one, ...next } : one)));
  return (
    <fieldset>
      <legend>Roles</legend>
      <ul className="roles">{has.map((one, at) => (
        <li key={at}>
          <select aria-label={`Role ${at + 1}`} value={one.role} onChange={(event) => set(at, { role: event.target.value })}>{roles.map((role) => <option key={role.name}>{role.name}</option>)}</select>
          over <input aria-label={`What role ${at + 1} is over`} value={one.scope} required pattern="\*|(dag|tag|owner|bundle):.+" title="*, dag:GLOB, tag:NAME, owner:NAME or bundle:NAME" onChange={(event) => set(at, { scope: event.target.value })} />
          <button type="button" className="plain" aria-label={`Take role ${at + 1} away`} onClick={() => change(has.filter((_, n) => n !== at))}>×</button>
        </li>
      ))}</ul>
      <p><button type="button" onClick={() => change([...has, { role: "viewer", scope: "*" }])}>+ Role</button></p>
      <p className="quiet">Over <code>*</code>, everything, or over some DAGs: <code>dag:etl_*</code>, <code>tag:team-a</code>, <code>owner:eve</code>, <code>bundle:dags</code></p>
    </fieldset>
  );
}

function UserForm({ user, roles, close }: { user?: User; roles: Role[]; close: () => void }) {
  const [now, setNow] = useState({ name: user?.name ?? "", display_name: user?.display_name ?? "", email: user?.email ?? "" });
  const [has, setHas] = useState<Has[]>(user?.roles ?? [{ role: "viewer", scope: "*" }]);
  const [secret, setSecret] = useState("");
  const save = useSave("users", close);
  const set = (name: string) => (event: { target: { value: string } }) => setNow({ ...now, [name]: event.target.value });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const body = { display_name: now.display_name, email: now.email, roles: has };
    if (user) save.mutate({ method: "PATCH", url: path`/ui/users/${user.name}`, body, done: `${user.name} is saved.` });
    else save.mutate({ method: "POST", url: "/ui/users", body: { ...body, name: now.name, ...(secret ? { password: secret } : {}) }, done: `${now.name} is made.` });
  };
  return (
    <Dialog open close={close} title={user ? `User ${user.name}` : "New user"}>
      <form className="form" onSubmit={submit}>
        {!user && <Field label="Name" hint="What they log in with: letters, digits and -_.@">{(props) => <input {...props} required maxLength={100} pattern="[A-Za-z0-9\-_.@]+" autoComplete="off" value={now.name} onChange={set("name")} />}</Field>}
        <div className="pair">
          <Field label="Shown as">{(props) => <input {...props} autoComplete="off" value={now.display_name} onChange={set("display_name")} />}</Field>
          <Field label="E-mail">{(props) => <input {...props} type="email" autoComplete="off" value={now.email} onChange={set("email")} />}</Field>
        </div>
        <RoleList has={has} roles={roles} change={setHas} />
        {!user && <Secret value={secret} change={setSecret} />}
        {save.error && <p className="wrong" role="alert">{save.error.message}</p>}
        <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={save.isPending}>{user ? "Save" : "Add"}</button></footer>
      </form>
    </Dialog>
  );
}

function Secret({ value, change, required }: { value: string; change: (value: string) => void; required?: boolean }) {
  const [made, setMade] = useState("");
  return (
    <>
      <Field label="Password" hint={required ? `At least ${SHORTEST} characters` : `At least ${SHORTEST} characters; without one they log in by OpenID Connect, or not at all`}>{(props) => <input {...props} type="password" autoComplete="new-password" required={required ?? false} minLength={SHORTEST} value={value} onChange={(event) => { change(event.target.value); setMade(""); }} />}</Field>
      <p><button type="button" onClick={() => { const next = password(); setMade(next); change(next); }}>Make one up</button></p>
      {made && <><p>Give it to them now: it is shown here only.</p><Copy text={made} what="The password" /></>}
    </>
  );
}

function PasswordForm({ user, close }: { user: User; close: () => void }) {
  const [secret, setSecret] = useState("");
  const save = useSave("users", close);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate({ method: "PATCH", url: path`/ui/users/${user.name}`, body: { password: secret }, done: `${user.name} has another password: their sessions are void.` });
  };
  return (
    <Dialog open close={close} title={`Password of ${user.name}`}>
      <form className="form" onSubmit={submit}>
        <Secret required value={secret} change={setSecret} />
        {save.error && <p className="wrong" role="alert">{save.error.message}</p>}
        <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={save.isPending}>Set</button></footer>
      </form>
    </Dialog>
  );
}

function Roles({ roles, edit }: { roles: Role[]; edit: (name: string) => void }) {
  const may = useMay();
  const gone = useSave("roles", () => undefined);
  return (
    <section className="part" aria-label="Roles">
      <h2>Roles {may("users.create") && <button type="button" onClick={() => edit("")}>+ Add a role</button>}</h2>
      <div className="scroll" tabIndex={0} role="region" aria-label="Roles, a table"><table>
        <thead><tr><th scope="col">Role</th><th scope="col">Permits</th><th scope="col"><span className="seen-by-ear">Actions</span></th></tr></thead>
        <tbody>{roles.map((one) => (
          <tr key={one.name}><td><b className="wrap">{one.name}</b>{one.built_in && <div className="quiet">built in</div>}</td><td><details><summary>{one.permissions.length === 1 ? "1 permission" : `${one.permissions.length} permissions`}</summary><span className="quiet wrap">{one.permissions.join(", ")}</span></details></td>
            <td className="right">{!one.built_in && <>{may("users.edit") && <button type="button" aria-label={`Edit the role ${one.name}`} onClick={() => edit(one.name)}>Edit</button>} {may("users.delete") && <button type="button" aria-label={`Delete the role ${one.name}`} onClick={() => gone.mutate({ method: "DELETE", url: path`/ui/roles/${one.name}`, done: `The role ${one.name} is deleted.` }, { onError: complain })}>Delete</button>}</>}</td></tr>
        ))}</tbody>
      </table></div>
    </section>
  );
}

function Permissions({ all, chosen, change, name }: { all: string[]; chosen: string[]; change: (chosen: string[]) => void; name: string }) {
  return (
    <fieldset>
      <legend>{name}</legend>
      <div className="permissions" tabIndex={0} role="group" aria-label={name}>{all.map((one) => <label key={one}><input type="checkbox" checked={chosen.includes(one)} onChange={(event) => change(event.target.checked ? [...chosen, one] : chosen.filter((each) => each !== one))} /> {one}</label>)}</div>
    </fieldset>
  );
}

function RoleForm({ name, roles, close }: { name: string; roles: Role[]; close: () => void }) {
  const before = roles.find((one) => one.name === name && !one.built_in);
  const all = roles.find((one) => one.name === "admin")?.permissions ?? [];
  const [called, setCalled] = useState(name);
  const [chosen, setChosen] = useState(before?.permissions ?? roles.find((one) => one.name === "viewer")?.permissions ?? []);
  const save = useSave("roles", close);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (before) save.mutate({ method: "PATCH", url: path`/ui/roles/${name}`, body: { permissions: chosen }, done: `The role ${name} is saved.` });
    else save.mutate({ method: "POST", url: "/ui/roles", body: { name: called, permissions: chosen }, done: `The role ${called} is made.` });
  };
  return (
    <Dialog open wide close={close} title={before ? `Role ${name}` : "New role"}>
      <form className="form" onSubmit={submit}>
        {!before && <Field label="Name">{(props) => <input {...props} required maxLength={100} pattern="[A-Za-z0-9\-_.@]+" value={called} onChange={(event) => setCalled(event.target.value)} />}</Field>}
        <Permissions all={all} chosen={chosen} change={setChosen} name="Permits" />
        {save.error && <p className="wrong" role="alert">{save.error.message}</p>}
        <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={save.isPending}>{before ? "Save" : "Add"}</button></footer>
      </form>
    </Dialog>
  );
}

export function TokensPage() {
  const search = useSearch({ from: "/tokens" });
  const navigate = useNavigate({ from: "/tokens" });
  const may = useMay();
  const me = useQuery(queries.me());
  const all = Boolean(search.all);
  const { data, error, refetch } = useQuery(queries.tokens(all));
  const [voided, setVoided] = useState<Schemas["PersonalToken"]>();
  const [changing, setChanging] = useState(false);
  const revoke = useSave("tokens", () => setVoided(undefined));
  const close = () => void navigate({ search: (old) => ({ ...old, add: undefined }), replace: true });
  const nobody = error instanceof ApiError && error.status === 409;
  return (
    <>
      <div className="head"><h1>Tokens</h1>
        {may("users.read") && !nobody && <label className="inline"><input type="checkbox" checked={all} onChange={(event) => void navigate({ search: (old) => ({ ...old, all: event.target.checked ? 1 : undefined }) })} /> Everybody's</label>}
        {data && <div className="actions"><button type="button" onClick={() => setChanging(true)}>Change my password…</button><button type="button" className="primary" onClick={() => void navigate({ search: (old) => ({ ...old, add: 1 }) })}>+ New token</button></div>}
      </div>
      <p className="quiet">A token stands for a person in programs: <code>Authorization: Bearer …</code>, <code>UPDRAFT_API_TOKEN</code>. It may do what they may, or less.</p>
      {nobody ? <Empty title="Nobody logs in here"><p>This installation listens on this host alone and asks nobody who they are, so programs need no token.</p></Empty> : error && !data ? <Failure error={error} retry={() => void refetch()} /> : !data ? <Skeleton rows={3} /> : data.tokens.length === 0 ? <Empty title="No tokens" /> : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Tokens, a table"><table>
          <thead><tr><th scope="col">Token</th>{all && <th scope="col">Of</th>}<th scope="col">May</th><th scope="col">Good until</th><th scope="col">Last used</th><th scope="col">Made</th><th scope="col"><span className="seen-by-ear">Actions</span></th></tr></thead>
          <tbody>{data.tokens.map((one) => (
            <tr key={one.id}>
              <td><b className="wrap">{one.name}</b></td>{all && <td>{one.user}</td>}
              <td>{one.permissions ? <details><summary>{one.permissions.length === 1 ? "1 permission" : `${one.permissions.length} permissions`}</summary><span className="quiet wrap">{one.permissions.join(", ")}</span></details> : "all that its user may"}</td>
              <td>{one.expired && <span className="wrong">✗ expired </span>}<Time at={one.expires_at} /></td><td>{one.last_used_at ? <Time at={one.last_used_at} /> : <span className="quiet">never</span>}</td><td><Time at={one.created_at} /></td>
              <td className="right">{(one.user === me.data?.name || may("users.edit")) && <button type="button" aria-label={`Revoke ${one.name}`} onClick={() => setVoided(one)}>Revoke…</button>}</td>
            </tr>
          ))}</tbody>
        </table></div>
      )}
      {search.add && data && <TokenForm close={close} mine={Object.keys(me.data?.permissions ?? {})} />}
      {changing && <OwnPassword close={() => setChanging(false)} />}
      {voided && (
        <Dialog open close={() => setVoided(undefined)} title={`Revoke ${voided.name}?`}>
          <p>Programs that use it are refused from now on. It does not come back.</p>
          {revoke.error && <p className="wrong" role="alert">{revoke.error.message}</p>}
          <footer><button type="button" onClick={() => setVoided(undefined)}>Cancel</button><button type="button" className="danger" disabled={revoke.isPending} onClick={() => revoke.mutate({ method: "DELETE", url: path`/ui/tokens/${voided.id}`, done: `${voided.name} is void.` })}>Revoke</button></footer>
        </Dialog>
      )}
    </>
  );
}

function TokenForm({ close, mine }: { close: () => void; mine: string[] }) {
  const [now, setNow] = useState({ name: "", days: "90" });
  const [some, setSome] = useState(false);
  const [chosen, setChosen] = useState<string[]>([]);
  const make = useMutation({
    mutationFn: () => send<Schemas["NewToken"]>("POST", "/ui/tokens", { name: now.name, days: Number(now.days), ...(some ? { permissions: chosen } : {}) }),
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["tokens"] }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    make.mutate();
  };
  if (make.data) return (
    <Dialog open close={close} title={`The token ${make.data.name}`}>
      <p><strong>Copy it now: it is not shown again.</strong> It is good until <Time at={make.data.expires_at} />.</p>
      <Copy text={make.data.token} what="The token" />
      <footer><button type="button" className="primary" onClick={close}>I have it</button></footer>
    </Dialog>
  );
  return (
    <Dialog open close={close} title="New token">
      <form className="form" onSubmit={submit}>
        <Field label="Name" hint="What it is for">{(props) => <input {...props} required maxLength={100} autoComplete="off" value={now.name} onChange={(event) => setNow({ ...now, name: event.target.value })} />}</Field>
        <Field label="Days that it is good" hint="1 to 366">{(props) => <input {...props} type="number" required min={1} max={366} value={now.days} onChange={(event) => setNow({ ...now, days: event.target.value })} />}</Field>
        <fieldset><legend>It may</legend><div className="choices">
          <label><input type="radio" name="may" checked={!some} onChange={() => setSome(false)} /> all that I may</label>
          <label><input type="radio" name="may" checked={some} onChange={() => setSome(true)} /> only some of it</label>
        </div></fieldset>
        {some && <Permissions all={mine} chosen={chosen} change={setChosen} name="Permissions" />}
        {make.error && <p className="wrong" role="alert">{make.error.message}</p>}
        <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={make.isPending || (some && chosen.length === 0)}>Make it</button></footer>
      </form>
    </Dialog>
  );
}

function OwnPassword({ close }: { close: () => void }) {
  const [now, setNow] = useState({ old: "", new: "" });
  const save = useMutation({
    // Not by `send`: there a 401 means that nobody is logged in, and here that the old password is another one.
    mutationFn: async () => {
      const response = await fetch("/ui/me/password", { method: "PUT", headers: { accept: "application/json", "content-type": "application/json" }, body: JSON.stringify(now) });
      if (response.status === 401) throw new Error("The password so far is another one.");
      if (!response.ok) throw new Error(String(((await response.json().catch(() => ({}))) as { detail?: unknown }).detail ?? response.statusText));
    },
    // Sessions of the old one are void.
    onSuccess: () => window.location.assign("/auth/login?next=/tokens"),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Dialog open close={close} title="Change my password">
      <form className="form" onSubmit={submit}>
        <Field label="So far">{(props) => <input {...props} type="password" required autoComplete="current-password" value={now.old} onChange={(event) => setNow({ ...now, old: event.target.value })} />}</Field>
        <Field label="From now on" hint={`At least ${SHORTEST} characters`}>{(props) => <input {...props} type="password" required minLength={SHORTEST} autoComplete="new-password" value={now.new} onChange={(event) => setNow({ ...now, new: event.target.value })} />}</Field>
        {save.error && <p className="wrong" role="alert">{save.error.message}</p>}
        <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={save.isPending}>Change</button></footer>
      </form>
    </Dialog>
  );
}
