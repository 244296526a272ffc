// The tasks of a run, as bars: the columns of the answer made rows.
import type { Schemas } from "../api/client";
import { STATES, letterOf, stateOf } from "./states";

export interface Bar {
  key: string;
  task: string;
  map: number;
  state: string;
  tries: number;
  start: number | undefined;
  end: number | undefined;
  /** Why it is in its state. */
  says: string | undefined;
  note: boolean;
  stopping: boolean;
}

export const nameOf = ({ task, map }: { task: string; map: number }): string => (map >= 0 ? `${task}[${map}]` : task);
/** As the API names it: all of a task, or one of its mapped instances. */
export const idOf = ({ task, map }: { task: string; map: number }): string | [string, number] => (map >= 0 ? [task, map] : task);

export function barsOf(of: Schemas["Bars"]): Bar[] {
  const notes = new Set(of.notes);
  const stopping = new Set(of.stopping);
  return of.task_ids.map((task, at) => {
    const map = of.map_indexes[at] ?? -1;
    const says = of.says[at] ?? -1;
    return {
      key: `${task} ${map}`, task, map, state: stateOf(of.states[at]) ?? "none", tries: of.tries[at] ?? 0, start: of.starts[at] ?? undefined, end: of.ends[at] ?? undefined,
      says: says < 0 ? undefined : of.words[says], note: notes.has(at), stopping: stopping.has(at),
    };
  });
}

/** How many are in each state that there is, in the order in which a task goes through them. */
export function countsOf(letters: string): [string, number][] {
  const of = new Map<string, number>();
  for (const letter of letters) of.set(letter, (of.get(letter) ?? 0) + 1);
  return STATES.flatMap((state) => {
    const count = of.get(letterOf(state));
    return count ? [[state, count] as [string, number]] : [];
  });
}
