// Keys, as in Airflow. One table: what is listened to is what `?` shows.
import { useEffect, useRef } from "react";

export interface Key { keys: string; does: string; where: string }
export const KEYS: Key[] = [
  { keys: "Ctrl K", does: "Find a DAG or a page, or do something: trigger …, pause …", where: "Everywhere" },
  { keys: "?", does: "Show the keys", where: "Everywhere" },
  { keys: "/", does: "Search in this list or log", where: "Lists, logs" },
  { keys: "Esc", does: "Close what is open", where: "Everywhere" },
  { keys: "← → PgUp PgDn Home End", does: "Move from moment to moment", where: "Plots" },
  { keys: "← ↑ ↓ →", does: "Move from cell to cell", where: "Grid" },
  { keys: "Enter", does: "Open the task of that run", where: "Grid" },
  { keys: "Space", does: "Fold or unfold the group", where: "Grid" },
  { keys: "g", does: "Graph or grid; of a run, graph or Gantt", where: "DAG, run" },
  { keys: "← → ↑ ↓", does: "Along the lines; to what is above or below", where: "Graph" },
  { keys: "+ − 0", does: "Larger, smaller, all of it", where: "Graph" },
  { keys: "h", does: "The hours of the day", where: "Calendar" },
  { keys: "Shift C", does: "Clear: run again, after a look at what that touches", where: "Run, task" },
  { keys: "Shift S", does: "Mark as success", where: "Task" },
  { keys: "Shift F", does: "Mark as failed", where: "Run, task" },
  { keys: "↑ ↓, Shift", does: "Go from task to task; with Shift select them", where: "Run" },
  { keys: "Space", does: "Select the task, or not", where: "Run" },
  { keys: "+ − 0", does: "Show a shorter time, a longer one, all of it", where: "Run" },
  { keys: "n, Shift N", does: "Next hit, the one before", where: "Log" },
  { keys: "w", does: "Wrap lines", where: "Log" },
  { keys: "t", does: "Show when lines were stored", where: "Log" },
  { keys: "f", does: "Full screen", where: "Log" },
  { keys: "e", does: "Fold or unfold groups", where: "Log" },
  { keys: "d", does: "Download", where: "Log" },
];

/** Listens while the component is shown. Not while somebody types, and not under a dialog. */
export function useKeys(table: Record<string, () => void>) {
  const now = useRef(table);
  now.current = table;
  useEffect(() => {
    const hear = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const typing = target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
      const mod = event.ctrlKey || event.metaKey;
      if (event.altKey || (typing && !mod) || (document.querySelector("[role=dialog],[role=menu]") && !mod)) return;
      const name = `${mod ? "mod+" : ""}${event.shiftKey && /^[a-z]$/i.test(event.key) ? "shift+" : ""}${event.key.toLowerCase()}`;
      const action = now.current[name];
      if (!action) return;
      event.preventDefault();
      action();
    };
    window.addEventListener("keydown", hear);
    return () => window.removeEventListener("keydown", hear);
  }, []);
}
