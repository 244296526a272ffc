// Times as people read them, and one clock for all that grows while it is looked at.
import { useSyncExternalStore } from "react";

let now = Date.now();
const listeners = new Set<() => void>();
let timer: number | undefined;

function subscribe(listener: () => void) {
  listeners.add(listener);
  timer ??= window.setInterval(() => {
    now = Date.now();
    for (const tell of listeners) tell();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      window.clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The time, a second exact. Who uses it is drawn each second. */
export const useNow = (): number => useSyncExternalStore(subscribe, () => now);

export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "";
  const s = Math.max(0, seconds);
  if (s > 0 && s < 0.95) return `${Math.max(1, Math.round(s * 1000))} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

export function relative(at: string, from: number): string {
  const seconds = (from - Date.parse(at)) / 1000;
  const abs = Math.abs(seconds);
  if (abs < 2) return "now";
  const [n, unit] = abs < 100 ? [abs, "s"] : abs < 5400 ? [abs / 60, "min"] : abs < 129_600 ? [abs / 3600, "h"] : [abs / 86_400, "d"];
  return seconds < 0 ? `in ${Math.round(n)} ${unit}` : `${Math.round(n)} ${unit} ago`;
}

const formats = new Map<string, Intl.DateTimeFormat>();
function format(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = zone + JSON.stringify(options);
  let found = formats.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat("en-GB", { ...options, hourCycle: "h23", timeZone: zone });
    formats.set(key, found);
  }
  return found;
}

/** `27 Nov 07:12:03`, with the year where it is another. */
export function absolute(at: string, zone: string): string {
  const date = new Date(at);
  const year = date.getFullYear() === new Date().getFullYear() ? {} : ({ year: "numeric" } as const);
  return format(zone, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", ...year }).format(date).replace(",", "");
}

export const clock = (at: number, zone: string): string => format(zone, { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(at);
let local: string | undefined;
/** Asked once: it is slow to ask, and every time on a page does. */
export const localZone = (): string => (local ??= Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");

/** `07:12`, or `27 Nov 07:12`: a moment on an axis. */
export const moment = (at: string, zone: string, day: boolean): string => format(zone, { ...(day ? { day: "numeric", month: "short" } : {}), hour: "2-digit", minute: "2-digit" } as const).format(new Date(at)).replace(",", "");
