// What the event stream says of the tasks of a run, written into what was read of it: a run of 10,000 tasks is not read again twice a second.
import type { Schemas } from "./client";
import { queries, queryClient } from "./queries";
import { isOver, letterOf } from "../lib/states";

export interface TaskChange {
  task_id: string;
  map_index: number;
  state: string | null;
  try_number: number;
  reason: string | null;
  at: string;
}

/** More tasks than this are not read again at each change. */
const LARGE = 300;

type Bars = Schemas["Bars"];
const nameOf = (task: string, map: number) => `${task}\n${map}`;
let places: { of: readonly string[]; at: Map<string, number> } | undefined;

/** Where each task is. The lists of names are handed on from answer to answer here, so that this is made once for each that was read. */
function placesOf(bars: Bars): Map<string, number> {
  if (places?.of !== bars.task_ids) places = { of: bars.task_ids, at: new Map(bars.task_ids.map((task, at) => [nameOf(task, bars.map_indexes[at] ?? -1), at])) };
  return places.at;
}

/** False: what is shown of the run's tasks has to be read, since it is small, not there yet, or lacks one of these. */
export function applied(dag: string, run: string, changes: readonly TaskChange[]): boolean {
  const { queryKey } = queries.bars(dag, run);
  const seen = queryClient.getQueryData(queryKey);
  // What is being read now may be older than these.
  if (!seen || seen.task_ids.length <= LARGE || queryClient.isFetching({ queryKey, exact: true }) > 0) return false;
  const places = placesOf(seen);
  const states = [...seen.states];
  const next = { ...seen, tries: [...seen.tries], starts: [...seen.starts], ends: [...seen.ends], says: [...seen.says], words: [...seen.words] };
  const over = new Set<number>();
  for (const change of changes) {
    const at = places.get(nameOf(change.task_id, change.map_index));
    if (at === undefined) return false;
    states[at] = letterOf(change.state);
    next.tries[at] = change.try_number;
    if (change.state === "running") {
      next.starts[at] = Date.parse(change.at);
      next.ends[at] = null;
    } else if (isOver(change.state) || change.state === "up_for_retry") {
      next.ends[at] = Date.parse(change.at);
      over.add(at);
    }
    const word = change.reason === null ? -1 : next.words.indexOf(change.reason);
    next.says[at] = word >= 0 || change.reason === null ? word : next.words.push(change.reason) - 1;
  }
  next.states = states.join("");
  if (over.size > 0) next.stopping = seen.stopping.filter((at) => !over.has(at));
  queryClient.setQueryData(queryKey, next);
  return true;
}
