// What the event stream says of the tasks of a run, written into what was read of it: a run of 10,000 tasks is not read again, in ten pages, twice a
// second.
import type { Schemas } from "./client";
import { queries, queryClient } from "./queries";
import { isOver } from "../lib/states";

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

type Task = Schemas["RunTask"];
const nameOf = (task: { task_id: string; map_index: number }) => `${task.task_id}\n${task.map_index}`;
let places: { of: readonly Task[]; at: Map<string, number> } | undefined;

/** Where each task is. The order of a run's tasks does not change, so what holds for the list before holds for the one made of it. */
function placesOf(tasks: readonly Task[]): Map<string, number> {
  if (places?.of !== tasks) places = { of: tasks, at: new Map(tasks.map((task, index) => [nameOf(task), index])) };
  return places.at;
}

function told(task: Task, change: TaskChange): Task {
  const next: Task = { ...task, state: change.state as Task["state"], try_number: change.try_number, reason: change.reason };
  if (change.state === "running") Object.assign(next, { start_date: change.at, end_date: null, duration: null, message: null });
  else if (isOver(change.state) || change.state === "up_for_retry") {
    next.end_date = change.at;
    next.duration = next.start_date ? (Date.parse(change.at) - Date.parse(next.start_date)) / 1000 : null;
  }
  return next;
}

/** False: what is shown of the run's tasks has to be read, since it is small, not there yet, or lacks one of these. */
export function applied(dag: string, run: string, changes: readonly TaskChange[]): boolean {
  const { queryKey } = queries.runTasks(dag, run);
  const seen = queryClient.getQueryData(queryKey);
  // What is being read now may be older than these.
  if (!seen || seen.tasks.length <= LARGE || queryClient.isFetching({ queryKey, exact: true }) > 0) return false;
  const at = placesOf(seen.tasks);
  const tasks = [...seen.tasks];
  for (const change of changes) {
    const index = at.get(nameOf(change));
    const task = index === undefined ? undefined : tasks[index];
    if (index === undefined || !task) return false;
    tasks[index] = told(task, change);
  }
  places = { of: tasks, at };
  queryClient.setQueryData(queryKey, { ...seen, tasks });
  return true;
}
