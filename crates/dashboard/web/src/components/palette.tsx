// Ctrl K: DAGs and pages by a few letters of their names.
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useEffect, useId, useMemo, useState } from "react";
import { queries } from "../api/queries";
import { type Theme, prefer } from "../lib/preferences";
import { Mark } from "./bits";
import { Dialog } from "./dialog";

interface Entry { name: string; about: string; state?: string | null | undefined; act: () => void }
const MOST = 50;

/** How well: the start of a word before its middle, and letters in order last. */
function rank(text: string, query: string): number {
  const at = text.toLowerCase().indexOf(query);
  if (at >= 0) return at === 0 || /[\W_]/.test(text[at - 1] ?? "") ? 0 : 1;
  let from = 0;
  for (const letter of query) {
    from = text.toLowerCase().indexOf(letter, from) + 1;
    if (from === 0) return -1;
  }
  return 2;
}

export function Palette({ open, close, showKeys }: { open: boolean; close: () => void; showKeys: () => void }) {
  return <Dialog open={open} close={close} title="Find"><Finder close={close} showKeys={showKeys} /></Dialog>;
}

function Finder({ close, showKeys }: { close: () => void; showKeys: () => void }) {
  const navigate = useNavigate();
  const { data, isPending } = useQuery(queries.overview());
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  // Enter, pressed before the DAGs were there.
  const [hurried, setHurried] = useState(false);
  const id = useId();
  const entries = useMemo(() => {
    const theme = (value: Theme) => () => prefer({ theme: value });
    const all: Entry[] = [
      ...(data?.dags ?? []).map((dag) => ({ name: dag.dag_id, about: dag.description ?? dag.relative_fileloc, state: dag.runs[0]?.state, act: () => void navigate({ to: "/dags/$dagId", params: { dagId: dag.dag_id } }) })),
      { name: "DAGs", about: "page", act: () => void navigate({ to: "/" }) },
      { name: "Failing DAGs", about: "page", act: () => void navigate({ to: "/", search: { show: "failing" } }) },
      { name: "Import errors", about: "page", act: () => void navigate({ to: "/import-errors" }) },
      { name: "Pools", about: "page", act: () => void navigate({ to: "/pools" }) },
      { name: "Variables", about: "page", act: () => void navigate({ to: "/variables" }) },
      { name: "Connections", about: "page", act: () => void navigate({ to: "/connections" }) },
      { name: "Dark theme", about: "setting", act: theme("dark") },
      { name: "Light theme", about: "setting", act: theme("light") },
      { name: "Theme of the system", about: "setting", act: theme("auto") },
      { name: "Keys", about: "help", act: showKeys },
    ];
    const wanted = query.trim().toLowerCase();
    if (!wanted) return all.slice(0, MOST);
    return all.map((entry) => [rank(entry.name, wanted), entry] as const).filter(([n]) => n >= 0).sort((a, b) => a[0] - b[0]).slice(0, MOST).map(([, entry]) => entry);
  }, [data, query, navigate, showKeys]);
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
        autoComplete="off" placeholder="DAG, page, setting" value={query} onChange={(event) => { setQuery(event.target.value); setAt(0); setHurried(false); }} onKeyDown={hear} autoFocus
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
