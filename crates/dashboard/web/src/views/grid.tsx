// Runs × tasks. Cells are painted on one canvas that covers what is seen, and nothing else: 50,000 of them cost as much as those on the screen.
// For whoever does not see it there is a grid of one cell, the one that the arrows are at, with words for its state.
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, type PointerEvent, useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Schemas } from "../api/client";
import { palette, prepare, stamp } from "../lib/canvas";
import { type Folding, foldedOf, toggled } from "../lib/fold";
import { rowsOf } from "../lib/groups";
import { useKeys } from "../lib/keys";
import { useDark, useZone } from "../lib/preferences";
import { roleOf } from "../lib/role";
import { lookOf, stateOf, worst } from "../lib/states";
import { absolute, span } from "../lib/time";

type Column = Schemas["GridColumn"];
const CELL = 22;
const BARS = 76;
const NARROW = 640;

interface Place { row: number; column: number }

export function Grid({ grid, filter, folding, refold }: { grid: Schemas["Grid"]; filter: string | undefined; folding: Folding; refold: (next: Folding) => void }) {
  const navigate = useNavigate();
  const id = useId();
  const zone = useZone();
  const dark = useDark();
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const bars = useRef<HTMLCanvasElement>(null);
  const groups = useMemo(() => grid.groups.map((group) => group.group_id), [grid.groups]);
  const folded = useMemo(() => foldedOf(folding, groups), [folding, groups]);
  const [active, setActive] = useState<Place>();
  const [view, setView] = useState({ top: 0, left: 0, width: 0, height: 0 });
  // The newest is on the right, as time goes.
  const runs = useMemo(() => [...grid.runs].reverse(), [grid.runs]);
  const rows = useMemo(() => {
    const kept = grid.tasks.map((task, at) => ({ task, at })).filter(({ task }) => !filter || task.task_id.toLowerCase().includes(filter.toLowerCase()));
    return rowsOf(kept.map(({ task }) => task), grid.groups, folded).map((row) => ({ ...row, members: row.members.map((at) => kept[at]?.at ?? 0) }));
  }, [grid.tasks, grid.groups, filter, folded]);
  const letterAt = useCallback((row: number, column: number): string => {
    const members = rows[row]?.members ?? [];
    const cells = runs[column]?.cells ?? "";
    return members.length === 1 ? (cells[members[0] ?? 0] ?? "-") : worst(members.map((at) => cells[at] ?? "-"));
  }, [rows, runs]);
  const names = view.width && view.width < NARROW ? 132 : Math.min(320, Math.max(150, 40 + 7.2 * Math.max(...rows.map((row) => row.label.length + row.depth * 2), 8)));

  // The sizes that the canvas has to have; the newest runs are in view at first.
  useLayoutEffect(() => {
    const node = scroller.current;
    if (!node) return;
    const look = () => setView({ top: node.scrollTop, left: node.scrollLeft, width: node.clientWidth, height: node.clientHeight });
    node.scrollLeft = node.scrollWidth;
    look();
    const sizes = new ResizeObserver(look);
    sizes.observe(node);
    node.addEventListener("scroll", look, { passive: true });
    return () => {
      sizes.disconnect();
      node.removeEventListener("scroll", look);
    };
  }, []);

  useEffect(() => {
    const colours = palette(canvas.current);
    const width = Math.max(0, view.width - names);
    const height = Math.max(0, view.height - BARS);
    const ground = prepare(canvas.current, width, height);
    const head = prepare(bars.current, width, BARS);
    if (!ground || !head) return;
    const first = { row: Math.floor(view.top / CELL), column: Math.floor(view.left / CELL) };
    const end = { row: Math.min(rows.length, Math.ceil((view.top + height) / CELL) + 1), column: Math.min(runs.length, Math.ceil((view.left + width) / CELL) + 1) };
    const longest = Math.max(0.001, ...runs.map((run) => run.duration ?? 0));
    for (let column = first.column; column < end.column; column += 1) {
      const run = runs[column] as Column;
      const x = column * CELL - view.left;
      if (active?.column === column) {
        for (const [layer, size] of [[ground, height], [head, BARS]] as const) {
          layer.fillStyle = colours.over;
          layer.fillRect(x, 0, CELL, size);
        }
      }
      const tall = Math.max(4, Math.sqrt((run.duration ?? 0) / longest) * (BARS - 34));
      head.fillStyle = colours.kinds[lookOf(run.state).kind];
      head.fillRect(x + 4, BARS - 24 - tall, CELL - 8, tall);
      stamp(head, x + 3, BARS - 20, 16, run.state, colours);
      // Another version than the run before: what differs between the two may be the DAG.
      if (column > 0 && runs[column - 1]?.version_number !== run.version_number) {
        for (const [layer, size] of [[ground, height], [head, BARS]] as const) {
          layer.fillStyle = colours.line;
          layer.fillRect(Math.round(x) - 1, layer === head ? 16 : 0, 1, size);
        }
        head.fillStyle = colours.quiet;
        head.font = "11px system-ui, sans-serif";
        head.fillText(`v${run.version_number}`, x, 12);
      }
    }
    for (let row = first.row; row < end.row; row += 1) {
      const y = row * CELL - view.top;
      if (active?.row === row) {
        ground.fillStyle = colours.over;
        ground.fillRect(0, y, width, CELL);
      }
      for (let column = first.column; column < end.column; column += 1) stamp(ground, column * CELL - view.left + 2, y + 2, CELL - 4, stateOf(letterAt(row, column)), colours);
    }
    // For tests: what is on the canvas now.
    if (canvas.current) canvas.current.dataset.drawn = `${rows.length} × ${runs.length}`;
    if (active) {
      ground.strokeStyle = colours.accent;
      ground.lineWidth = 2;
      ground.strokeRect(active.column * CELL - view.left + 1, active.row * CELL - view.top + 1, CELL - 2, CELL - 2);
    }
  }, [view, rows, runs, names, active, letterAt, dark]);

  const fold = (group: string) => refold(toggled(folded, groups, group));
  const open = (place: Place) => {
    const row = rows[place.row];
    const run = runs[place.column];
    if (!row || !run) return;
    if (row.kind === "group") fold(row.id);
    else if (letterAt(place.row, place.column) !== "-") void navigate({ to: "/dags/$dagId/runs/$runId/tasks/$taskId", params: { dagId: grid.dag_id, runId: run.dag_run_id, taskId: row.id }, search: {} });
    else void navigate({ to: "/dags/$dagId/runs/$runId", params: { dagId: grid.dag_id, runId: run.dag_run_id }, search: {} });
  };
  const show = (place: Place) => {
    const node = scroller.current;
    setActive(place);
    if (!node) return;
    const [x, y] = [place.column * CELL, place.row * CELL];
    if (x < node.scrollLeft) node.scrollLeft = x;
    else if (x + CELL > node.scrollLeft + view.width - names) node.scrollLeft = x + CELL - view.width + names;
    if (y < node.scrollTop) node.scrollTop = y;
    else if (y + CELL > node.scrollTop + view.height - BARS) node.scrollTop = y + CELL - view.height + BARS;
  };
  const hear = (event: KeyboardEvent) => {
    const at = active ?? { row: 0, column: runs.length - 1 };
    const far = event.ctrlKey || event.metaKey;
    const next = { ...at };
    switch (event.key) {
      case "ArrowUp": next.row = Math.max(0, at.row - 1); break;
      case "ArrowDown": next.row = Math.min(rows.length - 1, at.row + 1); break;
      case "ArrowLeft": next.column = Math.max(0, at.column - 1); break;
      case "ArrowRight": next.column = Math.min(runs.length - 1, at.column + 1); break;
      case "Home": next.column = 0; if (far) next.row = 0; break;
      case "End": next.column = runs.length - 1; if (far) next.row = rows.length - 1; break;
      case "PageUp": next.row = Math.max(0, at.row - 20); break;
      case "PageDown": next.row = Math.min(rows.length - 1, at.row + 20); break;
      case "Enter": open(at); event.preventDefault(); return;
      case " ": { const row = rows[at.row]; if (row?.kind === "group") fold(row.id); event.preventDefault(); return; }
      default: return;
    }
    event.preventDefault();
    show(active ? next : at);
  };
  useKeys({ "shift+g": () => refold(folded.size ? {} : { folded: "*" }) });

  const placeOf = (event: PointerEvent): Place | undefined => {
    const box = canvas.current?.getBoundingClientRect();
    if (!box) return undefined;
    const place = { row: Math.floor((event.clientY - box.top + view.top) / CELL), column: Math.floor((event.clientX - box.left + view.left) / CELL) };
    return place.row >= 0 && place.row < rows.length && place.column >= 0 && place.column < runs.length ? place : undefined;
  };
  const runOf = (event: PointerEvent): Column | undefined => {
    const box = bars.current?.getBoundingClientRect();
    return box && runs[Math.floor((event.clientX - box.left + view.left) / CELL)];
  };
  const said = active && describe(active);
  function describe(place: Place): { task: string; run: Column; word: string } | undefined {
    const row = rows[place.row];
    const run = runs[place.column];
    if (run && place.row === -1) return { task: run.dag_run_id, run, word: lookOf(run.state).word };
    if (!row || !run) return undefined;
    const letter = letterAt(place.row, place.column);
    const role = row.kind === "task" ? roleOf(grid.tasks[row.members[0] ?? -1])?.word : undefined;
    return { task: row.kind === "group" ? `group ${row.label}` : role ? `${row.id}, ${role}` : row.id, run, word: letter === "-" ? "not in this run" : lookOf(stateOf(letter)).word };
  }
  const from = Math.max(0, Math.floor(view.top / CELL) - 4);
  const labels = rows.slice(from, Math.ceil((view.top + view.height) / CELL) + 4);
  return (
    <div className="grid-view">
      <p className="grid-said" aria-live="polite">{said ? <><b>{said.task}</b>: {said.word} · {said.run.run_type}, {absolute(said.run.run_after, zone)}, version {said.run.version_number}{said.run.duration ? `, the run took ${span(said.run.duration)}` : ""}</> : <span className="quiet">Point at a cell, or move with the arrow keys; Enter opens it. Above: how long each run took.</span>}</p>
      <div ref={scroller} className="grid-scroll" style={{ height: BARS + rows.length * CELL + 18 }}>
        <div className="grid-size" style={{ width: names + runs.length * CELL, height: BARS + rows.length * CELL }}>
          <div className="grid-head" role="presentation" style={{ height: BARS, width: view.width }}>
            <div style={{ width: names }} className="grid-corner"><span className="quiet">longest {span(Math.max(...runs.map((run) => run.duration ?? 0)))}</span></div>
            <canvas ref={bars} aria-hidden="true" onPointerMove={(event) => { const run = runOf(event); setActive(run && { row: -1, column: runs.indexOf(run) }); }} onPointerUp={(event) => { const run = runOf(event); if (run) void navigate({ to: "/dags/$dagId/runs/$runId", params: { dagId: grid.dag_id, runId: run.dag_run_id }, search: {} }); }} />
          </div>
          <div className="grid-body" role="presentation" style={{ height: view.height - BARS, width: view.width, top: BARS }}>
            <div className="grid-names" role="presentation" style={{ width: names }}>
              {labels.map((row, n) => (
                <div key={row.kind + row.id} className={active?.row === from + n ? "grid-name is-active" : "grid-name"} style={{ transform: `translateY(${(from + n) * CELL - view.top}px)`, paddingLeft: 8 + row.depth * 14 }}>
                  {row.kind === "group"
                    ? <button type="button" tabIndex={-1} className="plain" aria-expanded={row.open} onClick={() => fold(row.id)}><span aria-hidden="true">{row.open ? "▾" : "▸"}</span> {row.label} <span className="quiet">{row.members.length}</span></button>
                    : <span title={[row.id, roleOf(grid.tasks[row.members[0] ?? -1])?.word].filter(Boolean).join(", ")} className="cut">{roleOf(grid.tasks[row.members[0] ?? -1]) && <span aria-hidden="true" className="quiet">{roleOf(grid.tasks[row.members[0] ?? -1])?.sign} </span>}{row.label}</span>}
                </div>
              ))}
            </div>
            <div
              className="grid-cells" role="grid" tabIndex={0} aria-label={`Tasks of ${grid.dag_id} in ${runs.length} runs`} aria-rowcount={rows.length} aria-colcount={runs.length}
              aria-activedescendant={active ? `${id}-cell` : undefined} onKeyDown={hear} onFocus={(event) => { if (event.currentTarget.matches(":focus-visible") && runs.length) setActive((old) => old ?? { row: 0, column: runs.length - 1 }); }}
            >
              <canvas ref={canvas} aria-hidden="true" onPointerMove={(event) => setActive(placeOf(event))} onPointerUp={(event) => { const place = placeOf(event); if (place) open(place); }} />
              <div role="row" className="seen-by-ear" aria-rowindex={(active?.row ?? 0) + 1}><div role="gridcell" id={`${id}-cell`} aria-colindex={(active?.column ?? 0) + 1}>{said ? `${said.task}, run of ${absolute(said.run.run_after, zone)}, ${said.word}` : "no cell"}</div></div>
            </div>
          </div>
        </div>
      </div>
    </div>
  );
}
