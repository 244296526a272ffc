// When each task ran: a list of rows, of which only those on the screen exist.
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useEffect, useRef } from "react";
import type { Schemas } from "../api/client";
import { Mark } from "../components/bits";
import { useZone } from "../lib/preferences";
import { isOver, lookOf } from "../lib/states";
import { clock, span, useNow } from "../lib/time";

type Task = Schemas["RunTask"];
const ROW = 30;
const TICKS = 5;

const nameOf = (task: Task) => task.task_id + (task.map_index >= 0 ? `[${task.map_index}]` : "");

export function Gantt({ tasks, start, live, chosen, choose }: { tasks: Task[]; start: string | null; live: boolean; chosen: Task | undefined; choose: (task: Task) => void }) {
  const zone = useZone();
  const now = useNow();
  const list = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({ count: tasks.length, getScrollElement: () => list.current, estimateSize: () => ROW, overscan: 10 });
  const starts = tasks.flatMap((task) => (task.start_date ? [Date.parse(task.start_date)] : []));
  const ends = tasks.flatMap((task) => (task.end_date ? [Date.parse(task.end_date)] : []));
  // Not from all of them at once: 10,000 arguments are too many for some engines.
  const least = (all: number[], other: number) => all.reduce((a, b) => Math.min(a, b), other);
  const from = least(starts, start ? Date.parse(start) : now);
  const to = Math.max(from + 1000, ends.reduce((a, b) => Math.max(a, b), from), live ? now : 0);
  const at = (time: number) => ((time - from) / (to - from)) * 100;
  const chosenAt = chosen ? tasks.findIndex((task) => task.task_id === chosen.task_id && task.map_index === chosen.map_index) : -1;
  useEffect(() => {
    if (chosenAt >= 0) rows.scrollToIndex(chosenAt, { align: "auto" });
    // Only when another is chosen: a list that is read must not jump.
  }, [chosenAt, rows]);
  const hear = (event: KeyboardEvent) => {
    const move = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    const next = move && tasks[Math.min(tasks.length - 1, Math.max(0, chosenAt + move))];
    if (!next) return;
    event.preventDefault();
    choose(next);
  };
  return (
    <section className="gantt" aria-label="When each task ran">
      <div className="axis" aria-hidden="true">{Array.from({ length: TICKS }, (_, n) => <span key={n} style={{ left: `${(n / TICKS) * 100}%` }}>{n === 0 ? clock(from, zone) : `+${span(((to - from) / 1000 / TICKS) * n)}`}</span>)}</div>
      <div ref={list} className="bars" role="listbox" aria-label="Tasks" tabIndex={0} onKeyDown={hear} aria-activedescendant={chosenAt >= 0 ? `task-${chosenAt}` : undefined}>
        <div role="presentation" style={{ height: rows.getTotalSize() }} className="body">
          {rows.getVirtualItems().map((item) => {
            const task = tasks[item.index] as Task;
            const begun = task.start_date && task.state !== "upstream_failed" && task.state !== "skipped" ? Date.parse(task.start_date) : undefined;
            const end = task.end_date && isOver(task.state) ? Date.parse(task.end_date) : now;
            const took = begun === undefined ? "" : span((end - begun) / 1000);
            // Where there is room for it.
            const side = begun === undefined || at(end) <= 70 ? "after" : at(begun) >= 30 ? "before" : "inside";
            return (
              <div
                key={item.key} id={`task-${item.index}`} role="option" aria-selected={item.index === chosenAt} aria-setsize={tasks.length} aria-posinset={item.index + 1}
                aria-label={`${nameOf(task)}: ${lookOf(task.state).word}${took && `, ${took}`}${task.message ? `, ${task.message}` : ""}`}
                className="bar-row" style={{ transform: `translateY(${item.start}px)` }} onClick={() => choose(task)}
              >
                <span className="bar-name"><Mark state={task.state} /><span className="cut">{nameOf(task)}</span>{task.try_number > 1 && <span className="tag">try {task.try_number}</span>}</span>
                <span className="lane">
                  {begun !== undefined
                    ? <><span className={`bar k-${lookOf(task.state).kind}`} style={{ left: `${at(begun)}%`, width: `max(4px, ${at(end) - at(begun)}%)` }} /><span className={`bar-took is-${side}`} style={side === "after" ? { left: `calc(${at(end)}% + 8px)` } : side === "before" ? { right: `calc(${100 - at(begun)}% + 6px)` } : { right: `calc(${100 - at(end)}% + 8px)` }}>{took}</span></>
                    : <span className="bar-none quiet">{task.message ?? lookOf(task.state).word}</span>}
                </span>
              </div>
            );
          })}
        </div>
      </div>
    </section>
  );
}
