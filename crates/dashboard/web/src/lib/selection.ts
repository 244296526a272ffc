// Selected tasks as text for the address: names in the order of the file, and `first:last` for those that stand together. Neither `:` nor `,` is
// part of a task's name.
import { type Bar, nameOf } from "./bars";

/** Nothing when none is selected. */
export function written(bars: Bar[], keys: ReadonlySet<string>): string | undefined {
  const parts: string[] = [];
  for (let at = 0; at < bars.length; at += 1) {
    const first = bars[at] as Bar;
    if (!keys.has(first.key)) continue;
    let last = first;
    for (let next = bars[at + 1]; next && keys.has(next.key); next = bars[at + 1]) {
      last = next;
      at += 1;
    }
    parts.push(first === last ? nameOf(first) : `${nameOf(first)}:${nameOf(last)}`);
  }
  return parts.length ? parts.join(",") : undefined;
}

/** The keys of what is named. What the run does not have is left out. */
export function read(bars: Bar[], text: string | undefined): ReadonlySet<string> {
  const keys = new Set<string>();
  if (!text) return keys;
  const places = new Map(bars.map((bar, at) => [nameOf(bar), at]));
  for (const part of text.split(",")) {
    const [first = "", last = first] = part.split(":");
    const from = places.get(first);
    const to = places.get(last);
    if (from === undefined || to === undefined) continue;
    for (const bar of bars.slice(from, to + 1)) keys.add(bar.key);
  }
  return keys;
}
