// Running again, after a look at what that touches.
import { useMutation, useQuery } from "@tanstack/react-query";
import { type Schemas, path, send } from "../api/client";
import { queryClient } from "../api/queries";
import { Failure, Skeleton, State } from "../components/bits";
import { Dialog } from "../components/dialog";
import { say } from "../components/toast";

export interface Clearing { title: string; body: { only_failed: boolean; include_downstream?: boolean; task_ids?: (string | [string, number])[] } }
type Cleared = Pick<Schemas["TaskInstanceCollectionResponse"], "task_instances" | "total_entries">;
const SHOWN = 100;

export function ClearDialog({ dag, run, clearing, close }: { dag: string; run: string; clearing: Clearing; close: () => void }) {
  const clear = (dry: boolean) => send<Cleared>("POST", path`/api/v2/dags/${dag}/clearTaskInstances`, { dag_run_id: run, dry_run: dry, ...clearing.body });
  const preview = useQuery({ queryKey: ["clear", dag, run, clearing.body], queryFn: () => clear(true), gcTime: 0, staleTime: 0 });
  const doing = useMutation({
    mutationFn: () => clear(false),
    onSuccess: (done) => {
      close();
      say(done.total_entries === 1 ? "1 task will run again." : `${done.total_entries} tasks will run again.`);
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["run", dag, run] }),
  });
  const found = preview.data?.task_instances ?? [];
  return (
    <Dialog open close={close} title={clearing.title}>
      {preview.error ? <Failure error={preview.error} retry={() => void preview.refetch()} /> : !preview.data ? <Skeleton rows={3} /> : found.length === 0 ? <p>There is nothing to run again.</p> : (
        <>
          <p>{found.length === 1 ? "This task runs again" : `These ${preview.data.total_entries} tasks run again`}, with the params of the run. Logs of earlier tries are kept.</p>
          <ul className="preview">{found.slice(0, SHOWN).map((one) => <li key={`${one.task_id} ${one.map_index}`}><span>{one.task_id}{one.map_index >= 0 && `[${one.map_index}]`}</span><State state={one.state} /></li>)}</ul>
          {found.length > SHOWN && <p className="quiet">and {found.length - SHOWN} more</p>}
        </>
      )}
      {doing.error && <p className="wrong" role="alert">{doing.error.message}</p>}
      <footer><button type="button" onClick={close}>Cancel</button><button type="button" className="primary" disabled={found.length === 0 || doing.isPending} onClick={() => doing.mutate()}>↻ Run again</button></footer>
    </Dialog>
  );
}
