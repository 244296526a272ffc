// Places. Everything that is seen is in the address, so that a link shows it to somebody else and the back button undoes it.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { queries, queryClient } from "./api/queries";
import { Failure } from "./components/bits";
import { Shell } from "./components/shell";
import { DAG_TABS } from "./lib/tabs";
import { DagsPage } from "./views/dags";

type Raw = Record<string, unknown>;
const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : typeof value === "number" ? String(value) : undefined);
const whole = (value: unknown): number | undefined => (Number.isInteger(Number(value)) && value !== "" && value !== null && value !== undefined ? Number(value) : undefined);
function word<T extends string>(value: unknown, words: readonly T[]): T | undefined {
  return words.find((one) => one === value);
}

const chunks: (() => Promise<unknown>)[] = [];
/** A view that is loaded after the first page is painted, or when somebody goes there before that. */
const view: typeof lazyRouteComponent = (load, name) => {
  chunks.push(load);
  return lazyRouteComponent(load, name);
};

/** Loads every view while nothing else is to be done, so that a click later waits for data alone. */
export function warm() {
  for (const load of chunks) void load().catch(() => undefined);
}

/** A place may be named without any of these. */
const optional = <T,>(search: T): { [K in keyof T]?: T[K] } => search;

const root = createRootRoute({ component: Shell });

export const SHOWN = ["failing", "running", "active", "paused"] as const;
const dagsSearch = (raw: Raw) => optional({ q: text(raw.q), show: word(raw.show, SHOWN), tag: text(raw.tag), owner: text(raw.owner), sort: word(raw.sort, ["name", "next", "last"] as const) });
const home = createRoute({ getParentRoute: () => root, path: "/", validateSearch: dagsSearch, component: DagsPage });
const dags = createRoute({ getParentRoute: () => root, path: "/dags", validateSearch: dagsSearch, component: DagsPage });

/** Of a graph: which groups are folded, which box is chosen, whether it is shown as a table, and whether all but the chosen one's stream is dimmed. */
const graphSearch = (raw: Raw) => ({ folded: text(raw.folded), open: text(raw.open), as: word(raw.as, ["table"] as const), stream: whole(raw.stream) });
const dag = createRoute({
  getParentRoute: () => root,
  path: "/dags/$dagId",
  validateSearch: (raw: Raw) => optional({
    tab: word(raw.tab, DAG_TABS), runs: whole(raw.runs), q: text(raw.q), state: word(raw.state, ["queued", "running", "success", "failed"] as const),
    version: whole(raw.version), trigger: whole(raw.trigger), ...graphSearch(raw), task: text(raw.task), base: whole(raw.base),
    from: text(raw.from), to: text(raw.to), year: whole(raw.year), day: text(raw.day), event: text(raw.event), who: text(raw.who), before: whole(raw.before),
  }),
  loader: ({ params }) => { void queryClient.prefetchQuery(queries.dag(params.dagId)); },
  component: view(() => import("./views/dag"), "DagPage"),
});

const run = createRoute({
  getParentRoute: () => root,
  path: "/dags/$dagId/runs/$runId",
  validateSearch: (raw: Raw) => optional({ task: text(raw.task), map: whole(raw.map), selected: text(raw.selected), q: text(raw.q), state: text(raw.state), from: whole(raw.from), to: whole(raw.to), sort: word(raw.sort, ["start", "took"] as const), view: word(raw.view, ["graph"] as const), ...graphSearch(raw) }),
  loader: ({ params }) => {
    void queryClient.prefetchQuery(queries.run(params.dagId, params.runId));
    void queryClient.prefetchQuery(queries.bars(params.dagId, params.runId));
  },
  component: view(() => import("./views/run"), "RunPage"),
});

export const TASK_TABS = ["log", "why", "pod", "history", "xcom", "rendered", "details"] as const;
const on = (value: unknown): 1 | undefined => (whole(value) === 1 ? 1 : undefined);
const task = createRoute({
  getParentRoute: () => root,
  path: "/dags/$dagId/runs/$runId/tasks/$taskId",
  validateSearch: (raw: Raw) => optional({
    map: whole(raw.map), try: whole(raw.try), tab: word(raw.tab, TASK_TABS), line: whole(raw.line), q: text(raw.q), level: word(raw.level, ["error", "warning", "info"] as const),
    with: whole(raw.with), line2: whole(raw.line2), case: on(raw.case), regex: on(raw.regex), wrap: on(raw.wrap), times: on(raw.times),
  }),
  component: view(() => import("./views/task"), "TaskPage"),
});

const edited = (raw: Raw) => optional({ q: text(raw.q), add: whole(raw.add), edit: text(raw.edit), gone: text(raw.gone) });
const pools = createRoute({ getParentRoute: () => root, path: "/pools", validateSearch: edited, component: view(() => import("./views/admin"), "PoolsPage") });
const variables = createRoute({ getParentRoute: () => root, path: "/variables", validateSearch: edited, component: view(() => import("./views/admin"), "VariablesPage") });
const connections = createRoute({ getParentRoute: () => root, path: "/connections", validateSearch: edited, component: view(() => import("./views/admin"), "ConnectionsPage") });
const importErrors = createRoute({ getParentRoute: () => root, path: "/import-errors", component: view(() => import("./views/imports"), "ImportErrorsPage") });
const fleet = createRoute({
  getParentRoute: () => root, path: "/fleet", component: view(() => import("./views/fleet"), "FleetPage"),
  validateSearch: (raw: Raw) => optional({ range: word(raw.range, ["1h", "24h", "7d"] as const), worker: text(raw.worker) }),
});
const git = createRoute({ getParentRoute: () => root, path: "/git", component: view(() => import("./views/git"), "GitPage") });
const audit = createRoute({
  getParentRoute: () => root, path: "/audit", component: view(() => import("./views/audit"), "AuditPage"),
  validateSearch: (raw: Raw) => optional({ event: text(raw.event), user: text(raw.user), dag: text(raw.dag), run: text(raw.run), from: text(raw.from), to: text(raw.to), before: whole(raw.before), open: whole(raw.open) }),
});
const backfills = createRoute({
  getParentRoute: () => root, path: "/backfills", component: view(() => import("./views/backfills"), "BackfillsPage"),
  // Empty: a new one, of a DAG that is yet to be chosen.
  validateSearch: (raw: Raw) => optional({ dag: text(raw.dag), new: typeof raw.new === "string" ? raw.new : text(raw.new) }),
});
const users = createRoute({
  getParentRoute: () => root, path: "/users", component: view(() => import("./views/users"), "UsersPage"),
  validateSearch: (raw: Raw) => optional({ q: text(raw.q), add: whole(raw.add), edit: text(raw.edit), role: typeof raw.role === "string" ? raw.role : undefined }),
});
const tokens = createRoute({ getParentRoute: () => root, path: "/tokens", validateSearch: (raw: Raw) => optional({ all: whole(raw.all), add: whole(raw.add) }), component: view(() => import("./views/users"), "TokensPage") });

export const router = createRouter({
  routeTree: root.addChildren([home, dags, dag, run, task, pools, variables, connections, importErrors, fleet, git, audit, backfills, users, tokens]),
  defaultPreload: false,
  scrollRestoration: true,
  defaultErrorComponent: ({ error, reset }) => <Failure whole error={error} retry={reset} />,
  defaultNotFoundComponent: () => <Failure whole error={new Error("No page has this address.")} />,
});

declare module "@tanstack/react-router" {
  interface Register { router: typeof router }
}
