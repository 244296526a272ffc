// Small things that all views are made of.
import { Link, type LinkProps } from "@tanstack/react-router";
import { type ReactNode, useId } from "react";
import { ApiError } from "../api/client";
import { useZone } from "../lib/preferences";
import { lookOf } from "../lib/states";
import { absolute, relative, span, useNow } from "../lib/time";

export function Mark({ state, size = 16 }: { state: string | null | undefined; size?: number }) {
  const look = lookOf(state);
  return (
    <svg className={`mark k-${look.kind}`} width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <rect x="0.75" y="0.75" width="14.5" height="14.5" rx="3.5" />
      <path d={look.mark} />
    </svg>
  );
}

export function State({ state }: { state: string | null | undefined }) {
  return <span className="state"><Mark state={state} />{lookOf(state).word}</span>;
}

export function Time({ at }: { at: string | null | undefined }) {
  const zone = useZone();
  const now = useNow();
  if (!at) return null;
  return <time dateTime={at} className="time"><span>{relative(at, now)}</span> <span className="quiet">{absolute(at, zone)}</span></time>;
}

/** How long it took, or has taken until now. */
export function Took({ start, seconds, live }: { start: string | null | undefined; seconds?: number | null; live?: boolean }) {
  return live && start ? <Growing start={start} /> : <>{span(seconds)}</>;
}
function Growing({ start }: { start: string }) {
  return <>{span((useNow() - Date.parse(start)) / 1000)}</>;
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return <div className="empty"><h2>{title}</h2>{children}</div>;
}

/** What failed, and what to do now. */
export function Failure({ error, retry, whole }: { error: unknown; retry?: () => void; whole?: boolean }) {
  const Title = whole ? "h1" : "h2";
  const status = error instanceof ApiError ? error.status : -1;
  const title = status === 404 ? "It is not there" : status === 403 ? "You may not see this" : status === 0 ? "The server does not answer" : "That did not work";
  return (
    <div className="empty" role="alert">
      <Title>{title}</Title>
      <p>{error instanceof Error ? error.message : String(error)}</p>
      <p className="row">{retry && <button type="button" onClick={retry}>Try again</button>}<Link to="/" className="button">All DAGs</Link></p>
    </div>
  );
}

/** The shape of what is coming, in its place. */
export function Skeleton({ rows = 8 }: { rows?: number }) {
  return <div className="skeleton" role="status" aria-label="Loading">{Array.from({ length: rows }, (_, at) => <div key={at} />)}</div>;
}

export function Tabs({ label, tabs }: { label: string; tabs: { name: string; current: boolean; link: LinkProps }[] }) {
  return (
    <nav className="tabs" aria-label={label}>
      {tabs.map((tab) => <Link key={tab.name} {...tab.link} activeOptions={{ exact: true, explicitUndefined: true }} aria-current={tab.current ? "page" : undefined}>{tab.name}</Link>)}
    </nav>
  );
}

export function Field({ label, hint, error, children }: { label: string; hint?: ReactNode; error?: string | undefined; children: (props: { id: string; "aria-describedby": string | undefined; "aria-invalid": boolean }) => ReactNode }) {
  const id = useId();
  const described = hint || error ? `${id}-more` : undefined;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-describedby": described, "aria-invalid": Boolean(error) })}
      {described && <p id={described} className={error ? "wrong" : "quiet"}>{error ?? hint}</p>}
    </div>
  );
}
