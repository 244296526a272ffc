// The event stream: what changed is read again, at most twice a second for each thing; a connection that is lost is opened again where it broke
// off, and what was missed comes first. docs/events.md has the protocol.
import { useSyncExternalStore } from "react";
import type { Schemas } from "./client";
import { type TaskChange, applied } from "./deltas";
import { queries, queryClient } from "./queries";

type Status = "connecting" | "live" | "lost";

interface Changes {
  dag_runs?: { dag_id: string; dag_run_id: string; state: string; task_instances?: TaskChange[] }[];
  dags?: { dag_id: string }[];
  lists?: string[];
  health?: Schemas["InstallationHealth"];
}

/** What is read anew when a list looks otherwise. Whatever people change is in the audit log: its news are those of all that has no list here. */
const LISTS: Record<string, readonly (readonly string[])[]> = {
  workers: [["fleet", "workers"], ["fleet", "queues"]],
  sources: [["sources"], ["fleet", "schedulers"], ["importErrors"]],
  pools: [["pools"]],
  backfills: [["backfills"]],
  history: [["fleet", "history"], ["fleet", "queues"], ["fleet", "workers"]],
  audit: [["audit"], ["pools"], ["variables"], ["connections"], ["users"], ["roles"], ["tokens"], ["maintenance"]],
};

/** Between two reads of the same thing. */
const EACH = 500;
const LONGEST_WAIT = 10_000;
const SETTLED = 2_000;
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

type Key = readonly unknown[];
const pending = new Map<string, { queryKey: Key; exact: boolean }>();
let flushing: number | undefined;
let last = 0;

/** Marks what this key begins as old, or, where it is `exact`, the one that has it. */
function stale(queryKey: Key, exact = false) {
  pending.set(`${exact}${JSON.stringify(queryKey)}`, { queryKey, exact });
  flushing ??= window.setTimeout(flush, Math.max(0, last + EACH - Date.now()));
}

/** Runs whose tasks were written from what was told; they are read once more when nothing was told for a while: a change does not say everything. */
const settling = new Map<string, number>();

function runChanged(dag: string, run: string, changes: readonly TaskChange[]) {
  const whole = ["run", dag, run];
  if (changes.length === 0 || !applied(dag, run, changes)) {
    stale(whole);
    return;
  }
  for (const { queryKey } of queryClient.getQueryCache().findAll({ queryKey: whole })) {
    if (queryKey[3] !== "bars") stale(queryKey, true);
  }
  const name = JSON.stringify(whole);
  window.clearTimeout(settling.get(name));
  settling.set(name, window.setTimeout(() => {
    settling.delete(name);
    stale([...whole, "bars"]);
  }, SETTLED));
}

function flush() {
  flushing = undefined;
  last = Date.now();
  const filters = [...pending.values()];
  pending.clear();
  // A read that is under way may have begun before the change: it is followed by another, not cut off.
  for (const filter of filters) {
    const name = JSON.stringify(filter.queryKey);
    const waits = SLOW[String(filter.queryKey[0])] ?? 0;
    if (queryClient.isFetching(filter) > 0 || last - (readAt.get(name) ?? 0) < waits) {
      stale(filter.queryKey, filter.exact);
      continue;
    }
    if (waits) readAt.set(name, last);
    void queryClient.invalidateQueries(filter);
  }
}

function changed(data: Changes) {
  if (data.dag_runs?.length || data.dags?.length) stale(["overview"]);
  for (const run of data.dag_runs ?? []) {
    stale(["grid", run.dag_id]);
    stale(["runs", run.dag_id]);
    runChanged(run.dag_id, run.dag_run_id, run.task_instances ?? []);
    stale(["backfills"]);
    stale(["audit", run.dag_id]);
    stale(["calendar", run.dag_id]);
    stale(["fares", run.dag_id]);
  }
  for (const dag of data.dags ?? []) {
    stale(["dag", dag.dag_id]);
    stale(["grid", dag.dag_id]);
    stale(["source", dag.dag_id]);
    stale(["audit", dag.dag_id]);
    stale(["calendar", dag.dag_id]);
    stale(["importErrors"]);
  }
  for (const list of data.lists ?? []) for (const key of LISTS[list] ?? []) stale(key);
  // It comes whole: while the database is away nobody could ask for it. An answer that is under way may be older.
  const { health } = data;
  const { queryKey } = queries.health();
  if (health) void queryClient.cancelQueries({ queryKey }).then(() => queryClient.setQueryData(queryKey, health));
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
  mine.addEventListener("open", (event) => {
    heard(event);
    // It may have been read before anybody listened.
    stale(["health"]);
  });
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
