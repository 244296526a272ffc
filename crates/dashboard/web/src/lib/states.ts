// How a state looks. A shape and a word go with every colour: colour alone tells nobody anything.

export type Kind = "success" | "failed" | "blocked" | "running" | "retry" | "deferred" | "waiting" | "off";

interface Look {
  kind: Kind;
  word: string;
  /** Drawn in a box of 16 × 16, in the colour of the ground. */
  mark: string;
}

const CHECK = "M4.2 8.4 7 11.2 11.8 5.2";
const CROSS = "M4.8 4.8 11.2 11.2 M11.2 4.8 4.8 11.2";
const SLASH = "M11.5 4.5 4.5 11.5";
const PLAY = "M6.2 4.4 11.4 8 6.2 11.6 Z";
const TURN = "M11.4 8a3.4 3.4 0 1 1-1.2-2.6 M10.6 3.2v2.4H8.2";
const DOTS = "M4.6 8h.01 M8 8h.01 M11.4 8h.01";
const GLASS = "M5 4.4h6 M5 11.6h6 M5.8 4.4 10.2 11.6 M10.2 4.4 5.8 11.6";
const PAUSE = "M6.2 4.8v6.4 M9.8 4.8v6.4";
const DASH = "M4.8 8h6.4";
const GONE = "M4.8 6.2h6.4 M4.8 9.8h6.4";

const LOOKS: Record<string, Look> = {
  success: { kind: "success", word: "success", mark: CHECK },
  failed: { kind: "failed", word: "failed", mark: CROSS },
  upstream_failed: { kind: "blocked", word: "upstream failed", mark: SLASH },
  running: { kind: "running", word: "running", mark: PLAY },
  up_for_retry: { kind: "retry", word: "waits to retry", mark: TURN },
  deferred: { kind: "deferred", word: "deferred", mark: PAUSE },
  queued: { kind: "waiting", word: "queued", mark: DOTS },
  scheduled: { kind: "waiting", word: "scheduled", mark: GLASS },
  skipped: { kind: "off", word: "skipped", mark: DASH },
  removed: { kind: "off", word: "removed", mark: GONE },
  none: { kind: "waiting", word: "waiting", mark: "" },
};

const LETTERS: Record<string, string> = {
  s: "success", f: "failed", u: "upstream_failed", r: "running", q: "queued", d: "deferred", c: "scheduled", y: "up_for_retry", k: "skipped", x: "removed", n: "none",
};

/** The letter of a state, as in a grid. */
export const letterOf = (state: string | null | undefined): string => Object.keys(LETTERS).find((letter) => LETTERS[letter] === (state ?? "none")) ?? "-";
/** The state of a letter of a grid; nothing where the run has no such task. */
export const stateOf = (letter: string | undefined): string | undefined => (letter ? LETTERS[letter] : undefined);
export const lookOf = (state: string | null | undefined): Look => LOOKS[state ?? "none"] ?? { kind: "off", word: state ?? "", mark: "" };
/** Whether nothing more will happen by itself. */
export const isOver = (state: string | null | undefined): boolean => ["success", "failed", "upstream_failed", "skipped", "removed"].includes(state ?? "");
export const isFailure = (state: string | null | undefined): boolean => state === "failed" || state === "upstream_failed";

const RANK = ["f", "u", "r", "y", "q", "d", "c", "n", "s", "k", "x"];
/** Of several letters the one that a group shows: the worst. */
export function worst(letters: Iterable<string>): string {
  let best = RANK.length;
  for (const letter of letters) {
    const rank = RANK.indexOf(letter);
    if (rank >= 0 && rank < best) best = rank;
  }
  return RANK[best] ?? "-";
}

/** Every state that is drawn, in the order in which a task goes through them. */
export const STATES: readonly string[] = ["none", "scheduled", "queued", "running", "deferred", "up_for_retry", "success", "failed", "upstream_failed", "skipped", "removed"];
