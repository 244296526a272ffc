// Logs: the lines on the screen exist and nothing else, of a log of a thousand lines as of one of a million. The server searches them, knows
// their groups and tells what they grow by.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type CSSProperties, type ReactNode, type RefObject, memo, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { type Place, logQueries, logUrl } from "../api/logs";
import { queryClient } from "../api/queries";
import { Mark } from "../components/bits";
import { useKeys } from "../lib/keys";
import { type Line, Log, finder, groupName, pieces, plain } from "../lib/log";
import { useZone } from "../lib/preferences";
import { clock } from "../lib/time";
import "./log.css";

const ROUTE = "/dags/$dagId/runs/$runId/tasks/$taskId";
const ROW = 20;
/** Rows of a scroll area. A browser draws none that is higher than some 17 million pixels; past this, one goes on from part to part. */
const MOST_ROWS = 400_000;

function useLog(place: Place, line: number | undefined): Log {
  const { dag, run, task, map, number } = place;
  const log = useMemo(() => new Log({ dag, run, task, map, number }), [dag, run, task, map, number]);
  // Where it begins to be read is for the first look; what comes later asks for what it wants.
  useEffect(() => log.open(line), [log]);
  useSyncExternalStore(log.subscribe, () => log.version);
  return log;
}

const Text = memo(function Text({ text, find }: { text: string; find: RegExp | undefined }) {
  const hits = find ? [...plain(text).matchAll(find)].filter((hit) => hit[0]) : [];
  if (!hits.length) return <>{pieces(text).map((piece, at) => (piece.style ? <span key={at} className={piece.style}>{piece.text}</span> : piece.text))}</>;
  const bare = plain(text);
  const found: ReactNode[] = [];
  let from = 0;
  for (const hit of hits) {
    found.push(bare.slice(from, hit.index), <mark key={hit.index}>{hit[0]}</mark>);
    from = hit.index + hit[0].length;
  }
  return <>{found}{bare.slice(from)}</>;
});

const LEVELS: Record<string, { name: string; sign: string; word: string }> = {
  e: { name: "error", sign: "✗", word: "Error: " }, w: { name: "warning", sign: "!", word: "Warning: " }, d: { name: "debug", sign: "", word: "" },
};

function Said({ log, shown }: { log: Log; shown: number }) {
  return (
    <>
      {log.error && <p className="wrong" role="alert">{log.error} It is tried again.</p>}
      {log.begun && shown === 0 && !log.error && <p className="quiet">{log.total ? "No line has this level." : log.end ? "It wrote nothing." : "Nothing yet: lines appear as they are written."}</p>}
    </>
  );
}

/** Room for the numbers of its lines. */
const digits = (log: Log): CSSProperties => ({ "--digits": Math.max(2, String(log.total).length) }) as CSSProperties;

const TAIL = 200;

/** The end of a log. */
export function LogTail(place: Place) {
  const log = useLog(place, undefined);
  const box = useRef<HTMLDivElement>(null);
  const first = Math.max(1, log.total - TAIL + 1);
  const numbers = useMemo(() => Array.from({ length: Math.max(0, log.total - first + 1) }, (_, at) => first + at), [log.total, first]);
  const lines = numbers.flatMap((number) => log.line(number) ?? []).filter((line) => line.mark !== "c");
  useEffect(() => {
    log.want(numbers);
  });
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines.length, log.total]);
  const params = { dagId: place.dag, runId: place.run, taskId: place.task };
  const search = { try: place.number, map: place.map >= 0 ? place.map : undefined };
  return (
    <div className="log tail" ref={box} style={digits(log)} tabIndex={0} role="region" aria-label={`End of the log of try ${place.number}`}>
      {first > 1 && <p className="quiet"><Link to={ROUTE} params={params} search={{ ...search, line: 1 }}>… {(first - 1).toLocaleString("en")} lines before these</Link></p>}
      {lines.map((line) => (
        <div key={line.number} className={LEVELS[line.mark] && `level-${LEVELS[line.mark]?.name}`}>
          <span className="gutter"><Link to={ROUTE} params={params} search={{ ...search, line: line.number }} tabIndex={-1} aria-label={`Line ${line.number}`}>{line.number}</Link></span>
          <code><Text text={line.mark === "g" ? `▾ ${groupName(line.text)}` : line.text} find={undefined} /></code>
        </div>
      ))}
      <Said log={log} shown={log.total} />
    </div>
  );
}

interface Pane { step: (by: number) => void; foldAll: () => void; download: () => void }

/** The log of one try, or of two beside each other, with what is done to both. */
export function Logs({ place, attempts }: { place: Place; attempts: { try_number: number; state: string }[] }) {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const go = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const left = useRef<Pane>(null);
  const right = useRef<Pane>(null);
  const box = useRef<HTMLElement>(null);
  const other = attempts.some((one) => one.try_number === search.with) && search.with !== place.number ? search.with : undefined;
  const [typed, setTyped] = useState(search.q ?? "");
  const wanted = useRef(search.q ?? "");
  // The address follows what is typed after a moment, and what is typed follows the address when that changes from elsewhere.
  useEffect(() => {
    if (typed === wanted.current) return;
    const timer = window.setTimeout(() => {
      wanted.current = typed;
      go({ q: typed || undefined, line: undefined, line2: undefined });
    }, 150);
    return () => window.clearTimeout(timer);
  });
  useEffect(() => {
    if ((search.q ?? "") === wanted.current) return;
    wanted.current = search.q ?? "";
    setTyped(wanted.current);
  }, [search.q]);
  const both = (act: (pane: Pane) => void) => {
    for (const pane of [left.current, right.current]) if (pane) act(pane);
  };
  const full = () => {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void box.current?.requestFullscreen?.();
  };
  useKeys({
    w: () => go({ wrap: search.wrap ? undefined : 1 }), t: () => go({ times: search.times ? undefined : 1 }), e: () => both((pane) => pane.foldAll()), f: full,
    d: () => left.current?.download(), n: () => left.current?.step(1), "shift+n": () => left.current?.step(-1),
  });
  return (
    <section className="log-view" aria-label="Log" ref={box}>
      {attempts.length > 1 && (
        <div className="row tries">
          <div className="chips" role="group" aria-label="Tries">{attempts.map((one) => <button key={one.try_number} type="button" aria-pressed={one.try_number === place.number} onClick={() => void navigate({ search: { ...search, try: one.try_number, line: undefined } })}><Mark state={one.state} size={14} />try {one.try_number}</button>)}</div>
          <label className="inline">Beside it <select value={other ?? ""} onChange={(event) => void navigate({ search: { ...search, with: event.target.value ? Number(event.target.value) : undefined, line2: undefined } })}><option value="">nothing</option>{attempts.filter((one) => one.try_number !== place.number).map((one) => <option key={one.try_number} value={one.try_number}>try {one.try_number}</option>)}</select></label>
        </div>
      )}
      <div className="row tools">
        <input type="search" data-search className="search" aria-label="Search in the log" placeholder="Search  ( / )" value={typed} onChange={(event) => setTyped(event.target.value)} onKeyDown={(event) => { if (event.key === "Enter") left.current?.step(event.shiftKey ? -1 : 1); }} />
        <button type="button" className="toggle" aria-pressed={Boolean(search.case)} aria-label="Capitals matter" title="Capitals matter" onClick={() => go({ case: search.case ? undefined : 1 })}>Aa</button>
        <button type="button" className="toggle" aria-pressed={Boolean(search.regex)} aria-label="Regular expression" title="Regular expression" onClick={() => go({ regex: search.regex ? undefined : 1 })}>.*</button>
        <label className="inline">Level <select value={search.level ?? ""} onChange={(event) => go({ level: (event.target.value || undefined) as typeof search.level })}><option value="">all</option><option value="info">info and worse</option><option value="warning">warnings and errors</option><option value="error">errors</option></select></label>
        <label className="inline"><input type="checkbox" checked={Boolean(search.wrap)} onChange={(event) => go({ wrap: event.target.checked ? 1 : undefined })} /> wrap</label>
        <label className="inline"><input type="checkbox" checked={Boolean(search.times)} onChange={(event) => go({ times: event.target.checked ? 1 : undefined })} /> times</label>
        <button type="button" onClick={full} title="Full screen  ( f )">Full screen</button>
      </div>
      <div className={other ? "log-panes two" : "log-panes"}>
        <LogPane key={`a${place.number}`} place={place} side="line" pane={left} named={other !== undefined} />
        {other && <LogPane key={`b${other}`} place={{ ...place, number: other }} side="line2" pane={right} named />}
      </div>
    </section>
  );
}

/** What is searched in a log: which of its lines, and at which of them one is. */
function useHits(log: Log, query: { q: string; regex: boolean; exact: boolean; level: string | undefined }) {
  const [after, setAfter] = useState(0);
  useEffect(() => setAfter(0), [query.q, query.regex, query.exact, query.level, log]);
  const hits = useQuery({ ...logQueries.hits(log.place, { q: query.q, regex: query.regex, case: query.exact, level: query.level, after }), enabled: query.q !== "" });
  return { ...hits, setAfter };
}

/** Lines in order without those that are folded away: from rows to lines and back. */
function useRows(total: number, picked: number[] | undefined, hidden: readonly { from: number; to: number }[]) {
  return useMemo(() => {
    if (picked) {
      const rowOf = (line: number) => {
        let low = 0;
        let high = picked.length;
        while (low < high) {
          const middle = (low + high) >> 1;
          if ((picked[middle] ?? 0) < line) low = middle + 1;
          else high = middle;
        }
        return Math.min(low, picked.length - 1);
      };
      return { count: picked.length, lineOf: (row: number) => picked[row] ?? 0, rowOf };
    }
    // Each with how many lines are away up to its end.
    let away = 0;
    const gaps = hidden.map(({ from, to }) => ({ from, to, row: from - 1 - away, away: (away += to - from + 1) }));
    return {
      count: total - away,
      lineOf: (row: number) => {
        let line = row + 1;
        for (const gap of gaps) {
          if (row < gap.row) break;
          line = row + 1 + gap.away;
        }
        return line;
      },
      rowOf: (line: number) => {
        let before = 0;
        for (const gap of gaps) {
          if (line < gap.from) break;
          if (line <= gap.to) return Math.max(0, gap.row - 1);
          before = gap.away;
        }
        return line - 1 - before;
      },
    };
  }, [total, picked, hidden]);
}

function LogPane({ place, side, pane, named }: { place: Place; side: "line" | "line2"; pane: RefObject<Pane | null>; named: boolean }) {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const zone = useZone();
  const line = search[side];
  const log = useLog(place, line);
  const query = { q: search.q ?? "", regex: Boolean(search.regex), exact: Boolean(search.case), level: search.level };
  const find = useMemo(() => finder(query.q, query.regex, query.exact), [query.q, query.regex, query.exact]);
  const hits = useHits(log, query);
  const picked = useQuery({ ...logQueries.hits(place, { level: search.level, limit: 50_000 }), enabled: Boolean(search.level) });
  const outline = useQuery({ ...logQueries.outline(place), enabled: log.begun && log.total > 0 });
  // All groups or none, and those that are not as all are: groups that come later are as all are.
  const [folding, setFolding] = useState<{ all: boolean; but: ReadonlySet<number> }>({ all: false, but: new Set() });
  const isFolded = (group: number) => folding.all !== folding.but.has(group);
  // Whether one is at its end, and where one was when that was seen last.
  const follow = useRef(true);
  const seenAt = useRef(0);
  const box = useRef<HTMLDivElement>(null);
  const anchor = useRef<HTMLAnchorElement>(null);

  // What the server has found is older than what has come since.
  const grown = useRef<number | undefined>(undefined);
  useEffect(() => {
    if (!log.begun) return;
    grown.current ??= window.setTimeout(() => {
      grown.current = undefined;
      for (const part of ["hits", "outline"]) {
        const queryKey = [...logQueries.keyOf(place), part];
        const old = queryClient.getQueriesData<{ lines: number; end: boolean }>({ queryKey }).some(([, data]) => data && (data.lines !== log.total || data.end !== log.end));
        if (old) void queryClient.invalidateQueries({ queryKey });
      }
      // Of a long log it costs more, and tells less.
    }, 700 + log.total / 100);
  }, [log.total, log.end, log.begun]);
  useEffect(() => () => window.clearTimeout(grown.current), []);

  const groups = outline.data?.groups ?? [];
  const hidden = useMemo(() => groups.filter((group) => folding.all !== folding.but.has(group.from) && group.to > group.from).map((group) => ({ from: group.from + 1, to: group.to })), [groups, folding]);
  const rows = useRows(log.total, search.level ? (picked.data?.numbers ?? []) : undefined, hidden);
  const [base, setBase] = useState<number>();
  const most = Math.max(0, rows.count - MOST_ROWS);
  const start = Math.min(base ?? most, most);
  const count = Math.min(rows.count, MOST_ROWS);
  const wrap = Boolean(search.wrap);
  const list = useVirtualizer({ count, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 30, getItemKey: (at) => rows.lineOf(start + at) });
  const items = list.getVirtualItems();

  // Where to go, once it is in the part that is shown.
  const [goal, setGoal] = useState<{ line: number; align: "center" | "end" }>();
  const to = (line: number, align: "center" | "end" = "center") => {
    const row = rows.rowOf(line);
    if (row < start || row >= start + count) setBase(Math.min(most, Math.max(0, row - MOST_ROWS / 2)));
    setGoal({ line, align });
  };
  useEffect(() => {
    if (!goal || count === 0) return;
    list.scrollToIndex(Math.min(count - 1, Math.max(0, rows.rowOf(goal.line) - start)), { align: goal.align });
    setGoal(undefined);
  }, [goal, start, count]);
  useEffect(() => {
    log.want(items.map((item) => rows.lineOf(start + item.index)));
  });

  // At its end, one stays at its end; at a line that the address names, there.
  const height = list.getTotalSize();
  useLayoutEffect(() => {
    const node = box.current;
    // Somebody has scrolled up, and the browser has not told yet.
    if (node && node.scrollTop < seenAt.current - 2) follow.current = false;
    if (!node || line || query.q || !follow.current || count === 0) return;
    setBase(undefined);
    node.scrollTop = node.scrollHeight;
    seenAt.current = node.scrollTop;
  }, [rows.count, height, line, query.q]);
  useEffect(() => {
    if (line && log.begun) to(line);
  }, [line, log.begun, search.level]);

  const numbers = hits.data?.numbers ?? [];
  const current = numbers.findIndex((number) => number >= (line ?? 1));
  const at = current >= 0 ? current : numbers.length - 1;
  useEffect(() => {
    // When another word is searched, not when a line arrives.
    const first = numbers[at];
    if (query.q && first !== undefined && !line) to(first);
  }, [query.q, query.regex, query.exact, query.level, numbers.length > 0]);
  const jump = (number: number | undefined) => {
    if (number !== undefined) void navigate({ search: { ...search, [side]: number }, replace: true });
  };
  const step = (by: number) => {
    const data = hits.data;
    if (!data || !numbers.length) return;
    // From a line that is no hit, the next is the one that follows.
    const next = by > 0 && line !== undefined && numbers[at] !== line && current >= 0 ? at : at + by;
    const last = numbers.length - 1;
    const more = data.before + numbers.length < data.total;
    if (next >= 0 && next <= last) jump(numbers[next]);
    else if (next > last && more) {
      hits.setAfter(numbers[last] ?? 0);
      jump((numbers[last] ?? 0) + 1);
    } else if (data.before > 0 || more) {
      hits.setAfter(0);
      jump(1);
    } else jump(numbers[next < 0 ? last : 0]);
  };
  const anyFolded = folding.all || folding.but.size > 0;
  const foldAll = () => setFolding({ all: !anyFolded, but: new Set() });
  useImperativeHandle(pane, () => ({ step, foldAll, download: () => anchor.current?.click() }));
  const fold = (number: number) => setFolding((old) => {
    const but = new Set(old.but);
    if (!but.delete(number)) but.add(number);
    return { ...old, but };
  });
  const shownHit = query.q ? numbers[at] : undefined;
  return (
    <section className="log-pane" aria-label={`Log of try ${place.number}`}>
      <div className="row tools">
        {named && <h2>Try {place.number}</h2>}
        {query.q && <span role="status">{hits.error ? <span className="wrong">{hits.error.message}</span> : !hits.data ? "searching…" : hits.data.total ? `${(hits.data.before + at + 1).toLocaleString("en")} of ${hits.data.total.toLocaleString("en")}` : "nothing found"}</span>}
        {query.q && (hits.data?.total ?? 0) > 1 && <><button type="button" aria-label="Hit before" onClick={() => step(-1)}>↑</button><button type="button" aria-label="Next hit" onClick={() => step(1)}>↓</button></>}
        {groups.length > 0 && <button type="button" onClick={foldAll}>{anyFolded ? "Unfold groups" : "Fold groups"}</button>}
        {outline.data?.first_error != null && <button type="button" className="link" onClick={() => jump(outline.data?.first_error ?? undefined)}>{outline.data.errors.toLocaleString("en")} {outline.data.errors === 1 ? "error" : "errors"}</button>}
        <a ref={anchor} className="button" href={logUrl(place, "", { download: true })} download={`${place.task}-${place.number}.log`} title="Download  ( d )">Download</a>
        <span className="quiet">{log.total.toLocaleString("en")} {log.total === 1 ? "line" : "lines"}{log.begun && !log.end ? ", live" : ""}</span>
      </div>
      <div ref={box} className={wrap ? "log wrap" : "log"} style={digits(log)} tabIndex={0} role="region" aria-label={named ? `Lines of try ${place.number}` : "Lines"} onScroll={(event) => { const node = event.currentTarget; seenAt.current = node.scrollTop; follow.current = node.scrollTop + node.clientHeight >= node.scrollHeight - 24; }}>
        {start > 0 && <p><button type="button" className="link" onClick={() => to(rows.lineOf(start - 1), "end")}>… {start.toLocaleString("en")} lines before these</button></p>}
        <div className="body" style={{ height }}>
          {items.map((item) => {
            const number = rows.lineOf(start + item.index);
            return <Row key={item.key} line={log.line(number)} number={number} find={find} folded={isFolded(number)} fold={fold} named={number === line} hit={number === shownHit} time={search.times ? log.timeOf(number) : undefined} zone={zone} to={{ ...search, [side]: number }} index={item.index} start={item.start} measure={wrap ? list.measureElement : undefined} />;
          })}
        </div>
        {start + count < rows.count && <p><button type="button" className="link" onClick={() => to(rows.lineOf(start + count))}>… {(rows.count - start - count).toLocaleString("en")} lines after these</button></p>}
        {picked.data && picked.data.total > picked.data.numbers.length && <p className="quiet">The first {picked.data.numbers.length.toLocaleString("en")} of {picked.data.total.toLocaleString("en")} lines of this level.</p>}
        <Said log={log} shown={search.level && !picked.data ? 1 : rows.count} />
      </div>
    </section>
  );
}

interface RowProps {
  line: Line | undefined; number: number; find: RegExp | undefined; folded: boolean; fold: (number: number) => void; named: boolean; hit: boolean;
  time: string | undefined; zone: string; to: Record<string, unknown>; index: number; start: number; measure: ((node: HTMLElement | null) => void) | undefined;
}

function Row({ line, number, find, folded, fold, named, hit, time, zone, to, index, start, measure }: RowProps) {
  const level = line && LEVELS[line.mark];
  return (
    <div data-index={index} ref={measure} style={{ transform: `translateY(${start}px)` }} className={[level && `level-${level.name}`, named && "is-named", hit && "is-hit"].filter(Boolean).join(" ")}>
      <span className="gutter"><Link to="." search={to} replace aria-label={`Line ${number}`}>{number}</Link><span className="sign" aria-hidden="true">{level?.sign}</span></span>
      {time && <span className="stored quiet">{clock(Date.parse(time), zone)}</span>}
      {!line ? <span className="quiet">…</span>
        : line.mark === "g" ? <button type="button" className="plain" aria-expanded={!folded} onClick={() => fold(number)}><span aria-hidden="true">{folded ? "▸" : "▾"}</span> <Text text={groupName(line.text)} find={find} /></button>
          : line.mark === "c" ? null
            : <code>{level?.word && <span className="seen-by-ear">{level.word}</span>}<Text text={line.text} find={find} /></code>}
    </div>
  );
}
