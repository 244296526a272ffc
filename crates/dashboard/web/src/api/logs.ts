// What is asked of the server about a log. Apart from the other queries: it is loaded with the views that show logs.
import { queryOptions } from "@tanstack/react-query";
import { type Schemas, get, path } from "./client";

/** Of the log of one try. */
export interface Place { dag: string; run: string; task: string; map: number; number: number }
export type Query = Record<string, string | number | boolean | undefined>;

/** The address of a log, or of something about it. */
export function logUrl({ dag, run, task, map, number }: Place, part: "" | "/lines" | "/search" | "/outline" | "/follow", query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "" && value !== false);
  return path`/ui/logs/${dag}/${run}/${task}/${number}` + part + `?map_index=${map}` + given.map(([name, value]) => `&${name}=${encodeURIComponent(String(value))}`).join("");
}

/** The event stream tells nothing of logs: each has a stream of its own. */
const keyOf = ({ dag, run, task, map, number }: Place) => ["log", dag, run, task, map, number] as const;

interface Search { q?: string; regex?: boolean; case?: boolean; level?: string | undefined; after?: number; limit?: number }

export const logQueries = {
  keyOf,
  hits: (place: Place, { q, regex, case: exact, level, after, limit }: Search) => queryOptions({
    queryKey: [...keyOf(place), "hits", q ?? "", regex ?? false, exact ?? false, level ?? "", after ?? 0, limit ?? 0],
    queryFn: ({ signal }) => get<Schemas["Hits"]>(logUrl(place, "/search", { q, regex, case: exact, level, after, limit }), signal),
  }),
  outline: (place: Place) => queryOptions({ queryKey: [...keyOf(place), "outline"], queryFn: ({ signal }) => get<Schemas["Outline"]>(logUrl(place, "/outline"), signal) }),
};
