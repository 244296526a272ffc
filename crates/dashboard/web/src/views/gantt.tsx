// When each task ran: a list of rows, of which only those on the screen exist. Several are selected as in any list, and a part of the time can be
// looked at alone.
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type MouseEvent, type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { Mark } from "../components/bits";
import { type Bar, nameOf } from "../lib/bars";
import { useZone } from "../lib/preferences";
import { isOver, lookOf } from "../lib/states";
import { clock, span, useNow } from "../lib/time";
import "./gantt.css";

const ROW = 30;
/** A part that is looked at alone: milliseconds after the run's begin. */
export interface Range { from: number; to: number }
const LEAST = 20;

interface GanttProps {
  bars: Bar[]; start: string | null; live: boolean; chosen: Bar | undefined;
  selected: ReadonlySet<string>; range: Range | undefined; zoom: (range: Range | undefined) => void;
  /** Shows the one, selects the others. What is left out stays as it is. */
  pick: (next: { bar?: Bar; keys?: ReadonlySet<string> }) => void;
}

/** Steps that people count in. */
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3, 10_800e3, 21_600e3, 43_200e3, 86_400e3, 172_800e3, 604_800e3];
const stepOf = (length: number): number => STEPS.find((step) => length / step <= 6) ?? length / 5;

export function Gantt({ bars, start, live, chosen, selected, pick, range, zoom }: GanttProps) {
  const zone = useZone();
  const now = useNow();
  const list = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({ count: bars.length, getScrollElement: () => list.current, estimateSize: () => ROW, overscan: 10 });
  const [least, most] = useMemo(() => [
    bars.reduce((a, bar) => Math.min(a, bar.start ?? a), start ? Date.parse(start) : Number.POSITIVE_INFINITY),
    bars.reduce((a, bar) => Math.max(a, bar.end ?? 0), 0),
  ], [bars, start]);
  const begin = Number.isFinite(least) ? least : now;
  const whole: Range = { from: 0, to: Math.max(1000, most - begin, live ? now - begin : 0) };
  const seen = range ?? whole;
  const from = begin + seen.from;
  const length = Math.max(1, seen.to - seen.from);
  const at = (time: number) => ((time - from) / length) * 100;
  const chosenAt = chosen ? bars.findIndex((bar) => bar.key === chosen.key) : -1;
  // From where Shift selects.
  const anchor = useRef(-1);
  useEffect(() => {
    if (chosenAt >= 0) rows.scrollToIndex(chosenAt, { align: "auto" });
    // Only when another is chosen: a list that is read must not jump.
  }, [chosenAt, rows]);

  const between = (a: number, b: number) => new Set(bars.slice(Math.min(a, b), Math.max(a, b) + 1).map((bar) => bar.key));
  const toggle = (bar: Bar) => {
    const next = new Set(selected);
    if (!next.delete(bar.key)) next.add(bar.key);
    pick({ keys: next });
  };
  const press = (event: MouseEvent, index: number) => {
    const bar = bars[index];
    if (!bar) return;
    if (event.shiftKey) return pick({ bar, keys: between(anchor.current >= 0 ? anchor.current : Math.max(0, chosenAt), index) });
    anchor.current = index;
    if (event.ctrlKey || event.metaKey) toggle(bar);
    else pick({ bar, keys: new Set() });
  };
  const magnify = (by: number, around = (seen.from + seen.to) / 2) => {
    const next = Math.max(LEAST, length * by);
    if (next >= whole.to) return zoom(undefined);
    const left = Math.min(Math.max(0, around - ((around - seen.from) / length) * next), whole.to - next);
    zoom({ from: Math.round(left), to: Math.round(left + next) });
  };
  const move = (by: number) => {
    const left = Math.min(Math.max(0, seen.from + length * by), whole.to - length);
    if (range) zoom({ from: Math.round(left), to: Math.round(left + length) });
  };
  const hear = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor((list.current?.clientHeight ?? 300) / ROW) - 1);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -bars.length, End: bars.length };
    const step = steps[event.key];
    const acts: Record<string, () => void> = {
      " ": () => { const bar = bars[chosenAt]; if (bar) toggle(bar); },
      Escape: () => pick({ keys: new Set() }),
      "+": () => magnify(0.5), "=": () => magnify(0.5), "-": () => magnify(2), "0": () => zoom(undefined), ArrowLeft: () => move(-0.25), ArrowRight: () => move(0.25),
    };
    if (step !== undefined) {
      const next = Math.min(bars.length - 1, Math.max(0, chosenAt + step));
      const bar = bars[next];
      if (!bar) return;
      if (event.shiftKey && anchor.current < 0) anchor.current = Math.max(0, chosenAt);
      else if (!event.shiftKey) anchor.current = next;
      pick({ bar, ...(event.shiftKey && { keys: between(anchor.current, next) }) });
    } else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "a") pick({ keys: new Set(bars.map((bar) => bar.key)) });
    else if (acts[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
      if (event.key === "Escape" && !selected.size) return;
      acts[event.key]?.();
    } else return;
    event.preventDefault();
  };

  const step = stepOf(length);
  const ticks = Array.from({ length: Math.floor(seen.to / step) - Math.ceil(seen.from / step) + 1 }, (_, n) => (Math.ceil(seen.from / step) + n) * step).slice(0, 12);
  return (
    <section className="gantt" aria-label="When each task ran">
      <div className="gantt-top">
        <div className="gantt-zoom" role="group" aria-label="Time that is shown">
          <button type="button" className="plain" aria-label="Shorter time" title="Shorter time  ( + )" onClick={() => magnify(0.5)}>+</button>
          <button type="button" className="plain" aria-label="Longer time" title="Longer time  ( − )" disabled={!range} onClick={() => magnify(2)}>−</button>
          <button type="button" className="plain" disabled={!range} title="All of it  ( 0 )" onClick={() => zoom(undefined)}>all</button>
          <span className="quiet">{clock(from, zone)}</span>
        </div>
        <Axis seen={seen} zoom={zoom}>{ticks.map((tick) => <span key={tick} style={{ left: `${((tick - seen.from) / length) * 100}%` }}>+{tick === 0 ? "0" : span(tick / 1000)}</span>)}</Axis>
      </div>
      <div ref={list} className="bars" role="listbox" aria-label="Tasks" aria-multiselectable="true" tabIndex={0} onKeyDown={hear} aria-activedescendant={chosenAt >= 0 ? `task-${chosenAt}` : undefined}>
        <div role="presentation" style={{ height: rows.getTotalSize() }} className="body">
          {rows.getVirtualItems().map((item) => {
            const bar = bars[item.index] as Bar;
            const begun = bar.state !== "upstream_failed" && bar.state !== "skipped" ? bar.start : undefined;
            const end = bar.end !== undefined && isOver(bar.state) ? bar.end : bar.state === "running" ? now : (bar.end ?? now);
            const took = begun === undefined ? "" : span((end - begun) / 1000);
            const [left, right] = begun === undefined ? [0, 0] : [Math.max(0, Math.min(100, at(begun))), Math.max(0, Math.min(100, at(end)))];
            const away = begun !== undefined && (at(end) < 0 || at(begun) > 100);
            // Where there is room for it.
            const side = begun === undefined || right <= 70 ? "after" : left >= 30 ? "before" : "inside";
            const isSelected = selected.size ? selected.has(bar.key) : item.index === chosenAt;
            return (
              <div
                key={item.key} id={`task-${item.index}`} role="option" aria-selected={isSelected} aria-setsize={bars.length} aria-posinset={item.index + 1}
                aria-label={`${nameOf(bar)}: ${bar.stopping ? "stopping" : lookOf(bar.state).word}${took && `, ${took}`}${bar.says ? `, ${bar.says}` : ""}`}
                className={item.index === chosenAt ? "bar-row is-chosen" : "bar-row"} style={{ transform: `translateY(${item.start}px)` }} onClick={(event) => press(event, item.index)}
              >
                <span className="bar-name"><Mark state={bar.state} /><span className="cut" title={nameOf(bar)}><bdi>{nameOf(bar)}</bdi></span>{bar.tries > 1 && <span className="tag">try {bar.tries}</span>}{bar.note && <span className="tag" title="It has a note">note</span>}</span>
                <span className="lane">
                  {away ? <span className={at(begun ?? 0) > 100 ? "bar-away is-late quiet" : "bar-away quiet"}>{at(begun ?? 0) > 100 ? "later →" : "← earlier"}</span>
                    : begun !== undefined
                      ? <><span className={`bar k-${lookOf(bar.state).kind}`} style={{ left: `${left}%`, width: `max(4px, ${right - left}%)` }} /><span className={`bar-took is-${side}`} style={side === "after" ? { left: `calc(${right}% + 8px)` } : side === "before" ? { right: `calc(${100 - left}% + 6px)` } : { right: `calc(${100 - right}% + 8px)` }}>{took}</span></>
                      : <span className="bar-none quiet">{bar.says ?? lookOf(bar.state).word}</span>}
                </span>
              </div>
            );
          })}
        </div>
      </div>
    </section>
  );
}

/** The time above the bars. Who draws over a part of it sees that part alone; by keys, + and − do the same. */
function Axis({ seen, zoom, children }: { seen: Range; zoom: (range: Range) => void; children: React.ReactNode }) {
  const [drawn, setDrawn] = useState<[number, number]>();
  const place = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const time = (part: number) => Math.round(seen.from + part * (seen.to - seen.from));
  return (
    <div
      className="axis" aria-hidden="true" title="Draw over a part of it to see that alone"
      onPointerDown={(event) => { event.currentTarget.setPointerCapture(event.pointerId); setDrawn([place(event), place(event)]); }}
      onPointerMove={(event) => { if (drawn) setDrawn([drawn[0], place(event)]); }}
      onPointerUp={(event) => {
        if (!drawn) return;
        const [a, b] = [drawn[0], place(event)].sort((x, y) => x - y) as [number, number];
        setDrawn(undefined);
        if (b - a > 0.01 && time(b) - time(a) >= LEAST) zoom({ from: time(a), to: time(b) });
      }}
    >
      {children}
      {drawn && <i style={{ left: `${Math.min(...drawn) * 100}%`, width: `${Math.abs(drawn[1] - drawn[0]) * 100}%` }} />}
    </div>
  );
}
