// What is read, and under which name it is kept. live.ts names the same keys when something changes.
import { QueryClient, queryOptions } from "@tanstack/react-query";
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

export const queries = {
  overview: () => queryOptions({ queryKey: ["overview"], queryFn: ({ signal }) => get<Schemas["Overview"]>("/ui/overview?limit=1000", signal) }),
  // Of the parts nobody tells when one is silent, so this alone is asked for again.
  health: () => queryOptions({ queryKey: ["health"], queryFn: ({ signal }) => get<Schemas["HealthInfoResponse"]>("/api/v2/monitor/health", signal), refetchInterval: 15_000 }),
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
  audit: (dag: string, filter: { event: string | undefined; who: string | undefined; before: number | undefined }) => queryOptions({
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
  runTasks: (dag: string, run: string) => queryOptions({
    queryKey: ["run", dag, run, "tasks"],
    queryFn: async ({ signal }) => {
      // The server gives at most 1,000 at once.
      const read = (offset: number) => get<Schemas["RunTasks"]>(path`/ui/runs/${dag}/${run}/tasks` + `?limit=1000&offset=${offset}`, signal);
      const first = await read(0);
      const more = Array.from({ length: Math.max(0, Math.ceil(first.total_entries / 1000) - 1) }, (_, page) => read((page + 1) * 1000));
      return { ...first, tasks: [...first.tasks, ...(await Promise.all(more)).flatMap((page) => page.tasks)] };
    },
  }),
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
  importErrors: () => queryOptions({ queryKey: ["importErrors"], queryFn: ({ signal }) => get<Schemas["ImportErrorCollectionResponse"]>("/api/v2/importErrors?limit=1000", signal) }),
};
