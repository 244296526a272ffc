// What a person likes, and what is not about the page that a link names: kept in the browser.
import { useSyncExternalStore } from "react";
import { localZone } from "./time";

export type Theme = "auto" | "light" | "dark";
interface Preferences { theme: Theme; zone: "UTC" | "local" }

const KEY = "updraft";
const listeners = new Set<() => void>();
let kept: Preferences = { theme: "auto", zone: "local" };
try {
  kept = { ...kept, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Preferences>) };
} catch {
  // A browser that keeps nothing for us, or something else: as on the first visit.
}

function apply() {
  if (kept.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = kept.theme;
}
apply();

export function prefer(change: Partial<Preferences>) {
  kept = { ...kept, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // As above.
  }
  apply();
  for (const tell of listeners) tell();
}

const subscribe = (tell: () => void) => (listeners.add(tell), () => listeners.delete(tell));
export const usePreferences = (): Preferences => useSyncExternalStore(subscribe, () => kept);
export const useZone = (): string => (usePreferences().zone === "UTC" ? "UTC" : localZone());

const system = window.matchMedia("(prefers-color-scheme: dark)");
/** Whether it is dark now, by choice or by the system's. Canvases are drawn anew when it changes. */
export function useDark(): boolean {
  const { theme } = usePreferences();
  const dark = useSyncExternalStore((tell) => (system.addEventListener("change", tell), () => system.removeEventListener("change", tell)), () => system.matches);
  return theme === "auto" ? dark : theme === "dark";
}
