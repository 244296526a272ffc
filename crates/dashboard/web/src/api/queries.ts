// What is read, and under which name it is kept. live.ts names the same keys when something changes.
import { QueryClient, queryOptions, useQuery } from "@tanstack/react-query";
import { useCallback } from "react";
import { ApiError, type Schemas, get, path, query } from "./client";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // The event stream says when something is stale.
      staleTime: Number.POSITIVE_INFINITY,
      refetchOnWindowFocus: false,
      retry: (count, error) => count < 3 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
    },
  },
});

/** Ten thousand values are not compared one by one; the names, which stay as they are, are handed on. */
function sameTasks(old: Schemas["Bars"] | undefined, next: Schemas["Bars"]): Schemas["Bars"] {
  const same = old && old.task_ids.length === next.task_ids.length && old.task_ids.every((task, at) => task === next.task_ids[at] && old.map_indexes[at] === next.map_indexes[at]);
  return same ? { ...next, task_ids: old.task_ids, map_indexes: old.map_indexes } : next;
}

export const queries = {
  overview: () => queryOptions({ queryKey: ["overview"], queryFn: ({ signal }) => get<Schemas["Overview"]>("/ui/overview?limit=1000", signal) }),
  health: () => queryOptions({ queryKey: ["health"], queryFn: ({ signal }) => get<Schemas["InstallationHealth"]>("/ui/health", signal) }),
  me: () => queryOptions({ queryKey: ["me"], queryFn: ({ signal }) => get<Schemas["Me"]>("/ui/me", signal) }),
  dag: (dag: string) => queryOptions({ queryKey: ["dag", dag], queryFn: ({ signal }) => get<Schemas["DAGDetailsResponse"]>(path`/api/v2/dags/${dag}/details`, signal) }),
  dagTasks: (dag: string) => queryOptions({ queryKey: ["dag", dag, "tasks"], queryFn: ({ signal }) => get<Schemas["TaskCollectionResponse"]>(path`/api/v2/dags/${dag}/tasks`, signal) }),
  versions: (dag: string) => queryOptions({ queryKey: ["dag", dag, "versions"], queryFn: ({ signal }) => get<Schemas["DAGVersionCollectionResponse"]>(path`/api/v2/dags/${dag}/dagVersions` + "?order_by=-version_number&limit=100", signal) }),
  source: (dag: string, version?: number) => queryOptions({
    queryKey: ["source", dag, version ?? 0],
    queryFn: ({ signal }) => get<Schemas["DAGSourceResponse"]>(path`/api/v2/dagSources/${dag}` + (version ? `?version_number=${version}` : ""), signal),
  }),
  graph: (dag: string, version: number | undefined, folding: { folded?: string | undefined; open?: string | undefined }) => queryOptions({
    queryKey: ["dag", dag, "graph", version ?? 0, folding.folded ?? "", folding.open ?? ""],
    // The browser keeps pictures, and asks whether they are still the same.
    queryFn: ({ signal }) => get<Schemas["GraphPicture"]>(path`/ui/graph/${dag}` + query({ version, folded: folding.folded, open: folding.open }), signal, "no-cache"),
    placeholderData: (old, before) => (before?.queryKey[1] === dag ? old : undefined),
  }),
  diff: (dag: string, from: number | undefined, to: number | undefined) => queryOptions({ queryKey: ["source", dag, "diff", from ?? 0, to ?? 0], queryFn: ({ signal }) => get<Schemas["DagDiff"]>(path`/ui/diff/${dag}` + query({ from, to }), signal) }),
  calendar: (dag: string, by: "day" | "hour", from: string, to: string, zone: string) => queryOptions({
    queryKey: ["calendar", dag, by, from, to, zone],
    queryFn: ({ signal }) => get<Schemas["Calendar"]>(path`/ui/calendar/${dag}` + query({ by, from, to, zone }), signal),
    placeholderData: (old, before) => (before?.queryKey[1] === dag && before.queryKey[2] === by ? old : undefined),
  }),
  fares: (dag: string) => queryOptions({ queryKey: ["fares", dag], queryFn: ({ signal }) => get<Schemas["TaskFares"]>(path`/ui/taskFares/${dag}`, signal) }),
  dagAudit: (dag: string, filter: { event: string | undefined; who: string | undefined; before: number | undefined }) => queryOptions({
    queryKey: ["audit", dag, filter.event ?? "", filter.who ?? "", filter.before ?? 0],
    queryFn: ({ signal }) => get<Schemas["EventLogCollectionResponse"]>("/api/v2/eventLogs" + query({ dag_id: dag, event_pattern: filter.event, owner_pattern: filter.who, event_log_id_lt: filter.before, order_by: "-event_log_id", limit: 51 }), signal),
    placeholderData: (old, before) => (before?.queryKey[1] === dag ? old : undefined),
  }),
  grid: (dag: string, limit: number) => queryOptions({ queryKey: ["grid", dag, limit], queryFn: ({ signal }) => get<Schemas["Grid"]>(path`/ui/grid/${dag}` + `?limit=${limit}`, signal), placeholderData: (old, query) => (query?.queryKey[1] === dag ? old : undefined) }),
  runs: (dag: string, limit: number, state?: string, from?: string, to?: string) => queryOptions({
    queryKey: ["runs", dag, limit, state ?? "", from ?? "", to ?? ""],
    queryFn: ({ signal }) => get<Schemas["DAGRunCollectionResponse"]>(path`/api/v2/dags/${dag}/dagRuns` + query({ order_by: "-run_after", limit, state, run_after_gte: from, run_after_lt: to }), signal),
    placeholderData: (old, query) => (query?.queryKey[1] === dag ? old : undefined),
  }),
  run: (dag: string, run: string) => queryOptions({ queryKey: ["run", dag, run], queryFn: ({ signal }) => get<Schemas["RunWithCounts"]>(path`/ui/runs/${dag}/${run}`, signal) }),
  bars: (dag: string, run: string) => queryOptions({ queryKey: ["run", dag, run, "bars"], queryFn: ({ signal }) => get<Schemas["Bars"]>(path`/ui/runs/${dag}/${run}/bars`, signal), structuralSharing: (old, next) => sameTasks(old as Schemas["Bars"] | undefined, next as Schemas["Bars"]) }),
  attempt: (dag: string, run: string, task: string, map: number, number: number) => queryOptions({
    queryKey: ["run", dag, run, "attempt", task, map, number],
    queryFn: ({ signal }) => get<Schemas["AttemptShown"]>(path`/ui/attempts/${dag}/${run}/${task}/${number}` + `?map_index=${map}`, signal),
  }),
  history: (dag: string, run: string, task: string, map: number) => queryOptions({ queryKey: ["run", dag, run, "history", task, map], queryFn: ({ signal }) => get<Schemas["History"]>(path`/ui/history/${dag}/${run}/${task}` + `?map_index=${map}`, signal) }),
  why: (dag: string, run: string, task: string, map: number) => queryOptions({ queryKey: ["run", dag, run, "why", task, map], queryFn: ({ signal }) => get<Schemas["WhyAnswer"]>(path`/ui/why/${dag}/${run}/${task}` + `?map_index=${map}`, signal) }),
  instance: (dag: string, run: string, task: string, map: number) => queryOptions({
    queryKey: ["run", dag, run, "instance", task, map],
    queryFn: ({ signal }) => get<Schemas["TaskInstanceResponse"]>(path`/api/v2/dags/${dag}/dagRuns/${run}/taskInstances/${task}` + (map >= 0 ? `/${map}` : ""), signal),
  }),
  xcoms: (dag: string, run: string, task: string, map: number) => queryOptions({
    queryKey: ["run", dag, run, "xcoms", task, map],
    queryFn: async ({ signal }) => {
      const base = path`/api/v2/dags/${dag}/dagRuns/${run}/taskInstances/${task}/xcomEntries`;
      const list = await get<Schemas["XComCollectionResponse"]>(`${base}?map_index=${map}&limit=100`, signal);
      return Promise.all(list.xcom_entries.map((entry) => get<Schemas["XComResponseNative"]>(`${base}/${encodeURIComponent(entry.key)}?map_index=${map}`, signal)));
    },
  }),
  pools: () => queryOptions({ queryKey: ["pools"], queryFn: ({ signal }) => get<Schemas["PoolCollectionResponse"]>("/api/v2/pools?limit=1000", signal) }),
  variables: () => queryOptions({ queryKey: ["variables"], queryFn: ({ signal }) => get<Schemas["VariableCollectionResponse"]>("/api/v2/variables?limit=1000", signal) }),
  connections: () => queryOptions({ queryKey: ["connections"], queryFn: ({ signal }) => get<Schemas["ConnectionCollectionResponse"]>("/api/v2/connections?limit=1000", signal) }),
  importErrors: () => queryOptions({ queryKey: ["importErrors"], queryFn: ({ signal }) => get<Schemas["BrokenFileCollection"]>("/ui/import-errors?limit=1000", signal) }),
  workers: () => queryOptions({ queryKey: ["fleet", "workers"], queryFn: ({ signal }) => get<Schemas["Workers"]>("/ui/workers", signal) }),
  workerAttempts: (worker: string) => queryOptions({ queryKey: ["fleet", "workers", worker], queryFn: ({ signal }) => get<Schemas["WatchedAttempts"]>(path`/ui/workers/${worker}/attempts`, signal) }),
  queues: () => queryOptions({ queryKey: ["fleet", "queues"], queryFn: ({ signal }) => get<Schemas["Queues"]>("/ui/queues", signal) }),
  schedulers: () => queryOptions({ queryKey: ["fleet", "schedulers"], queryFn: ({ signal }) => get<Schemas["Schedulers"]>("/ui/schedulers", signal) }),
  fleetHistory: (range: string) => queryOptions({ queryKey: ["fleet", "history", range], queryFn: ({ signal }) => get<Schemas["FleetHistory"]>(`/ui/fleet/history?range=${range}`, signal), placeholderData: (old) => old }),
  maintenance: () => queryOptions({ queryKey: ["maintenance"], queryFn: ({ signal }) => get<Schemas["Maintenance"]>("/ui/maintenance", signal) }),
  sources: () => queryOptions({ queryKey: ["sources"], queryFn: ({ signal }) => get<Schemas["DagSources"]>("/ui/sources", signal) }),
  audit: (query: string) => queryOptions({ queryKey: ["audit", query], queryFn: ({ signal }) => get<Schemas["EventLogCollectionResponse"]>(`/api/v2/eventLogs?${query}`, signal), placeholderData: (old) => old }),
  users: () => queryOptions({ queryKey: ["users"], queryFn: ({ signal }) => get<Schemas["UserCollection"]>("/ui/users?limit=1000", signal) }),
  roles: () => queryOptions({ queryKey: ["roles"], queryFn: ({ signal }) => get<Schemas["RoleCollection"]>("/ui/roles", signal) }),
  tokens: (all: boolean) => queryOptions({ queryKey: ["tokens", all], queryFn: ({ signal }) => get<Schemas["PersonalTokenCollection"]>(`/ui/tokens${all ? "?user=~" : ""}`, signal) }),
  backfills: (dag?: string) => queryOptions({ queryKey: ["backfills", dag ?? ""], queryFn: ({ signal }) => get<Schemas["BackfillProgressCollection"]>(`/ui/backfills?order_by=-id&limit=100${dag ? `&dag_id=${encodeURIComponent(dag)}` : ""}`, signal) }),
};

/** Whether who looks may do that, over some DAGs or over everything, as far as is known: what one may not is not offered. The server decides. */
export function useMay(): (permission: string, everywhere?: boolean) => boolean {
  const { data } = useQuery(queries.me());
  return useCallback((permission: string, everywhere = false) => {
    const over = data?.permissions[permission];
    return over !== undefined && (!everywhere || over.includes("*"));
  }, [data]);
}
