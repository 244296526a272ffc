// A graph on a canvas: groups, lines, boxes, as much of them as is seen.
import { type Colours, cut, paint } from "./canvas";
import { type Graph, type Line, linesOf, stream } from "./graph";
import { roleOf } from "./role";
import { lookOf } from "./states";

export interface View { x: number; y: number; k: number }
/** What is shown in a box beside its name. */
export interface Status { state: string | undefined; count: number }

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif';
/** Smaller, names cannot be read, and boxes are their colours. */
const READABLE = 0.42;

interface Paths { lines: Path2D; back: Path2D; heads: Path2D }
const kept = new WeakMap<Graph, Paths>();
const texts = new WeakMap<Graph, Map<number, [string, string]>>();

function trace(path: Path2D, line: Line) {
  const points = line.points;
  path.moveTo(points[0] ?? 0, points[1] ?? 0);
  for (let n = 2; n + 1 < points.length; n += 2) {
    const [ax, ay, bx, by] = [points[n - 2] ?? 0, points[n - 1] ?? 0, points[n] ?? 0, points[n + 1] ?? 0];
    if (line.is_back) path.bezierCurveTo(ax + 80, ay, bx - 80, by, bx, by);
    else if (ay === by) path.lineTo(bx, by);
    else path.bezierCurveTo((ax + bx) / 2, ay, (ax + bx) / 2, by, bx, by);
  }
}

function head(path: Path2D, line: Line) {
  const [x, y] = line.points.slice(-2) as [number, number];
  path.moveTo(x, y);
  path.lineTo(x - 7, y - 4);
  path.lineTo(x - 7, y + 4);
  path.closePath();
}

function paths(lines: Iterable<Line>, boxes: number): Paths {
  const made = { lines: new Path2D(), back: new Path2D(), heads: new Path2D() };
  for (const line of lines) {
    trace(line.is_back ? made.back : made.lines, line);
    if (line.to < boxes) head(made.heads, line);
  }
  return made;
}

function strokes(context: CanvasRenderingContext2D, made: Paths, colour: string, width: number, heads: boolean) {
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = width;
  context.stroke(made.lines);
  context.setLineDash([6, 4]);
  context.stroke(made.back);
  context.setLineDash([]);
  if (heads) context.fill(made.heads);
}

export interface Shown { graph: Graph; statuses: (Status | undefined)[]; chosen: number | undefined; hits: ReadonlySet<number>; stream: boolean }

export function drawGraph(context: CanvasRenderingContext2D, { graph, statuses, chosen, hits, stream: onlyStream }: Shown, view: View, width: number, height: number, colours: Colours) {
  const { boxes, lines } = graph.picture;
  let all = kept.get(graph);
  if (!all) kept.set(graph, (all = paths(lines, boxes.length)));
  let cuts = texts.get(graph);
  if (!cuts) texts.set(graph, (cuts = new Map()));
  const near = chosen === undefined ? undefined : new Set([chosen, ...stream(graph, chosen, "before"), ...stream(graph, chosen, "after")]);
  const dims = (index: number) => Boolean(onlyStream && near && !near.has(index));
  const [left, top, right, bottom] = [-view.x / view.k, -view.y / view.k, (width - view.x) / view.k, (height - view.y) / view.k];
  const seen = (index: number) => {
    const box = boxes[index];
    return box && box.x <= right && box.y <= bottom && box.x + box.width >= left && box.y + box.height >= top ? box : undefined;
  };
  context.save();
  context.translate(view.x, view.y);
  context.scale(view.k, view.k);
  const hair = 1 / view.k;

  boxes.forEach((_, index) => {
    const box = seen(index);
    if (!box?.is_open) return;
    context.beginPath();
    context.roundRect(box.x, box.y, box.width, box.height, 10);
    context.fillStyle = colours.raised;
    context.fill();
    context.lineWidth = Math.max(1, hair);
    context.strokeStyle = colours.kinds.off;
    context.stroke();
  });

  const dimmed = onlyStream && near ? 0.25 : 1;
  context.globalAlpha = dimmed;
  strokes(context, all, colours.kinds.waiting, Math.max(1.3, hair), view.k > READABLE);
  context.globalAlpha = 1;
  if (chosen !== undefined) strokes(context, paths(linesOf(graph, chosen), boxes.length), colours.accent, Math.max(2.4, 2 * hair), view.k > READABLE);

  context.textBaseline = "middle";
  boxes.forEach((_, index) => {
    const box = seen(index);
    if (!box?.is_open) return;
    // A name stays readable as long as there is room for it.
    const size = Math.min(13 / Math.min(1, view.k), 22 / view.k, 30);
    if (box.width * view.k < 40) return;
    context.font = `600 ${size}px ${FONT}`;
    context.fillStyle = colours.quiet;
    const status = statuses[index];
    const room = box.width - 20 - (status?.state ? 20 : 0);
    if (status?.state) paint(context, box.x + 10, box.y + 9, 14, status.state, colours);
    context.fillText(cut(context, `▾ ${box.label}`, room), box.x + (status?.state ? 30 : 10), box.y + 17);
  });

  for (const index of graph.leaves) {
    const box = seen(index);
    if (!box) continue;
    const status = statuses[index];
    const look = status?.state ? lookOf(status.state) : undefined;
    const colour = look ? colours.kinds[look.kind] : colours.kinds.off;
    const solid = look && (look.kind === "success" || look.kind === "failed" || look.kind === "running" || look.kind === "retry" || look.kind === "deferred");
    context.globalAlpha = dims(index) ? 0.25 : 1;
    context.beginPath();
    context.roundRect(box.x, box.y, box.width, box.height, 7);
    const plain = view.k <= READABLE;
    context.fillStyle = hits.has(index) ? colours.hit : plain && solid ? colour : colours.ground;
    context.fill();
    context.lineWidth = Math.max(look ? 2 : 1.2, hair);
    context.strokeStyle = colour;
    context.stroke();
    if (box.kind === "group") {
      // A second border: there is more in it.
      context.beginPath();
      context.roundRect(box.x + 4, box.y + 4, box.width - 8, box.height - 8, 4);
      context.lineWidth = Math.max(0.8, hair);
      context.stroke();
    }
    if (plain) {
      context.globalAlpha = 1;
      if (index === chosen) ring(context, box, colours.accent, 4 * hair);
      continue;
    }
    const indent = status?.state ? 36 : 14;
    if (status?.state) paint(context, box.x + 11, box.y + box.height / 2 - 9, 18, status.state, colours);
    let words = cuts.get(index);
    if (!words) {
      const room = box.width - 36 - 10;
      context.font = `600 13px ${FONT}`;
      const name = cut(context, `${box.kind === "group" ? "▸ " : ""}${roleOf(box) ? `${roleOf(box)?.sign} ` : ""}${box.label}`, room);
      context.font = `11px ${FONT}`;
      const about = box.kind === "group" ? `${box.members.length} tasks` : [box.operator, roleOf(box)?.word, box.trigger_rule].filter(Boolean).join(" · ");
      cuts.set(index, (words = [name, cut(context, about, room)]));
    }
    context.font = `600 13px ${FONT}`;
    context.fillStyle = colours.text;
    context.fillText(words[0], box.x + indent, box.y + 16);
    context.font = `11px ${FONT}`;
    context.fillStyle = hits.has(index) ? colours.text : colours.quiet;
    context.fillText(status && status.count > 1 ? `${status.count} × ${words[1]}` : words[1], box.x + indent, box.y + 32);
    context.globalAlpha = 1;
    if (index === chosen) ring(context, box, colours.accent, Math.max(3, 2.5 * hair));
  }
  context.restore();
}

function ring(context: CanvasRenderingContext2D, box: { x: number; y: number; width: number; height: number }, colour: string, width: number) {
  context.beginPath();
  context.roundRect(box.x - 4, box.y - 4, box.width + 8, box.height + 8, 10);
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}
