// Which groups are folded, as the address says it: the shorter of two lists, or nothing where it is as usual.

export interface Folding { folded?: string | undefined; open?: string | undefined }
const ALL = "*";

const named = (text: string, groups: readonly string[]) => (text === ALL ? new Set(groups) : new Set(text.split(",").filter((name) => groups.includes(name))));

/** The folded ones. Where the address says nothing, none is. */
export function foldedOf(folding: Folding, groups: readonly string[]): ReadonlySet<string> {
  if (folding.folded) return named(folding.folded, groups);
  if (!folding.open) return new Set();
  const open = named(folding.open, groups);
  return new Set(groups.filter((group) => !open.has(group)));
}

export function foldingOf(folded: ReadonlySet<string>, groups: readonly string[]): Folding {
  const open = groups.filter((group) => !folded.has(group));
  if (open.length === 0) return { folded: ALL };
  if (folded.size === 0) return { open: ALL };
  return folded.size <= open.length ? { folded: [...folded].join(",") } : { open: open.join(",") };
}

export function toggled(folded: ReadonlySet<string>, groups: readonly string[], group: string): Folding {
  const next = new Set(folded);
  if (!next.delete(group)) next.add(group);
  return foldingOf(next, groups);
}
