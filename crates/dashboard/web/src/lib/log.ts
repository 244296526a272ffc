// Lines of a log: colours of terminals, levels and groups. Everything stays text: nothing of a log is ever markup.

export interface Piece { text: string; style: string }
export interface Line { number: number; text: string; level: Level; group?: "open" | "close" }
export type Level = "error" | "warning" | "info" | "debug" | "";

const ESCAPE = /\u001b\[([0-9;]*)([A-Za-z])/g;
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** Without escapes. */
export const plain = (text: string): string => text.replace(ESCAPE, "");

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

function levelOf(text: string): Level {
  const word = /\b(CRITICAL|FATAL|ERROR|WARN(?:ING)?|INFO|DEBUG)\b|(Traceback \(most recent call last\)|\w+(?:Error|Exception): )/.exec(text);
  if (!word) return "";
  if (word[2]) return "error";
  switch (word[1]) {
    case "WARN": case "WARNING": return "warning";
    case "INFO": return "info";
    case "DEBUG": return "debug";
    default: return "error";
  }
}

export function line(raw: string, number: number): Line {
  const text = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
  const bare = plain(text);
  if (bare.startsWith("::group::")) return { number, text: bare.slice(9) || "group", level: "", group: "open" };
  if (bare.startsWith("::endgroup::")) return { number, text: "", level: "", group: "close" };
  return { number, text, level: levelOf(bare) };
}
