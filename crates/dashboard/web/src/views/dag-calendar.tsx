// Runs by day over a year, and by hour over a day: what was, and what the schedule plans. A cell opens its runs.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import type { Schemas } from "../api/client";
import { queries } from "../api/queries";
import { Failure, Mark, Skeleton } from "../components/bits";
import { useKeys } from "../lib/keys";
import { useZone } from "../lib/preferences";
import { lookOf } from "../lib/states";
import { absolute } from "../lib/time";

const ROUTE = "/dags/$dagId";
type Bucket = Schemas["CalendarBucket"];
/** The worst first: that is what a day shows. What is planned comes last. */
const ORDER = ["failed", "running", "queued", "success", "planned"];
const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The moment when the day begins in a zone that is UTC or the browser's own. */
const midnight = (zone: string, year: number, month: number, day: number): string => (zone === "UTC" ? new Date(Date.UTC(year, month, day)) : new Date(year, month, day)).toISOString();
/** Days are counted without hours, where no clock is ever moved. */
const dayAt = (label: string): Date => new Date(`${label}T00:00:00Z`);
const labelOf = (date: Date): string => date.toISOString().slice(0, 10);
const moved = (label: string, days: number): string => labelOf(new Date(dayAt(label).getTime() + days * 86_400_000));
const today = (zone: string): string => { const now = new Date(); return labelOf(zone === "UTC" ? now : new Date(Date.UTC(now.getFullYear(), now.getMonth(), now.getDate()))); };
const long = (label: string): string => { const day = dayAt(label); return `${DAYS[(day.getUTCDay() + 6) % 7]} ${day.getUTCDate()} ${MONTHS[day.getUTCMonth()]} ${day.getUTCFullYear()}`; };

const stateOf = (bucket: Bucket | undefined): string | undefined => ORDER.find((state) => (bucket?.counts[state] ?? 0) > 0);
const totalOf = (bucket: Bucket | undefined): number => Object.values(bucket?.counts ?? {}).reduce((sum, count) => sum + count, 0);
const wordsOf = (bucket: Bucket | undefined): string => ORDER.filter((state) => bucket?.counts[state]).map((state) => `${bucket?.counts[state]} ${state === "planned" ? state : lookOf(state).word}`).join(", ") || "no runs";
const isPlan = (bucket: Bucket | undefined) => stateOf(bucket) === "planned";

export function CalendarTab({ dag }: { dag: string }) {
  const search = useSearch({ from: ROUTE });
  return search.day && /^\d{4}-\d\d-\d\d$/.test(search.day) && !Number.isNaN(dayAt(search.day).getTime()) ? <Day dag={dag} day={search.day} /> : <Year dag={dag} />;
}

function useOpen(dag: string) {
  const navigate = useNavigate({ from: ROUTE });
  return (bucket: Bucket | undefined) => {
    // What is planned has no runs to show.
    if (bucket && !isPlan(bucket)) void navigate({ to: ROUTE, params: { dagId: dag }, search: { tab: "runs", from: bucket.from, to: bucket.to } });
  };
}

function Cell({ bucket }: { bucket: Bucket | undefined }) {
  const state = stateOf(bucket);
  if (!state) return <span className="day-none" />;
  if (state === "planned") return <span className="day-plan" />;
  return <Mark state={state} size={16} />;
}

function Said({ label, bucket }: { label: string; bucket: Bucket | undefined }) {
  return <><b>{label}</b>: {wordsOf(bucket)}</>;
}

function Year({ dag }: { dag: string }) {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const zone = useZone();
  const open = useOpen(dag);
  const now = today(zone);
  const year = search.year ?? Number(now.slice(0, 4));
  const { data, error, refetch } = useQuery(queries.calendar(dag, "day", midnight(zone, year, 0, 1), midnight(zone, year + 1, 0, 1), zone));
  const [last, setActive] = useState(now);
  const active = last.startsWith(String(year)) ? last : `${year}-01-01`;
  const [pointed, setPointed] = useState<string>();
  const table = useRef<HTMLTableElement>(null);
  const of = useMemo(() => new Map(data?.buckets.map((bucket) => [bucket.label, bucket])), [data]);
  // What is now is in view on a small screen, too.
  useEffect(() => { table.current?.querySelector("[data-now]")?.scrollIntoView({ block: "nearest", inline: "center" }); }, [data === undefined]);
  const go = (next: number) => void navigate({ search: { ...search, year: next === Number(now.slice(0, 4)) ? undefined : next } });
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton rows={7} />;
  const first = `${year}-01-01`;
  const offset = (dayAt(first).getUTCDay() + 6) % 7;
  const days = Math.round((Date.UTC(year + 1, 0, 1) - Date.UTC(year, 0, 1)) / 86_400_000);
  const weeks = Math.ceil((offset + days) / 7);
  const at = (week: number, weekday: number): string | undefined => { const n = week * 7 + weekday - offset; return n >= 0 && n < days ? moved(first, n) : undefined; };
  const hear = (event: KeyboardEvent) => {
    const steps: Record<string, number> = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -7, ArrowRight: 7, PageUp: -28, PageDown: 28 };
    let next = steps[event.key] ? moved(active, steps[event.key] ?? 0) : undefined;
    if (event.key === "Home") next = first;
    if (event.key === "End") next = moved(first, days - 1);
    if (event.key === "Enter") open(of.get(active));
    else if (event.key === "h") void navigate({ search: { ...search, day: active } });
    else if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    if (next?.startsWith(String(year))) {
      setActive(next);
      table.current?.querySelector<HTMLElement>(`[data-day="${next}"]`)?.focus();
    }
  };
  const shown = pointed ?? active;
  const months = Array.from({ length: 12 }, (_, month) => Math.floor((offset + Math.round((Date.UTC(year, month, 1) - Date.UTC(year, 0, 1)) / 86_400_000)) / 7));
  return (
    <>
      <div className="row tools">
        <span className="row" role="group" aria-label="Year"><button type="button" aria-label={`Runs of ${year - 1}`} onClick={() => go(year - 1)}>‹</button><b>{year}</b><button type="button" aria-label={`Runs of ${year + 1}`} onClick={() => go(year + 1)}>›</button></span>
        <Link to={ROUTE} params={{ dagId: dag }} search={{ ...search, day: shown }} className="button">Hours of {long(shown)}</Link>
        <span className="quiet">Times in {data.zone}{data.first && <>; the first run was due {absolute(data.first, zone)}</>}</span>
      </div>
      <p className="grid-said" aria-live="polite"><Said label={long(shown)} bucket={of.get(shown)} /> <span className="quiet">· Enter opens its runs, h its hours</span></p>
      <div className="scroll calendar">
        <table ref={table} role="grid" aria-label={`Runs of ${dag} in ${year}, by day`} onKeyDown={hear} onPointerLeave={() => setPointed(undefined)}>
          <thead><tr><td />{Array.from({ length: weeks }, (_, week) => (months.includes(week) ? <th key={week} scope="col">{MONTHS[months.indexOf(week)]}</th> : <td key={week} />))}</tr></thead>
          <tbody>{DAYS.map((name, weekday) => (
            <tr key={name}><th scope="row">{name}</th>{Array.from({ length: weeks }, (_, week) => {
              const day = at(week, weekday);
              if (!day) return <td key={week} />;
              const bucket = of.get(day);
              return (
                <td
                  key={week} role="gridcell" tabIndex={day === active ? 0 : -1} data-day={day} data-now={day === now ? "" : undefined} aria-current={day === now ? "date" : undefined}
                  className={isPlan(bucket) || !bucket ? "day" : "day is-open"} aria-label={`${long(day)}: ${wordsOf(bucket)}`}
                  onFocus={() => setActive(day)} onPointerMove={() => setPointed(day)} onClick={() => open(bucket)}
                ><Cell bucket={bucket} /></td>
              );
            })}</tr>
          ))}</tbody>
        </table>
      </div>
      <p className="row quiet legend">{["success", "failed", "running", "queued"].map((state) => <span key={state} className="state"><Mark state={state} />{state}</span>)}<span className="state"><span className="day-plan" />planned</span><span>A day shows the worst of its runs.</span></p>
      {data.planned_until && <p className="quiet">It runs so often that what is planned is shown until {absolute(data.planned_until, zone)} only.</p>}
    </>
  );
}

function Day({ dag, day }: { dag: string; day: string }) {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: ROUTE });
  const zone = useZone();
  const open = useOpen(dag);
  const [year, month, date] = day.split("-").map(Number) as [number, number, number];
  const { data, error, refetch } = useQuery(queries.calendar(dag, "hour", midnight(zone, year, month - 1, date), midnight(zone, year, month - 1, date + 1), zone));
  const [active, setActive] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const go = (next: string | undefined) => void navigate({ search: { ...search, day: next } });
  useKeys({ n: () => go(moved(day, 1)), p: () => go(moved(day, -1)) });
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton rows={12} />;
  const of = new Map(data.buckets.map((bucket) => [Number(bucket.label.slice(11)), bucket]));
  const most = Math.max(1, ...data.buckets.map(totalOf));
  const hear = (event: KeyboardEvent) => {
    const steps: Record<string, number> = { ArrowUp: active - 1, ArrowDown: active + 1, Home: 0, End: 23 };
    const next = steps[event.key];
    if (event.key === "Enter") open(of.get(active));
    else if (next === undefined) return;
    event.preventDefault();
    if (next === undefined || next < 0 || next > 23) return;
    setActive(next);
    list.current?.querySelector<HTMLElement>(`[data-hour="${next}"]`)?.focus();
  };
  return (
    <>
      <div className="row tools">
        <Link to={ROUTE} params={{ dagId: dag }} search={{ ...search, day: undefined, year: String(year) === today(zone).slice(0, 4) ? undefined : year }} className="button">‹ {year}</Link>
        <span className="row" role="group" aria-label="Day"><button type="button" aria-label="The day before (p)" onClick={() => go(moved(day, -1))}>‹</button><b>{long(day)}</b><button type="button" aria-label="The day after (n)" onClick={() => go(moved(day, 1))}>›</button></span>
        <span className="quiet">Times in {data.zone}</span>
      </div>
      <div ref={list} className="hours" role="grid" aria-label={`Runs of ${dag} on ${long(day)}, by hour`} onKeyDown={hear}>
        {Array.from({ length: 24 }, (_, hour) => {
          const bucket = of.get(hour);
          return (
            <div role="row" key={hour}><div
              role="gridcell" tabIndex={hour === active ? 0 : -1} data-hour={hour} className={bucket && !isPlan(bucket) ? "hour is-open" : "hour"}
              aria-label={`${String(hour).padStart(2, "0")}:00: ${wordsOf(bucket)}`} onFocus={() => setActive(hour)} onClick={() => open(bucket)}
            >
              <span className="num">{String(hour).padStart(2, "0")}:00</span>
              <span className="hour-bar">{ORDER.map((state) => { const count = bucket?.counts[state] ?? 0; return count > 0 && <span key={state} className={state === "planned" ? "is-planned" : `k-${lookOf(state).kind}`} style={{ width: `${(count / most) * 100}%` }} />; })}</span>
              <span>{bucket ? <><Cell bucket={bucket} /> {wordsOf(bucket)}</> : <span className="quiet">–</span>}</span>
            </div></div>
          );
        })}
      </div>
    </>
  );
}
