// The parts of a DAG's page, by their names in the address.
export const DAG_TABS = ["grid", "graph", "runs", "tasks", "calendar", "code", "audit", "details"] as const;
