// What is read, and under which name it is kept. live.ts names the same keys when something changes.
import { QueryClient, queryOptions } from "@tanstack/react-query";
import { ApiError, type Schemas, get, path } from "./client";

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
  grid: (dag: string, limit: number) => queryOptions({ queryKey: ["grid", dag, limit], queryFn: ({ signal }) => get<Schemas["Grid"]>(path`/ui/grid/${dag}` + `?limit=${limit}`, signal), placeholderData: (old, query) => (query?.queryKey[1] === dag ? old : undefined) }),
  runs: (dag: string, limit: number, state?: string) => queryOptions({
    queryKey: ["runs", dag, limit, state ?? ""],
    queryFn: ({ signal }) => get<Schemas["DAGRunCollectionResponse"]>(path`/api/v2/dags/${dag}/dagRuns` + `?order_by=-run_after&limit=${limit}${state ? `&state=${state}` : ""}`, signal),
    placeholderData: (old, query) => (query?.queryKey[1] === dag ? old : undefined),
  }),
  run: (dag: string, run: string) => queryOptions({ queryKey: ["run", dag, run], queryFn: ({ signal }) => get<Schemas["RunWithCounts"]>(path`/ui/runs/${dag}/${run}`, signal) }),
  bars: (dag: string, run: string) => queryOptions({ queryKey: ["run", dag, run, "bars"], queryFn: ({ signal }) => get<Schemas["Bars"]>(path`/ui/runs/${dag}/${run}/bars`, signal) }),
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
  importErrors: () => queryOptions({ queryKey: ["importErrors"], queryFn: ({ signal }) => get<Schemas["ImportErrorCollectionResponse"]>("/api/v2/importErrors?limit=1000", signal) }),
};
