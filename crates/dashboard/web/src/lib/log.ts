// A log as the page holds it: the lines that are looked at, by their numbers, and what it grows by. Everything stays text: nothing of a log is
// ever markup.
import { type Schemas, get } from "../api/client";
import { type Place, type Query, logUrl } from "../api/logs";

export interface Piece { text: string; style: string }
/** `mark` says what it is, in the letters of the API: an error, a warning, the begin of a group, … */
export interface Line { number: number; text: string; mark: string }

const ESCAPE = /\u001b\[([0-9;]*)([A-Za-z])/g;
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** Without escapes. */
export const plain = (text: string): string => (text.includes("\u001b") ? text.replace(ESCAPE, "") : text);

/** Pieces with the classes of their colours. */
export function pieces(text: string): Piece[] {
  if (!text.includes("\u001b")) return [{ text, style: "" }];
  const found: Piece[] = [];
  let at = 0;
  let colour = "";
  let bold = false;
  const push = (end: number) => {
    if (end > at) found.push({ text: text.slice(at, end), style: [colour && `ansi-${colour}`, bold && "ansi-bold"].filter(Boolean).join(" ") });
  };
  for (const match of text.matchAll(ESCAPE)) {
    push(match.index);
    at = match.index + match[0].length;
    if (match[2] !== "m") continue;
    for (const code of (match[1] || "0").split(";").map(Number)) {
      if (code === 0) { colour = ""; bold = false; }
      else if (code === 1) bold = true;
      else if (code === 22) bold = false;
      else if (code === 39) colour = "";
      else if (code >= 30 && code <= 37) colour = COLOURS[code - 30] ?? "";
      else if (code >= 90 && code <= 97) colour = COLOURS[code - 90] ?? "";
    }
  }
  push(text.length);
  return found;
}

/** What a line that opens a group calls it. */
export const groupName = (text: string): string => plain(text).split("::group::")[1]?.trim() || "group";

/** What is searched for, as something that finds it in a line; none, where the browser does not know such a pattern. */
export function finder(query: string, regex: boolean, exact: boolean): RegExp | undefined {
  if (!query) return undefined;
  try {
    return new RegExp(regex ? query : query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), exact ? "gu" : "giu");
  } catch {
    return undefined;
  }
}

const PAGE = 500;
/** Pages that are kept: what is scrolled past is read again when one comes back. */
const KEPT = 120;
const AGAIN = 2_000;

interface Grown { first: number; total: number; bytes: number; lines?: string[]; marks?: string }

/** One log. Whoever shows it subscribes, says which lines are wanted, and draws what is there. */
export class Log {
  total = 0;
  bytes = 0;
  end = false;
  begun = false;
  error: string | undefined;
  version = 0;
  private readonly pages = new Map<number, Map<number, Line>>();
  private readonly asked = new Set<number>();
  private readonly stored: { line: number; at: string }[] = [];
  private readonly listeners = new Set<() => void>();
  private gone = new AbortController();
  private source: EventSource | undefined;
  private timer: number | undefined;

  constructor(readonly place: Place) {}

  readonly subscribe = (tell: () => void) => {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  };

  private changed() {
    this.version += 1;
    for (const tell of this.listeners) tell();
  }

  /** Reads around a line, or the end, and then hears of what comes. Returns what ends that. */
  open(line: number | undefined): () => void {
    this.gone = new AbortController();
    void this.begin(line);
    return () => {
      this.gone.abort();
      this.source?.close();
      window.clearTimeout(this.timer);
      this.asked.clear();
    };
  }

  private async begin(line: number | undefined) {
    const gone = this.gone;
    try {
      const read = await this.read(line ? { from: Math.max(1, line - PAGE / 2), limit: PAGE } : { from: -PAGE, limit: PAGE });
      if (gone.signal.aborted) return;
      this.begun = true;
      this.changed();
      if (!this.end) this.follow(read.next);
    } catch (error) {
      if (gone.signal.aborted) return;
      this.begun = true;
      this.error = error instanceof Error ? error.message : String(error);
      this.changed();
      this.timer = window.setTimeout(() => void this.begin(line), AGAIN);
    }
  }

  private async read(query: Query) {
    const read = await get<Schemas["Lines"]>(logUrl(this.place, "/lines", query), this.gone.signal);
    read.numbers.forEach((number, at) => this.set({ number, text: read.lines[at] ?? "", mark: read.marks[at] ?? " " }));
    for (const one of read.stored) this.storedAt(one.line, one.at);
    // What was heard of meanwhile is newer.
    this.total = Math.max(this.total, read.total);
    this.bytes = Math.max(this.bytes, read.bytes);
    this.end ||= read.end;
    this.error = undefined;
    return read;
  }

  private follow(from: string) {
    const source = new EventSource(logUrl(this.place, "/follow", { from }));
    this.source = source;
    const hear = (event: Event) => {
      const grown = JSON.parse((event as MessageEvent<string>).data) as Grown;
      this.total = grown.total;
      this.bytes = grown.bytes;
      this.error = undefined;
      if (grown.lines) {
        this.storedAt(grown.first, new Date().toISOString());
        grown.lines.forEach((text, at) => this.set({ number: grown.first + at, text, mark: grown.marks?.[at] ?? " " }));
      } else {
        // Its last line may have grown; what is looked at is read.
        this.pages.get(Math.floor((grown.first - 1) / PAGE))?.delete(grown.first);
      }
      this.changed();
    };
    source.addEventListener("lines", hear);
    source.addEventListener("grown", hear);
    const finish = () => {
      source.close();
      this.end = true;
      this.changed();
    };
    source.addEventListener("end", finish);
    source.addEventListener("gone", finish);
    source.onerror = () => {
      // It ends each minute, and opens itself again where it was; only an answer that is an error closes it.
      if (source.readyState !== EventSource.CLOSED) return;
      this.timer = window.setTimeout(() => void this.begin(undefined), AGAIN);
    };
  }

  private set(line: Line) {
    const number = Math.floor((line.number - 1) / PAGE);
    let page = this.pages.get(number);
    if (!page) {
      page = new Map();
      this.pages.set(number, page);
      if (this.pages.size > KEPT) this.pages.delete(this.pages.keys().next().value as number);
    }
    page.set(line.number, line);
  }

  private storedAt(line: number, at: string) {
    let to = this.stored.length;
    while (to > 0 && (this.stored[to - 1]?.line ?? 0) > line) to -= 1;
    if (this.stored[to - 1]?.line !== line) this.stored.splice(to, 0, { line, at });
  }

  /** When a line was stored. */
  timeOf(number: number): string | undefined {
    let low = 0;
    let high = this.stored.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.stored[middle]?.line ?? 0) <= number) low = middle + 1;
      else high = middle;
    }
    return this.stored[low - 1]?.at;
  }

  line(number: number): Line | undefined {
    return this.pages.get(Math.floor((number - 1) / PAGE))?.get(number);
  }

  /** Reads those of these lines that are not there. */
  want(numbers: number[]) {
    const missing = numbers.filter((number) => number >= 1 && number <= this.total && !this.line(number) && !this.asked.has(number));
    const [first] = missing;
    const last = missing.at(-1);
    if (first === undefined || last === undefined) return;
    const whole = last - first < PAGE;
    // Of neighbours a whole page; of lines that a level picked, these alone.
    const from = whole ? Math.floor((first - 1) / PAGE) * PAGE + 1 : first;
    const query = whole && missing.length > 1 ? { from, limit: PAGE + (last - from >= PAGE ? PAGE : 0) } : { at: missing.slice(0, PAGE).join(","), limit: PAGE };
    for (const number of missing) this.asked.add(number);
    const gone = this.gone;
    const done = () => {
      for (const number of missing) this.asked.delete(number);
      if (!gone.signal.aborted) this.changed();
    };
    this.read(query).then(done, (error: unknown) => {
      if (gone.signal.aborted) return;
      this.error = error instanceof Error ? error.message : String(error);
      this.changed();
      // Whoever shows them asks again when it draws.
      window.setTimeout(done, AGAIN);
    });
  }
}

