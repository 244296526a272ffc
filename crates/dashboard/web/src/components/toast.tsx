// One line about what an action did. Read out, and gone after a while.
import { useSyncExternalStore } from "react";

interface Said { text: string; bad: boolean; turn: number }
let said: Said | undefined;
let timer: number | undefined;
const listeners = new Set<() => void>();

function become(next: Said | undefined) {
  said = next;
  for (const tell of listeners) tell();
}

export function say(text: string, bad = false) {
  window.clearTimeout(timer);
  become({ text, bad, turn: (said?.turn ?? 0) + 1 });
  timer = window.setTimeout(() => become(undefined), bad ? 12_000 : 5000);
}

export const complain = (error: unknown) => say(error instanceof Error ? error.message : String(error), true);

export function Toast() {
  const now = useSyncExternalStore((tell) => (listeners.add(tell), () => listeners.delete(tell)), () => said);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {now && <div className={now.bad ? "toast bad" : "toast"} key={now.turn}><span>{now.bad ? "✗ " : "✓ "}{now.text}</span><button type="button" className="plain" aria-label="Close" onClick={() => become(undefined)}>×</button></div>}
    </div>
  );
}
