// Marks by hand and notes, each after a look at what it touches.
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Schemas, path, send } from "../api/client";
import { queryClient } from "../api/queries";
import { Failure, Field, Skeleton } from "../components/bits";
import { Dialog } from "../components/dialog";
import { say } from "../components/toast";
import { type Bar, nameOf } from "../lib/bars";
import { isOver, lookOf } from "../lib/states";
import { Preview } from "./clear";

export type Marked = "success" | "failed" | "skipped";
/** Requests that one mark of several tasks makes at most. */
export const MOST_MARKED = 100;

type Some = Pick<Schemas["TaskInstanceListResponse"], "task_instances" | "total_entries">;

/** Of tasks of a run. */
export function MarkDialog({ dag, run, tasks, state, close }: { dag: string; run: string; tasks: { task: string; map: number }[]; state: Marked; close: () => void }) {
  const [after, setAfter] = useState(false);
  const place = (one: { task: string; map: number }) => path`/api/v2/dags/${dag}/dagRuns/${run}/taskInstances/${one.task}` + (one.map >= 0 ? `/${one.map}` : "");
  const body = { new_state: state, include_downstream: after };
  const preview = useQuery({
    queryKey: ["mark", dag, run, tasks, state, after], gcTime: 0, staleTime: 0,
    queryFn: async () => {
      const found = new Map<string, { name: string; state: string | null | undefined; becomes: string }>();
      for (const one of tasks) {
        const touched = await send<Some>("PATCH", `${place(one)}/dry_run`, body);
        for (const each of touched.task_instances) {
          const name = nameOf({ task: each.task_id, map: each.map_index });
          found.set(name, { name, state: each.state, becomes: state });
        }
      }
      return [...found.values()];
    },
  });
  const doing = useMutation({
    mutationFn: async () => {
      const changed = new Set(preview.data?.map((one) => one.name));
      // What one mark has changed already, the next would refuse.
      for (const one of tasks) if (changed.has(nameOf(one))) await send<Some>("PATCH", place(one), body);
    },
    onSuccess: () => {
      close();
      say(preview.data?.length === 1 ? `${preview.data[0]?.name} is marked: ${lookOf(state).word}` : `${preview.data?.length} tasks are marked: ${lookOf(state).word}`);
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["run", dag, run] }),
  });
  const name = tasks.length === 1 && tasks[0] ? nameOf(tasks[0]) : `${tasks.length} tasks`;
  return (
    <Dialog open close={close} title={`Mark ${name} as ${lookOf(state).word}`}>
      <label className="inline"><input type="checkbox" checked={after} onChange={(event) => setAfter(event.target.checked)} /> and all after it</label>
      {preview.error ? <Failure error={preview.error} retry={() => void preview.refetch()} /> : !preview.data ? <Skeleton rows={3} /> : preview.data.length === 0 ? <p>Nothing changes by it.</p> : (
        <>
          <p>{state === "failed" ? "What runs of it is stopped." : "Nothing of it is run. What failed behind it, or was not begun because of it, runs now."}</p>
          <Preview of={preview.data} total={preview.data.length} />
        </>
      )}
      {doing.error && <p className="wrong" role="alert">{doing.error.message}</p>}
      <footer><button type="button" onClick={close}>Cancel</button><button type="button" className={state === "failed" ? "danger" : "primary"} disabled={!preview.data?.length || doing.isPending} onClick={() => doing.mutate()}>Mark as {lookOf(state).word}</button></footer>
    </Dialog>
  );
}

const LIVE = ["running", "queued", "up_for_retry", "deferred"];

/** Of a whole run: as the server does it, `success` marks every task, `failed` stops what lives and skips what has not begun. */
export function MarkRunDialog({ dag, run, bars, state, close }: { dag: string; run: string; bars: Bar[]; state: "success" | "failed"; close: () => void }) {
  const touched = state === "success"
    ? bars.filter((bar) => bar.state !== "success").map((bar) => ({ name: nameOf(bar), state: bar.state, becomes: "success" }))
    : bars.filter((bar) => !isOver(bar.state)).map((bar) => ({ name: nameOf(bar), state: bar.state, becomes: LIVE.includes(bar.state) ? "failed" : "skipped" }));
  const doing = useMutation({
    mutationFn: () => send("PATCH", path`/api/v2/dags/${dag}/dagRuns/${run}`, { state }),
    onSuccess: () => {
      close();
      say(state === "failed" && touched.length ? "What runs is being stopped." : "The run is marked.");
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["run", dag, run] }),
  });
  const verb = state === "failed" && touched.length ? "Stop" : `Mark as ${state}`;
  return (
    <Dialog open close={close} title={state === "failed" && touched.length ? "Stop the run" : `Mark the run as ${state}`}>
      <p>{state === "failed" ? "The run ends as failed." : "The run ends as success."} {touched.length ? `This becomes of ${touched.length === 1 ? "its task" : `${touched.length.toLocaleString("en")} of its tasks`}:` : "No task changes by it."}</p>
      <Preview of={touched} total={touched.length} />
      {doing.error && <p className="wrong" role="alert">{doing.error.message}</p>}
      <footer><button type="button" onClick={close}>Cancel</button><button type="button" className={state === "failed" ? "danger" : "primary"} disabled={doing.isPending} onClick={() => doing.mutate()}>{verb}</button></footer>
    </Dialog>
  );
}

const MOST_NOTE = 1000;

/** A note, and the way to change it. `url` is what has it. */
export function Note({ note, url, stale }: { note: string | null | undefined; url: string; stale: readonly unknown[] }) {
  const [open, setOpen] = useState(false);
  return (
    <div className="note">
      {note && <p>{note}</p>}
      <button type="button" className="link" onClick={() => setOpen(true)}>{note ? "Edit note" : "Add a note"}</button>
      {open && <NoteDialog note={note ?? ""} url={url} stale={stale} close={() => setOpen(false)} />}
    </div>
  );
}

function NoteDialog({ note, url, stale, close }: { note: string; url: string; stale: readonly unknown[]; close: () => void }) {
  const [text, setText] = useState(note);
  const doing = useMutation({
    mutationFn: () => send("PATCH", url, { note: text.trim() || null }),
    onSuccess: () => {
      close();
      say(text.trim() ? "The note is saved." : "The note is gone.");
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: stale }),
  });
  return (
    <Dialog open close={close} title="Note">
      <form className="form" onSubmit={(event) => { event.preventDefault(); doing.mutate(); }}>
        <Field label="Note" hint={`${text.length} of ${MOST_NOTE} characters`}>{(props) => <textarea {...props} rows={5} maxLength={MOST_NOTE} value={text} autoFocus onChange={(event) => setText(event.target.value)} />}</Field>
        {doing.error && <p className="wrong" role="alert">{doing.error.message}</p>}
        <footer><button type="button" onClick={close}>Cancel</button><button type="submit" className="primary" disabled={doing.isPending}>Save</button></footer>
      </form>
    </Dialog>
  );
}
