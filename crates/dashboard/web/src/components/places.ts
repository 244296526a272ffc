// The pages, for the head, the palette and the title.

export interface Place { to: "/" | "/backfills" | "/fleet" | "/git" | "/pools" | "/variables" | "/connections" | "/import-errors" | "/audit" | "/users" | "/tokens"; name: string; about: string; /** In which menu; by itself without one. */ group?: string; /** What one must be permitted to see anything there. */ may?: string; /** Over everything: there is nothing to see over some DAGs. */ everywhere?: boolean }

export const PLACES: readonly Place[] = [
  { to: "/", name: "DAGs", about: "all of them, the failing ones first" },
  { to: "/backfills", name: "Backfills", about: "runs for a stretch of the past", may: "backfills.read" },
  { to: "/fleet", name: "Fleet", about: "workers, queues, plots", may: "jobs.read" },
  { to: "/git", name: "Git", about: "sources, commits, sync now", may: "dags.read", everywhere: true },
  { to: "/pools", name: "Pools", about: "how much at once", group: "Admin", may: "pools.read" },
  { to: "/variables", name: "Variables", about: "values for templates", group: "Admin", may: "variables.read" },
  { to: "/connections", name: "Connections", about: "hosts and logins", group: "Admin", may: "connections.read" },
  { to: "/import-errors", name: "Import errors", about: "files that cannot be read", group: "Admin", may: "import_errors.read" },
  { to: "/audit", name: "Audit", about: "who did what", group: "Admin", may: "audit_log.read" },
  { to: "/users", name: "Users", about: "and their roles", group: "Admin", may: "users.read" },
  { to: "/tokens", name: "Tokens", about: "for programs, and my password", group: "Admin" },
];

export const GROUPS = [...new Set(PLACES.flatMap((place) => place.group ?? []))];
