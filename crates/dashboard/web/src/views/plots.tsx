// Plots over time: SVG, drawn to the pixel, one cursor for pointer and arrows, and a table of the same figures.
import { type KeyboardEvent, type PointerEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { useZone } from "../lib/preferences";
import { absolute, moment } from "../lib/time";
import "./fleet.css";

export interface Series { name: string; /** Its colour. */ look: string; /** How its line is broken: what tells it from others without colour. */ dash?: string; values: (number | null)[] }

const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
const HEIGHT = 150;
const LEFT = 52;
const BOTTOM = 20;
const TOP = 8;

/** A round number that is not less. */
function ceiling(most: number): number {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return (([1, 2, 5, 10].find((one) => one * power >= most) ?? 10) * power);
}

function useWidth() {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!box.current) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return [box, width] as const;
}

export function Plot({ title, about, times, series, stacked, format }: { title: string; about: ReactNode; times: string[]; series: Series[]; stacked?: boolean; format: (value: number) => string }) {
  const [box, width] = useWidth();
  const [at, setAt] = useState<number>();
  const id = useId();
  const zone = useZone();
  const count = times.length;
  const inner = Math.max(1, width - LEFT - 6);
  const step = inner / Math.max(1, count);
  const totals = times.map((_, i) => (stacked ? series.reduce((sum, one) => sum + (one.values[i] ?? 0), 0) : Math.max(0, ...series.map((one) => one.values[i] ?? 0))));
  const top = ceiling(Math.max(0, ...totals));
  const x = (i: number) => LEFT + i * step;
  const y = (value: number) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const known = (i: number) => series.some((one) => one.values[i] !== null && one.values[i] !== undefined);
  const day = count > 1 && Date.parse(times[count - 1] ?? "") - Date.parse(times[0] ?? "") > 36 * 3_600_000;
  const marks = Math.max(2, Math.min(6, Math.floor(inner / (day ? 110 : 70))));
  const labels = Array.from({ length: marks }, (_, n) => Math.round((n * (count - 1)) / marks));
  const move = (event: PointerEvent<SVGSVGElement>) => setAt(Math.max(0, Math.min(count - 1, Math.floor((event.nativeEvent.offsetX - LEFT) / step))));
  const hear = (event: KeyboardEvent) => {
    const by = STEPS[event.key];
    const to = event.key === "Home" ? 0 : event.key === "End" ? count - 1 : by === undefined ? undefined : Math.max(0, Math.min(count - 1, (at ?? count - 1) + by));
    if (to === undefined) return;
    event.preventDefault();
    setAt(to);
  };
  const said = (i: number) => (known(i) ? series.map((one) => `${one.name} ${one.values[i] === null || one.values[i] === undefined ? "none" : format(one.values[i])}`).join(", ") : "nobody counted");
  const none = !times.some((_, i) => known(i) && (totals[i] ?? 0) > 0);
  return (
    <section className="plot card" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      <p className="quiet">{about}</p>
      <ul className="legend">{series.map((one) => <li key={one.name}><svg width="22" height="10" aria-hidden="true" className={one.look}>{stacked ? <rect x="4" y="0" width="14" height="10" rx="2" /> : <line x1="0" x2="22" y1="5" y2="5" strokeDasharray={one.dash} />}</svg>{one.name}</li>)}</ul>
      <p className="plot-said" role="status">{at === undefined || at >= count ? <span className="quiet">Point at a moment, or use the arrows</span> : <><b>{absolute(times[at] ?? "", zone)}</b>: {said(at)}</>}</p>
      <div ref={box}>
        <svg className="plot-area" width={width || undefined} height={HEIGHT} role="img" tabIndex={0} aria-label={`${title}. Arrows move from moment to moment; the table below has all figures.`} onPointerMove={move} onPointerLeave={() => setAt(undefined)} onKeyDown={hear} onBlur={() => setAt(undefined)}>
          {[0, 0.5, 1].map((part) => <g key={part} className="plot-line"><line x1={LEFT} x2={LEFT + inner} y1={y(top * part)} y2={y(top * part)} /><text x={LEFT - 6} y={y(top * part) + 4} textAnchor="end">{format(top * part)}</text></g>)}
          {labels.map((i) => <text key={i} className="plot-label" x={x(i)} y={HEIGHT - 4}>{moment(times[i] ?? "", zone, day)}</text>)}
          {width > 0 && stacked && times.map((time, i) => {
            let below = 0;
            return <g key={time}>{series.map((one) => {
              const value = one.values[i] ?? 0;
              if (value <= 0) return null;
              below += value;
              return <rect key={one.name} className={one.look} x={x(i) + (step > 3 ? 0.5 : 0)} width={Math.max(0.7, step - (step > 3 ? 1 : 0))} y={y(below)} height={Math.max(0.5, y(below - value) - y(below))} />;
            })}</g>;
          })}
          {width > 0 && !stacked && series.map((one) => <g key={one.name} className={one.look}><path strokeDasharray={one.dash} d={lineOf(one.values, (i) => x(i) + step / 2, y)} />{lonely(one.values).map((i) => <circle key={i} cx={x(i) + step / 2} cy={y(one.values[i] ?? 0)} r="1.5" />)}</g>)}
          {at !== undefined && at < count && <line className="plot-cursor" x1={x(at) + step / 2} x2={x(at) + step / 2} y1={TOP} y2={HEIGHT - BOTTOM} />}
          {none && <text className="plot-none" x={LEFT + inner / 2} y={HEIGHT / 2} textAnchor="middle">nothing in this time</text>}
        </svg>
      </div>
      <Twin title={title} times={times} series={series} format={format} />
    </section>
  );
}

/** A line, broken where nobody counted. */
function lineOf(values: (number | null)[], x: (i: number) => number, y: (value: number) => number): string {
  let pen = false;
  let path = "";
  values.forEach((value, i) => {
    if (value === null) pen = false;
    else {
      path += `${pen ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = true;
    }
  });
  return path;
}

/** Moments with no neighbour: a line has no length there. */
const lonely = (values: (number | null)[]): number[] => values.flatMap((value, i) => (value !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null ? [i] : []));

function Twin({ title, times, series, format }: { title: string; times: string[]; series: Series[]; format: (value: number) => string }) {
  const [open, setOpen] = useState(false);
  const zone = useZone();
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>As a table</summary>
      {open && (
        <div className="scroll plot-table" tabIndex={0} role="region" aria-label={`${title}, as a table`}><table>
          <thead><tr><th scope="col">From</th>{series.map((one) => <th key={one.name} scope="col" className="num">{one.name}</th>)}</tr></thead>
          <tbody>{times.map((time, i) => [time, i] as const).reverse().map(([time, i]) => <tr key={time}><th scope="row">{absolute(time, zone)}</th>{series.map((one) => <td key={one.name} className="num">{one.values[i] === null || one.values[i] === undefined ? "" : format(one.values[i])}</td>)}</tr>)}</tbody>
        </table></div>
      )}
    </details>
  );
}
