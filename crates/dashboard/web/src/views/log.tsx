// A log: read piece by piece from where the last one ended, so that what is there stays where it is. Only lines on the screen exist.
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import { ApiError, ask, path } from "../api/client";
import { useKeys } from "../lib/keys";
import { type Line, line as parse, pieces, plain } from "../lib/log";

interface Place { dag: string; run: string; task: string; map: number; number: number }
interface Read { lines: Line[]; end: boolean; error: string | undefined; begun: boolean }

const PIECE = 512 * 1024;
const WAIT = 1000;

export const rawLog = ({ dag, run, task, map, number }: Place): string => path`/ui/logs/${dag}/${run}/${task}/${number}` + `?map_index=${map}`;

function useLog(place: Place): Read {
  const [read, setRead] = useState<Read>({ lines: [], end: false, error: undefined, begun: false });
  const url = rawLog(place);
  useEffect(() => {
    const gone = new AbortController();
    let timer: number | undefined;
    let offset = 0;
    let rest = "";
    let lines: Line[] = [];
    const decoder = new TextDecoder();
    setRead({ lines, end: false, error: undefined, begun: false });
    const step = async () => {
      let wait = WAIT;
      try {
        const response = await ask(`${url}&offset=${offset}&limit=${PIECE}`, { signal: gone.signal });
        const next = Number(response.headers.get("updraft-next-offset"));
        const end = response.headers.get("updraft-log-end") === "true";
        const parts = (rest + decoder.decode(await response.arrayBuffer(), { stream: true })).split("\n");
        rest = parts.pop() ?? "";
        if (next > offset) wait = 0;
        offset = next;
        if (parts.length) lines = [...lines, ...parts.map((text, at) => parse(text, lines.length + at + 1))];
        // A line without an end is shown as well: it may be what the task waits at.
        setRead({ lines: rest ? [...lines, parse(rest, lines.length + 1)] : lines, end, error: undefined, begun: true });
        if (end) return;
      } catch (error) {
        if (gone.signal.aborted) return;
        setRead((old) => ({ ...old, error: error instanceof Error ? error.message : String(error), begun: true }));
        if (error instanceof ApiError && error.status >= 400 && error.status < 500) return;
      }
      timer = window.setTimeout(() => void step(), wait);
    };
    void step();
    return () => {
      gone.abort();
      window.clearTimeout(timer);
    };
  }, [url]);
  return read;
}

const Text = memo(function Text({ line, query }: { line: Line; query: string }) {
  if (!query) return <>{pieces(line.text).map((piece, at) => (piece.style ? <span key={at} className={piece.style}>{piece.text}</span> : piece.text))}</>;
  const text = plain(line.text);
  const found: (string | { hit: string })[] = [];
  let from = 0;
  for (let at = text.toLowerCase().indexOf(query); at >= 0; at = text.toLowerCase().indexOf(query, from)) {
    found.push(text.slice(from, at), { hit: text.slice(at, at + query.length) });
    from = at + query.length;
  }
  found.push(text.slice(from));
  return <>{found.map((part, at) => (typeof part === "string" ? part : <mark key={at}>{part.hit}</mark>))}</>;
});

const LEVELS = { error: "✗", warning: "!", info: "", debug: "", "": "" } as const;

/** The end of a log. */
export function LogTail(place: Place) {
  const { lines, error, end, begun } = useLog(place);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines.length]);
  const shown = lines.filter((line) => line.group !== "close").slice(-200);
  return (
    <div className="log tail" ref={box} tabIndex={0} role="region" aria-label={`End of the log of try ${place.number}`}>
      {lines.length > shown.length && lines.length > 200 && <p className="quiet">… {lines.length - 200} lines before these</p>}
      {shown.map((line) => <div key={line.number} className={line.level && `level-${line.level}`}><span className="gutter"><Link to="/dags/$dagId/runs/$runId/tasks/$taskId" params={{ dagId: place.dag, runId: place.run, taskId: place.task }} search={{ line: line.number, try: place.number, map: place.map >= 0 ? place.map : undefined }} tabIndex={-1} aria-label={`Line ${line.number}`}>{line.number}</Link></span><code><Text line={line} query="" /></code></div>)}
      {error && <p className="wrong">{error}</p>}
      {begun && lines.length === 0 && !error && <p className="quiet">{end ? "It wrote nothing." : "Nothing yet: lines appear as they are written."}</p>}
    </div>
  );
}

const ROW = 20;

/** All of a log, with search, levels and groups. */
export function LogView(place: Place) {
  const search = useSearch({ from: "/dags/$dagId/runs/$runId/tasks/$taskId" });
  const navigate = useNavigate({ from: "/dags/$dagId/runs/$runId/tasks/$taskId" });
  const { lines, error, end, begun } = useLog(place);
  const [wrap, setWrap] = useState(false);
  const [folded, setFolded] = useState<ReadonlySet<number>>(new Set());
  const [hit, setHit] = useState(0);
  const follow = useRef(true);
  const box = useRef<HTMLDivElement>(null);
  const query = (search.q ?? "").toLowerCase();
  const shown = useMemo(() => {
    const found: Line[] = [];
    let closed = false;
    for (const line of lines) {
      if (line.group === "open") closed = folded.has(line.number);
      const wanted = line.group !== "close" && (!closed || line.group === "open") && (!search.level || line.level === "error" || (search.level === "warning" && line.level === "warning"));
      if (wanted) found.push(line);
      if (line.group === "close") closed = false;
    }
    return found;
  }, [lines, folded, search.level]);
  const hits = useMemo(() => (query ? shown.flatMap((line, at) => (plain(line.text).toLowerCase().includes(query) ? [at] : [])) : []), [shown, query]);
  const groups = useMemo(() => lines.filter((line) => line.group === "open").map((line) => line.number), [lines]);
  const rows = useVirtualizer({ count: shown.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 30, getItemKey: (at) => shown[at]?.number ?? at });
  const to = (at: number) => rows.scrollToIndex(at, { align: "center" });

  // At its end, one stays at its end; at a line that the address names, there.
  useEffect(() => {
    if (search.line || query || !follow.current || shown.length === 0) return;
    rows.scrollToIndex(shown.length - 1, { align: "end" });
  }, [shown.length, search.line, query, rows]);
  const line = search.line;
  const there = line ? shown.findIndex((one) => one.number >= line) : -1;
  useEffect(() => {
    if (there >= 0) rows.scrollToIndex(there, { align: "center" });
  }, [there, rows]);
  useEffect(() => {
    setHit(0);
    const found = hits[0];
    if (query && found !== undefined) rows.scrollToIndex(found, { align: "center" });
    // When another word is searched, not when a line arrives.
  }, [query]);
  const step = (by: number) => {
    if (!hits.length) return;
    const next = (hit + by + hits.length) % hits.length;
    setHit(next);
    to(hits[next] ?? 0);
  };
  const foldAll = () => setFolded(folded.size ? new Set() : new Set(groups));
  const download = () => document.querySelector<HTMLAnchorElement>("[data-download]")?.click();
  useKeys({ w: () => setWrap(!wrap), e: foldAll, d: download, n: () => step(1), "shift+n": () => step(-1) });
  return (
    <section className="log-view" aria-label={`Log of try ${place.number}`}>
      <div className="row tools">
        <input type="search" data-search className="search" aria-label="Search in the log" placeholder="Search  ( / )" value={search.q ?? ""} onChange={(event) => void navigate({ search: { ...search, q: event.target.value || undefined, line: undefined }, replace: true })} onKeyDown={(event) => { if (event.key === "Enter") step(event.shiftKey ? -1 : 1); }} />
        {query && <span role="status">{hits.length ? `${hit + 1} of ${hits.length}` : "nothing found"}</span>}
        {query && hits.length > 1 && <><button type="button" aria-label="Hit before" onClick={() => step(-1)}>↑</button><button type="button" aria-label="Next hit" onClick={() => step(1)}>↓</button></>}
        <label className="inline">Level <select value={search.level ?? ""} onChange={(event) => void navigate({ search: { ...search, level: (event.target.value || undefined) as typeof search.level }, replace: true })}><option value="">all</option><option value="warning">warnings</option><option value="error">errors</option></select></label>
        <label className="inline"><input type="checkbox" checked={wrap} onChange={(event) => setWrap(event.target.checked)} /> wrap</label>
        {groups.length > 0 && <button type="button" onClick={foldAll}>{folded.size ? "Unfold groups" : "Fold groups"}</button>}
        <a className="button" data-download href={rawLog(place)} download={`${place.task}-${place.number}.log`}>Download</a>
        <span className="quiet">{lines.length} lines{end ? "" : ", live"}</span>
      </div>
      <div ref={box} className={wrap ? "log wrap" : "log"} tabIndex={0} role="region" aria-label="Lines" onScroll={(event) => { const node = event.currentTarget; follow.current = node.scrollTop + node.clientHeight >= node.scrollHeight - 24; }}>
        <div className="body" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((item) => {
            const one = shown[item.index] as Line;
            return (
              <div key={item.key} data-index={item.index} ref={rows.measureElement} style={{ transform: `translateY(${item.start}px)` }} className={[one.level && `level-${one.level}`, one.number === search.line && "is-named", hits[hit] === item.index && query && "is-hit"].filter(Boolean).join(" ")}>
                <span className="gutter"><Link to="." search={{ ...search, line: one.number }} replace aria-label={`Line ${one.number}`}>{one.number}</Link><span className="sign" aria-hidden="true">{LEVELS[one.level]}</span></span>
                {one.group === "open" ? <button type="button" className="plain" aria-expanded={!folded.has(one.number)} onClick={() => setFolded((old) => { const next = new Set(old); if (!next.delete(one.number)) next.add(one.number); return next; })}><span aria-hidden="true">{folded.has(one.number) ? "▸" : "▾"}</span> {one.text}</button> : <code><Text line={one} query={query} /></code>}
              </div>
            );
          })}
        </div>
        {error && <p className="wrong">{error}</p>}
        {begun && shown.length === 0 && !error && <p className="quiet">{lines.length ? "No line has this level." : end ? "It wrote nothing." : "Nothing yet: lines appear as they are written."}</p>}
      </div>
    </section>
  );
}
