// What is where in a graph: who comes before whom, what lies next to what, and what a line belongs to.
import type { Schemas } from "../api/client";

export type Picture = Schemas["GraphPicture"];
export type Box = Picture["boxes"][number];
export type Line = Picture["lines"][number];

export interface Graph {
  picture: Picture;
  /** Boxes that are no open group: those that one can walk to. */
  leaves: number[];
  at: Map<string, number>;
  /** The leaf that shows a task: itself, or the folded group that it is in. */
  shows: Map<string, number>;
  after: number[][];
  before: number[][];
}

/** `task` and `group` may have one id. */
export const keyOf = (box: Box): string => (box.kind === "group" ? `${box.id}/` : box.id);

export function graphOf(picture: Picture): Graph {
  const count = picture.boxes.length;
  const next = new Map<number, number[]>();
  for (const line of picture.lines) {
    const ends = next.get(line.from);
    if (ends) ends.push(line.to);
    else next.set(line.from, [line.to]);
  }
  const after: number[][] = picture.boxes.map(() => []);
  const before: number[][] = picture.boxes.map(() => []);
  const leaves: number[] = [];
  const at = new Map<string, number>();
  const shows = new Map<string, number>();
  picture.boxes.forEach((box, index) => {
    at.set(keyOf(box), index);
    if (box.kind === "group" && box.is_open) return;
    leaves.push(index);
    shows.set(box.id, index);
    for (const member of box.members) shows.set(member, index);
    // Through ports, to the boxes behind them: whoever leads to a port leads to all of those.
    const seen = new Set<number>();
    const open = [...(next.get(index) ?? [])];
    for (let end = open.pop(); end !== undefined; end = open.pop()) {
      if (seen.has(end)) continue;
      seen.add(end);
      if (end >= count) open.push(...(next.get(end) ?? []));
      else {
        after[index]?.push(end);
        before[end]?.push(index);
      }
    }
  });
  const byHeight = (a: number, b: number) => (picture.boxes[a]?.y ?? 0) - (picture.boxes[b]?.y ?? 0);
  for (const ends of [...after, ...before]) ends.sort(byHeight);
  return { picture, leaves, at, shows, after, before };
}

/** All that comes before it, or after it, however far. */
export function stream(graph: Graph, from: number, side: "before" | "after"): Set<number> {
  const found = new Set<number>();
  const open = [from];
  for (let index = open.pop(); index !== undefined; index = open.pop()) {
    for (const other of graph[side][index] ?? []) {
      if (found.has(other)) continue;
      found.add(other);
      open.push(other);
    }
  }
  return found;
}

/** The lines that lead to a box, or from it, ports included. */
export function linesOf(graph: Graph, index: number): Set<Line> {
  const count = graph.picture.boxes.length;
  const found = new Set<Line>();
  for (const [from, to] of [["from", "to"], ["to", "from"]] as const) {
    const open = [index];
    const seen = new Set(open);
    for (let end = open.pop(); end !== undefined; end = open.pop()) {
      for (const line of graph.picture.lines) {
        if (line[from] !== end) continue;
        found.add(line);
        if (line[to] >= count && !seen.has(line[to])) {
          seen.add(line[to]);
          open.push(line[to]);
        }
      }
    }
  }
  return found;
}

const middle = (box: Box) => ({ x: box.x + box.width / 2, y: box.y + box.height / 2 });

/** Where an arrow key leads: along a line to the side, or to what is right above or below. */
export function step(graph: Graph, from: number, key: string): number | undefined {
  const own = graph.picture.boxes[from];
  if (!own) return undefined;
  const here = middle(own);
  const nearest = (all: number[], cost: (x: number, y: number) => number): number | undefined => {
    let best: number | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const index of all) {
      const box = graph.picture.boxes[index];
      if (!box || index === from) continue;
      const there = middle(box);
      const price = cost(there.x - here.x, there.y - here.y);
      if (price < least) [best, least] = [index, price];
    }
    return best;
  };
  switch (key) {
    case "ArrowRight": return nearest(graph.after[from] ?? [], (_, y) => Math.abs(y));
    case "ArrowLeft": return nearest(graph.before[from] ?? [], (_, y) => Math.abs(y));
    case "ArrowDown": return nearest(graph.leaves, (x, y) => (y > 0 ? y + Math.abs(x) * 2 : Number.POSITIVE_INFINITY));
    case "ArrowUp": return nearest(graph.leaves, (x, y) => (y < 0 ? -y + Math.abs(x) * 2 : Number.POSITIVE_INFINITY));
    case "Home": return graph.leaves.reduce<number | undefined>((best, index) => (best === undefined || (graph.picture.boxes[index]?.x ?? 0) < (graph.picture.boxes[best]?.x ?? 0) ? index : best), undefined);
    case "End": return graph.leaves.reduce<number | undefined>((best, index) => (best === undefined || (graph.picture.boxes[index]?.x ?? 0) > (graph.picture.boxes[best]?.x ?? 0) ? index : best), undefined);
    default: return undefined;
  }
}

/** The tasks whose states a box shows. */
export const membersOf = (box: Box): string[] => (box.kind === "group" ? box.members : [box.id]);
