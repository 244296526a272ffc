// The slots of a pool as a bar: what runs, what is queued, what is open.
import type { Schemas } from "../api/client";
import "./fleet.css";

export function PoolBar({ pool }: { pool: Schemas["PoolResponse"] }) {
  const used = pool.running_slots + pool.queued_slots;
  const of = Math.max(1, pool.slots < 0 ? used : Math.max(pool.slots, used));
  const part = (slots: number) => `${(slots / of) * 100}%`;
  const limit = pool.slots < 0 ? "no limit" : `${pool.slots}`;
  return (
    <span className="pool-bar" role="img" aria-label={`${pool.running_slots} running, ${pool.queued_slots} queued of ${limit}`}>
      <svg width="100%" height="12" aria-hidden="true">
        <rect className="k-running" width={part(pool.running_slots)} height="12" />
        <rect className="k-waiting pool-queued" x={part(pool.running_slots)} width={part(pool.queued_slots)} height="12" />
      </svg>
    </span>
  );
}
