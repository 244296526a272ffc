// Ctrl K: DAGs and pages by a few letters of their names.
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useEffect, useId, useMemo, useState } from "react";
import { path, send } from "../api/client";
import { queries, queryClient, useMay } from "../api/queries";
import { type Theme, prefer } from "../lib/preferences";
import { Mark } from "./bits";
import { Dialog } from "./dialog";
import { PLACES } from "./places";
import { complain, say } from "./toast";

interface Entry { name: string; about: string; state?: string | null | undefined; act: () => void }
const MOST = 50;

/** How well: all of the name, its start, the start of a word in it, its middle, and letters in order last. */
function rank(text: string, query: string): number {
  const at = text.toLowerCase().indexOf(query);
  if (at === 0) return text.length === query.length ? 0 : 1;
  if (at > 0) return /[\W_]/.test(text[at - 1] ?? "") ? 2 : 3;
  let from = 0;
  for (const letter of query) {
    from = text.toLowerCase().indexOf(letter, from) + 1;
    if (from === 0) return -1;
  }
  return 4;
}

export function Palette({ open, close, showKeys }: { open: boolean; close: () => void; showKeys: () => void }) {
  return <Dialog open={open} close={close} title="Find, or do"><Finder close={close} showKeys={showKeys} /></Dialog>;
}

function Finder({ close, showKeys }: { close: () => void; showKeys: () => void }) {
  const navigate = useNavigate();
  const { data, isPending } = useQuery(queries.overview());
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  // Enter, pressed before the DAGs were there.
  const [hurried, setHurried] = useState(false);
  const id = useId();
  const may = useMay();
  const entries = useMemo(() => {
    const pause = (dag: string, paused: boolean) => void send("PATCH", path`/api/v2/dags/${dag}`, { is_paused: paused }).then(() => {
      say(`${dag} is ${paused ? "paused: no new runs begin" : "on"}`);
      return Promise.all([queryClient.invalidateQueries({ queryKey: ["overview"] }), queryClient.invalidateQueries({ queryKey: ["dag", dag] })]);
    }).catch(complain);
    const sync = () => void send<{ schedulers: number }>("POST", "/ui/sources/sync").then((told) => say(`${told.schedulers === 1 ? "The scheduler asks" : `${told.schedulers} schedulers ask`} every repository now.`)).catch(complain);
    const act = (permission: string, ...found: Entry[]) => (may(permission) ? found : []);
    const theme = (value: Theme) => () => prefer({ theme: value });
    const all: Entry[] = [
      ...(data?.dags ?? []).map((dag) => ({ name: dag.dag_id, about: dag.description ?? dag.relative_fileloc, state: dag.runs[0]?.state, act: () => void navigate({ to: "/dags/$dagId", params: { dagId: dag.dag_id } }) })),
      ...PLACES.filter((place) => !place.may || may(place.may, place.everywhere)).map((place) => ({ name: place.name, about: `page: ${place.about}`, act: () => void navigate({ to: place.to }) })),
      { name: "Failing DAGs", about: "page", act: () => void navigate({ to: "/", search: { show: "failing" } }) },
      { name: "Running DAGs", about: "page", act: () => void navigate({ to: "/", search: { show: "running" } }) },
      ...act("backfills.create", { name: "New backfill", about: "action", act: () => void navigate({ to: "/backfills", search: { new: "" } }) }),
      ...(may("dags.edit", true) ? [{ name: "Sync git now", about: "action", act: sync }] : []),
      ...act("pools.create", { name: "New pool", about: "action", act: () => void navigate({ to: "/pools", search: { add: 1 } }) }),
      ...act("variables.create", { name: "New variable", about: "action", act: () => void navigate({ to: "/variables", search: { add: 1 } }) }),
      ...act("connections.create", { name: "New connection", about: "action", act: () => void navigate({ to: "/connections", search: { add: 1 } }) }),
      ...act("users.create", { name: "New user", about: "action", act: () => void navigate({ to: "/users", search: { add: 1 } }) }),
      { name: "New token", about: "action", act: () => void navigate({ to: "/tokens", search: { add: 1 } }) },
      { name: "Dark theme", about: "setting", act: theme("dark") },
      { name: "Light theme", about: "setting", act: theme("light") },
      { name: "Theme of the system", about: "setting", act: theme("auto") },
      { name: "Times in UTC", about: "setting", act: () => prefer({ zone: "UTC" }) },
      { name: "Local times", about: "setting", act: () => prefer({ zone: "local" }) },
      { name: "Keys and states", about: "help", act: showKeys },
      { name: "API documentation", about: "help", act: () => window.location.assign("/docs") },
    ];
    const wanted = query.trim().toLowerCase();
    if (!wanted) return all.slice(0, MOST);
    // What can be done to a DAG is found by its verb, and is in nobody's way before that.
    const verbs = (data?.dags ?? []).flatMap((dag): Entry[] => [
      ...act("runs.create", { name: `Trigger ${dag.dag_id}`, about: "action", act: () => void navigate({ to: "/dags/$dagId", params: { dagId: dag.dag_id }, search: { trigger: 1 } }) }),
      ...act("dags.edit", { name: `${dag.is_paused ? "Unpause" : "Pause"} ${dag.dag_id}`, about: "action", act: () => pause(dag.dag_id, !dag.is_paused) }),
      ...act("backfills.create", { name: `Backfill ${dag.dag_id}`, about: "action", act: () => void navigate({ to: "/backfills", search: { dag: dag.dag_id, new: dag.dag_id } }) }),
    ]);
    const spoken = verbs.filter((entry) => entry.name.toLowerCase().startsWith(wanted));
    return [...all, ...spoken].map((entry) => [rank(entry.name, wanted), entry] as const).filter(([n]) => n >= 0).sort((a, b) => a[0] - b[0]).slice(0, MOST).map(([, entry]) => entry);
  }, [data, query, navigate, showKeys, may]);
  const chosen = Math.min(at, entries.length - 1);
  const choose = (entry: Entry | undefined) => {
    if (!entry) return;
    close();
    entry.act();
  };
  useEffect(() => {
    if (!hurried || isPending) return;
    setHurried(false);
    choose(entries[chosen]);
  });
  const hear = (event: KeyboardEvent) => {
    const move = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (move && entries.length) {
      event.preventDefault();
      const next = (chosen + move + entries.length) % entries.length;
      setAt(next);
      document.getElementById(`${id}-${next}`)?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") setHurried(true);
  };
  return (
    <div className="palette">
      <input
        type="search" role="combobox" aria-label="Name of a DAG or a page" aria-expanded="true" aria-controls={id} aria-activedescendant={entries.length ? `${id}-${chosen}` : undefined}
        autoComplete="off" placeholder="DAG, page, action: trigger …, pause …" value={query} onChange={(event) => { setQuery(event.target.value); setAt(0); setHurried(false); }} onKeyDown={hear} autoFocus
      />
      <ul id={id} role="listbox" aria-label="Found" tabIndex={-1}>
        {entries.map((entry, n) => (
          <li key={entry.name + entry.about} id={`${id}-${n}`} role="option" aria-selected={n === chosen} onPointerMove={() => setAt(n)} onClick={() => choose(entry)}>
            {entry.state !== undefined ? <Mark state={entry.state} /> : <span className="mark" />}<span>{entry.name}</span><span className="quiet cut">{entry.about}</span>
          </li>
        ))}
      </ul>
      {entries.length === 0 && <p className="quiet" role="status">{isPending ? "The DAGs are being read." : "Nothing has this name."}</p>}
    </div>
  );
}
