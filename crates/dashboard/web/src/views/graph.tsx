// A version of a DAG as boxes and lines. The server says where they go; here they are painted, moved, walked and opened.
// Who does not see the picture has the box that the arrows are at in words, with what comes before and after it, and the same as a table.
import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, type PointerEvent, type ReactNode, useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "react";
import { queries } from "../api/queries";
import { Empty, Failure, Mark, Skeleton } from "../components/bits";
import { palette, prepare } from "../lib/canvas";
import { type Folding, foldingOf, toggled } from "../lib/fold";
import { type Box, graphOf, keyOf, membersOf, step } from "../lib/graph";
import { type Status, type View, drawGraph } from "../lib/graph-paint";
import { useDark } from "../lib/preferences";
import { roleOf } from "../lib/role";
import { lookOf, stateOf, worst } from "../lib/states";
import "./graph.css";

const LEAST = 0.02;
const MOST = 2;
/** A side of what is downloaded, in pixels. */
const LARGEST = 8000;
/** A picture that is wider is not made smaller than this at first: its begin is seen then. */
const FIRST = 0.3;

export interface GraphProps {
  dag: string;
  version: number | undefined;
  /** A letter as in the grid for each task, and how many instances of it there are. Without it: no states. */
  states?: ReadonlyMap<string, { letter: string; count: number }> | undefined;
  folding: Folding;
  refold: (next: Folding) => void;
  q: string | undefined;
  /** Left out where there is a field for it already. */
  search?: (q: string | undefined) => void;
  /** The id of a task, or that of a group with a slash behind it. */
  chosen: string | undefined;
  choose: (key: string | undefined) => void;
  open: (task: string) => void;
  table: boolean;
  setTable: (on: boolean) => void;
  stream: boolean;
  setStream: (on: boolean) => void;
  tools?: ReactNode;
}

export function Graph(props: GraphProps) {
  const { dag, version, folding, refold, states, q, search, chosen: chosenKey, choose, table } = props;
  const { data, error, refetch } = useQuery(queries.graph(dag, version, folding));
  const graph = useMemo(() => data && graphOf(data), [data]);
  const statuses = useMemo(() => graph?.picture.boxes.map((box): Status | undefined => {
    if (!states) return undefined;
    const all = membersOf(box).flatMap((id) => states.get(id) ?? []);
    return { state: stateOf(all.length === 1 ? all[0]?.letter : worst(all.map((one) => one.letter))), count: box.kind === "task" ? (all[0]?.count ?? 0) : 0 };
  }) ?? [], [graph, states]);
  const groups = useMemo(() => data?.groups.map((group) => group.group_id) ?? [], [data]);
  const folded = useMemo(() => {
    const open = new Set(data?.boxes.filter((box) => box.is_open).map((box) => box.id));
    return new Set(groups.filter((group) => !open.has(group)));
  }, [data, groups]);
  const words = q?.trim().toLowerCase();
  const hits = useMemo(() => new Set(words && graph ? graph.leaves.filter((index) => graph.picture.boxes[index] && [keyOf(graph.picture.boxes[index] as Box), ...membersOf(graph.picture.boxes[index] as Box)].some((id) => id.toLowerCase().includes(words))) : []), [words, graph]);
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data || !graph) return <Skeleton rows={10} />;
  if (data.boxes.length === 0) return <Empty title="This version has no tasks" />;
  const chosen = chosenKey === undefined ? undefined : (graph.at.get(chosenKey) ?? graph.shows.get(chosenKey.replace(/\/$/, "")));
  const act = (index: number) => {
    const box = data.boxes[index];
    if (box?.kind === "group") refold(toggled(folded, groups, box.id));
    else if (box) props.open(box.id);
  };
  const next = () => {
    const all = [...hits];
    const at = chosen === undefined ? -1 : all.indexOf(chosen);
    const found = data.boxes[all[(at + 1) % all.length] ?? -1];
    if (found) choose(keyOf(found));
  };
  return (
    <div className="graph-side">
      <div className="row tools">
        {search && <input type="search" data-search className="search" aria-label="Find tasks by a part of their names" placeholder="Tasks  ( / )" value={q ?? ""} onChange={(event) => search(event.target.value || undefined)} onKeyDown={(event) => { if (event.key === "Enter") next(); }} />}
        {words && <span className="quiet" role="status">{hits.size === 0 ? "no task is called so" : `${hits.size} found`}{hits.size > 1 && search && "; Enter goes from one to the next"}</span>}
        {groups.length > 0 && <button type="button" onClick={() => refold(foldingOf(folded.size ? new Set() : new Set(groups), groups))}>{folded.size ? "Open groups" : "Fold groups"}</button>}
        <button type="button" aria-pressed={props.stream} onClick={() => props.setStream(!props.stream)}>Only its stream</button>
        <button type="button" aria-pressed={table} onClick={() => props.setTable(!table)}>Table</button>
        {props.tools}
      </div>
      {table ? <Twin graph={graph} statuses={statuses} chosen={chosen} hits={words ? hits : undefined} act={act} /> : <Canvas {...props} key={dag} graph={graph} statuses={statuses} hits={hits} chosenAt={chosen} act={act} fold={(group) => refold(toggled(folded, groups, group))} />}
    </div>
  );
}

type Shape = ReturnType<typeof graphOf>;

function nameOf(box: Box): string {
  return box.kind === "group" ? `group ${box.id}` : box.id;
}

/** In words: what it is, how it stands, what comes before and after it. */
function describe(graph: Shape, index: number, status: Status | undefined): string {
  const box = graph.picture.boxes[index];
  if (!box) return "";
  const names = (all: number[] | undefined) => (all ?? []).map((one) => graph.picture.boxes[one]?.id).join(", ") || "nothing";
  const kind = box.kind === "group" ? `${box.members.length} tasks, folded` : [box.operator, roleOf(box)?.word].filter(Boolean).join(", ");
  return [nameOf(box), kind, status?.state && lookOf(status.state).word, `after ${names(graph.before[index])}`, `before ${names(graph.after[index])}`].filter(Boolean).join(", ");
}

function Canvas({ dag, graph, statuses, hits, chosenAt, choose, act, fold, stream }: GraphProps & { graph: Shape; statuses: (Status | undefined)[]; hits: ReadonlySet<number>; chosenAt: number | undefined; act: (index: number) => void; fold: (group: string) => void }) {
  const id = useId();
  const dark = useDark();
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const view = useRef<View>(undefined);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [, redraw] = useState(0);
  const { picture } = graph;

  const fit = useCallback((least = LEAST) => {
    const k = Math.max(least, Math.min(1, size.width / picture.width, size.height / picture.height));
    const spare = (room: number, taken: number) => (taken * k <= room ? (room - taken * k) / 2 : 0);
    view.current = { k, x: spare(size.width, picture.width), y: spare(size.height, picture.height) };
    redraw((n) => n + 1);
  }, [size, picture]);
  const zoom = useCallback((by: number, x = size.width / 2, y = size.height / 2) => {
    const old = view.current;
    if (!old) return;
    const k = Math.min(MOST, Math.max(LEAST, old.k * by));
    view.current = { k, x: x - ((x - old.x) / old.k) * k, y: y - ((y - old.y) / old.k) * k };
    redraw((n) => n + 1);
  }, [size]);

  useLayoutEffect(() => {
    const node = frame.current;
    if (!node) return;
    const look = () => setSize({ width: node.clientWidth, height: node.clientHeight });
    look();
    const sizes = new ResizeObserver(look);
    sizes.observe(node);
    return () => sizes.disconnect();
  }, []);

  // What was folded or opened stays where it was, and so does what is chosen.
  const drawn = useRef<Shape>(undefined);
  const held = useRef<string>(undefined);
  useLayoutEffect(() => {
    if (size.width === 0) return;
    const before = drawn.current;
    drawn.current = graph;
    if (!view.current || !before || before.picture.dag_id !== picture.dag_id) return fit(FIRST);
    if (before === graph) return;
    const kept = held.current ?? (chosenAt === undefined ? undefined : keyOf(picture.boxes[chosenAt] as Box));
    const of = (shape: Shape) => kept === undefined ? undefined : shape.picture.boxes[shape.at.get(kept) ?? -1];
    const [was, is] = [of(before), of(graph)];
    held.current = undefined;
    if (!was || !is) return fit(FIRST);
    const { k, x, y } = view.current;
    view.current = { k, x: x + (was.x - is.x) * k, y: y + (was.y - is.y) * k };
    redraw((n) => n + 1);
  }, [graph, picture, size, fit, chosenAt]);
  const turn = (index: number) => {
    held.current = keyOf(picture.boxes[index] as Box);
    act(index);
  };

  // What is chosen is in view.
  useLayoutEffect(() => {
    const box = chosenAt === undefined ? undefined : picture.boxes[chosenAt];
    const now = view.current;
    if (!box || !now || size.width === 0) return;
    const pull = (from: number, length: number, room: number) => (from < 16 ? 16 - from : from + length > room - 16 ? Math.min(room - 16 - from - length, 0) : 0);
    const dx = pull(box.x * now.k + now.x, box.width * now.k, size.width);
    const dy = pull(box.y * now.k + now.y, box.height * now.k, size.height);
    if (dx || dy) view.current = { ...now, x: now.x + dx, y: now.y + dy };
    redraw((n) => n + 1);
    // Not when the picture is moved by hand: only when another is chosen.
  }, [chosenAt, picture, size]);

  useEffect(() => {
    const context = prepare(canvas.current, size.width, size.height);
    if (!context || !view.current || size.width === 0) return;
    drawGraph(context, { graph, statuses, chosen: chosenAt, hits, stream }, view.current, size.width, size.height, palette(canvas.current));
    // For tests: what is on the canvas now.
    if (canvas.current) canvas.current.dataset.drawn = `${graph.picture.version_number}:${graph.leaves.length}`;
  });

  // By hand: React's listener for the wheel may not keep the page from scrolling.
  useEffect(() => {
    const node = canvas.current;
    const turn = (event: WheelEvent) => {
      event.preventDefault();
      const place = node?.getBoundingClientRect();
      if (place) zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), event.clientX - place.left, event.clientY - place.top);
    };
    node?.addEventListener("wheel", turn, { passive: false });
    return () => node?.removeEventListener("wheel", turn);
  }, [zoom]);

  const pointers = useRef(new Map<number, { x: number; y: number }>());
  const moved = useRef(false);
  const at = (event: { clientX: number; clientY: number }) => {
    const place = canvas.current?.getBoundingClientRect();
    return { x: event.clientX - (place?.left ?? 0), y: event.clientY - (place?.top ?? 0) };
  };
  const hit = (event: { clientX: number; clientY: number }): number | undefined => {
    const now = view.current;
    if (!now) return undefined;
    const point = at(event);
    const [x, y] = [(point.x - now.x) / now.k, (point.y - now.y) / now.k];
    const within = (box: Box | undefined, height = box?.height ?? 0) => box && x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + height;
    const leaf = graph.leaves.find((index) => within(picture.boxes[index]));
    if (leaf !== undefined) return leaf;
    // Of an open group, its name; of several, the innermost.
    return picture.boxes.reduce<number | undefined>((found, box, index) => (box.is_open && within(box, 30) ? index : found), undefined);
  };
  const drag = (event: PointerEvent) => {
    const before = pointers.current.get(event.pointerId);
    const now = view.current;
    if (!before || !now) {
      if (canvas.current) canvas.current.style.cursor = hit(event) === undefined ? "grab" : "pointer";
      return;
    }
    const point = at(event);
    const others = [...pointers.current].filter(([pointer]) => pointer !== event.pointerId);
    const other = others[0]?.[1];
    if (other) {
      const distance = (p: { x: number; y: number }) => Math.max(1, Math.hypot(p.x - other.x, p.y - other.y));
      zoom(distance(point) / distance(before), other.x, other.y);
      moved.current = true;
    } else if (moved.current || Math.hypot(point.x - before.x, point.y - before.y) > 3) {
      moved.current = true;
      view.current = { ...now, x: now.x + point.x - before.x, y: now.y + point.y - before.y };
      redraw((n) => n + 1);
    } else return;
    pointers.current.set(event.pointerId, point);
  };
  const release = (event: PointerEvent) => {
    if (!pointers.current.delete(event.pointerId) || moved.current) return;
    const index = hit(event);
    const box = index === undefined ? undefined : picture.boxes[index];
    if (index !== undefined && box?.kind === "group") turn(index);
    else choose(box && keyOf(box));
  };
  const hear = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const here = chosenAt ?? step(graph, graph.leaves[0] ?? 0, "Home");
    const box = here === undefined ? undefined : picture.boxes[here];
    if (here === undefined || !box) return;
    const group = box.kind === "group" ? box : picture.boxes[box.parent ?? -1];
    switch (event.key) {
      case "Enter": turn(here); break;
      case " ": if (group) { held.current = keyOf(group); fold(group.id); } break;
      case "Escape": choose(undefined); break;
      case "+": case "=": zoom(1.3); break;
      case "-": zoom(1 / 1.3); break;
      case "0": case "f": fit(); break;
      default: {
        if (!/^(Arrow|Home|End)/.test(event.key)) return;
        const next = chosenAt === undefined ? here : step(graph, here, event.key);
        if (next !== undefined) choose(keyOf(picture.boxes[next] as Box));
      }
    }
    event.preventDefault();
  };
  // All of it, as large as it is, or as large as browsers can.
  const download = () => {
    const sheet = document.createElement("canvas");
    const k = Math.min(1, LARGEST / picture.width, LARGEST / picture.height);
    const context = prepare(sheet, picture.width * k, picture.height * k);
    if (!context) return;
    const colours = palette(canvas.current);
    context.fillStyle = colours.ground;
    context.fillRect(0, 0, picture.width, picture.height);
    drawGraph(context, { graph, statuses, chosen: undefined, hits: new Set(), stream: false }, { x: 0, y: 0, k }, picture.width, picture.height, colours);
    sheet.toBlob((blob) => {
      if (!blob) return;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${dag}-v${picture.version_number}.png`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  };
  const said = chosenAt === undefined ? undefined : describe(graph, chosenAt, statuses[chosenAt]);
  return (
    <div className="graph" data-theme-is={dark ? "dark" : "light"}>
      <p className="grid-said" aria-live="polite">{said ?? <span className="quiet">Click a task, or move with the arrow keys along the lines; Enter opens it. Wheel or + and − zoom, dragging moves, 0 fits.</span>}</p>
      <div ref={frame} className="graph-frame">
        <div className="graph-box" role="listbox" tabIndex={0} aria-label={`Graph of ${dag}: ${graph.leaves.length} boxes`} aria-activedescendant={said ? `${id}-box` : undefined} onKeyDown={hear} onFocus={(event) => { if (chosenAt === undefined && event.currentTarget.matches(":focus-visible")) { const first = step(graph, graph.leaves[0] ?? 0, "Home"); if (first !== undefined) choose(keyOf(picture.boxes[first] as Box)); } }}>
          <canvas
            ref={canvas} aria-hidden="true"
            onPointerDown={(event) => { moved.current = pointers.current.size > 0; pointers.current.set(event.pointerId, at(event)); event.currentTarget.setPointerCapture(event.pointerId); }}
            onPointerMove={drag} onPointerUp={release} onPointerCancel={(event) => pointers.current.delete(event.pointerId)}
            onDoubleClick={(event) => { const index = hit(event); if (index !== undefined && picture.boxes[index]?.kind === "task") act(index); }}
          />
          <div role="option" id={`${id}-box`} className="seen-by-ear" aria-selected={said !== undefined} aria-setsize={graph.leaves.length} aria-posinset={chosenAt === undefined ? 1 : graph.leaves.indexOf(chosenAt) + 1}>{said ?? "nothing is chosen"}</div>
        </div>
        <div className="graph-zoom" role="group" aria-label="Zoom">
          <button type="button" aria-label="Larger" onClick={() => zoom(1.3)}>+</button>
          <button type="button" aria-label="Smaller" onClick={() => zoom(1 / 1.3)}>−</button>
          <button type="button" onClick={() => fit()}>Fit</button>
          <button type="button" aria-label="Download as PNG" onClick={download}>PNG</button>
        </div>
      </div>
    </div>
  );
}

/** The same in rows, for whoever reads better than looks. */
function Twin({ graph, statuses, chosen, hits, act }: { graph: Shape; statuses: (Status | undefined)[]; chosen: number | undefined; hits: ReadonlySet<number> | undefined; act: (index: number) => void }) {
  const names = (all: number[] | undefined) => (all ?? []).map((one) => graph.picture.boxes[one]?.id).join(", ");
  const rows = graph.leaves.filter((index) => !hits || hits.has(index));
  if (rows.length === 0) return <Empty title="No task is called so" />;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="The graph as a table"><table>
      <thead><tr><th scope="col">Task or group</th><th scope="col">Kind</th><th scope="col">State</th><th scope="col">After</th><th scope="col">Before</th></tr></thead>
      <tbody>{rows.map((index) => {
        const box = graph.picture.boxes[index] as Box;
        const status = statuses[index];
        return (
          <tr key={keyOf(box)} aria-current={index === chosen ? "true" : undefined}>
            <td><button type="button" className="link" aria-expanded={box.kind === "group" ? false : undefined} onClick={() => act(index)}>{box.kind === "group" && <span aria-hidden="true">▸ </span>}{box.id}</button></td>
            <td>{box.kind === "group" ? `${box.members.length} tasks` : box.operator}{roleOf(box) && <div className="quiet"><span aria-hidden="true">{roleOf(box)?.sign} </span>{roleOf(box)?.word}</div>}{box.trigger_rule && <div className="quiet">{box.trigger_rule}</div>}</td>
            <td>{status?.state && <span className="state"><Mark state={status.state} />{lookOf(status.state).word}</span>}</td>
            <td>{names(graph.before[index])}</td><td>{names(graph.after[index])}</td>
          </tr>
        );
      })}</tbody>
    </table></div>
  );
}
