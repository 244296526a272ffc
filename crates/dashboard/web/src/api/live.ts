// The event stream: what changed is read again, at most twice a second for each thing; a connection that is lost is opened again where it broke
// off, and what was missed comes first. docs/events.md has the protocol.
import { useSyncExternalStore } from "react";
import { queryClient } from "./queries";

type Status = "connecting" | "live" | "lost";

interface Changes {
  dag_runs?: { dag_id: string; dag_run_id: string; state: string }[];
  dags?: { dag_id: string }[];
}

/** Between two reads of the same thing. */
const EACH = 500;
const LONGEST_WAIT = 10_000;
/** Between two reads of what is gathered from many runs. */
const SLOW: Record<string, number> = { calendar: 5_000, fares: 3_000 };
const readAt = new Map<string, number>();

let source: EventSource | undefined;
let scope = "";
let lastId = "";
let status: Status = "connecting";
let failures = 0;
let timer: number | undefined;
const listeners = new Set<() => void>();

function become(next: Status) {
  if (status === next) return;
  status = next;
  for (const tell of listeners) tell();
}

const pending = new Map<string, readonly unknown[]>();
let flushing: number | undefined;
let last = 0;

function stale(key: readonly unknown[]) {
  pending.set(JSON.stringify(key), key);
  flushing ??= window.setTimeout(flush, Math.max(0, last + EACH - Date.now()));
}

function flush() {
  flushing = undefined;
  last = Date.now();
  const keys = [...pending.values()];
  pending.clear();
  // A read that is under way may have begun before the change: it is followed by another, not cut off.
  for (const queryKey of keys) {
    const name = JSON.stringify(queryKey);
    const waits = SLOW[String(queryKey[0])] ?? 0;
    if (queryClient.isFetching({ queryKey }) > 0 || last - (readAt.get(name) ?? 0) < waits) {
      stale(queryKey);
      continue;
    }
    if (waits) readAt.set(name, last);
    void queryClient.invalidateQueries({ queryKey });
  }
}

function changed(data: Changes) {
  if (data.dag_runs?.length || data.dags?.length) stale(["overview"]);
  for (const run of data.dag_runs ?? []) {
    stale(["grid", run.dag_id]);
    stale(["runs", run.dag_id]);
    stale(["run", run.dag_id, run.dag_run_id]);
    stale(["audit", run.dag_id]);
    stale(["calendar", run.dag_id]);
    stale(["fares", run.dag_id]);
    stale(["pools"]);
  }
  for (const dag of data.dags ?? []) {
    stale(["dag", dag.dag_id]);
    stale(["grid", dag.dag_id]);
    stale(["source", dag.dag_id]);
    stale(["audit", dag.dag_id]);
    stale(["calendar", dag.dag_id]);
    stale(["importErrors"]);
  }
}

function open() {
  window.clearTimeout(timer);
  source?.close();
  const query = [scope, lastId && `last_event_id=${encodeURIComponent(lastId)}`].filter(Boolean).join("&");
  const mine = new EventSource(`/ui/events${query ? `?${query}` : ""}`);
  source = mine;
  const heard = (event: Event) => {
    lastId = (event as MessageEvent).lastEventId || lastId;
  };
  mine.onopen = () => {
    if (failures > 0) void queryClient.invalidateQueries();
    failures = 0;
    become("live");
  };
  mine.addEventListener("open", heard);
  mine.addEventListener("changes", (event) => {
    heard(event);
    changed(JSON.parse((event as MessageEvent<string>).data) as Changes);
  });
  mine.addEventListener("reset", (event) => {
    heard(event);
    void queryClient.invalidateQueries();
  });
  mine.onerror = () => {
    if (mine !== source) return;
    // By hand: a browser gives up for good on an answer that is an error, and so it would on a server that is just starting.
    mine.close();
    failures += 1;
    if (failures > 1) become("lost");
    timer = window.setTimeout(open, Math.min(LONGEST_WAIT, 250 * 2 ** Math.min(failures, 6)));
  };
}

/** What is looked at: everything, or one run with its tasks. */
export function watch(dag?: string, run?: string) {
  const next = dag && run ? `dag_id=${encodeURIComponent(dag)}&run_id=${encodeURIComponent(run)}` : "";
  if (source && next === scope) return;
  scope = next;
  open();
}

export const reconnect = () => open();
export const useStatus = (): Status => useSyncExternalStore((tell) => (listeners.add(tell), () => listeners.delete(tell)), () => status);
