// What is painted on canvases: marks of states as elsewhere, in the colours of the theme.
import { type Kind, lookOf } from "./states";

export interface Colours { kinds: Record<Kind, string>; ground: string; raised: string; over: string; line: string; text: string; quiet: string; accent: string; hit: string }
const KINDS = ["success", "failed", "blocked", "running", "retry", "deferred", "waiting", "off"] as const;

export function palette(node: HTMLElement | null): Colours {
  const style = getComputedStyle(node ?? document.documentElement);
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const kinds = Object.fromEntries(KINDS.map((kind) => [kind, of(kind)])) as Record<Kind, string>;
  return { kinds, ground: of("ground"), raised: of("raised"), over: of("over"), line: of("line"), text: of("text"), quiet: of("quiet"), accent: of("accent"), hit: of("hit") };
}

/** An empty canvas of this size, in pixels of the page. */
export function prepare(node: HTMLCanvasElement | null, width: number, height: number): CanvasRenderingContext2D | null {
  const context = node?.getContext("2d");
  if (!node || !context) return null;
  const scale = window.devicePixelRatio || 1;
  if (node.width !== Math.round(width * scale) || node.height !== Math.round(height * scale)) {
    node.width = Math.round(width * scale);
    node.height = Math.round(height * scale);
    node.style.width = `${width}px`;
    node.style.height = `${height}px`;
  }
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

const marks = new Map<string, Path2D>();
const box = new Path2D();
box.roundRect(0.75, 0.75, 14.5, 14.5, 3.5);

/** Solid is what ran or runs; an outline is what did not, or not yet. */
const isSolid = (kind: Kind) => kind === "success" || kind === "failed" || kind === "running" || kind === "retry" || kind === "deferred";

export function paint(context: CanvasRenderingContext2D, x: number, y: number, size: number, state: string | undefined, colours: Colours) {
  if (!state) return;
  const look = lookOf(state);
  let mark = marks.get(look.mark);
  if (!mark) {
    mark = new Path2D(look.mark);
    marks.set(look.mark, mark);
  }
  const colour = colours.kinds[look.kind];
  const solid = isSolid(look.kind);
  context.save();
  context.translate(x, y);
  context.scale(size / 16, size / 16);
  context.lineWidth = 1.5;
  if (solid) {
    context.fillStyle = colour;
    context.fill(box);
  } else {
    context.strokeStyle = colour;
    context.stroke(box);
  }
  context.strokeStyle = solid ? colours.ground : colour;
  context.fillStyle = context.strokeStyle;
  context.lineWidth = 1.9;
  context.lineCap = "round";
  context.lineJoin = "round";
  context.stroke(mark);
  if (look.kind === "running") context.fill(mark);
  context.restore();
}

const stamps = new Map<string, HTMLCanvasElement>();

/** The same, for thousands of them: each is painted once and copied. */
export function stamp(context: CanvasRenderingContext2D, x: number, y: number, size: number, state: string | undefined, colours: Colours) {
  if (!state) return;
  const scale = window.devicePixelRatio || 1;
  const look = lookOf(state);
  const key = `${look.kind} ${look.mark} ${size} ${scale} ${colours.kinds[look.kind]} ${colours.ground}`;
  let made = stamps.get(key);
  if (!made) {
    made = document.createElement("canvas");
    const inner = prepare(made, size, size);
    if (!inner) return;
    paint(inner, 0, 0, size, state, colours);
    // Sizes and themes change seldom; what is left of them is not worth more than this.
    if (stamps.size > 200) stamps.clear();
    stamps.set(key, made);
  }
  context.drawImage(made, x, y, size, size);
}

/** As much of a text as there is room for, in the font that is set. */
export function cut(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  let [fits, no] = [0, text.length];
  while (no - fits > 1) {
    const middle = (fits + no) >> 1;
    if (context.measureText(`${text.slice(0, middle)}…`).width <= width) fits = middle;
    else no = middle;
  }
  return fits ? `${text.slice(0, fits)}…` : "";
}
