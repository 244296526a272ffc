// The frame of every page: where one is, how the installation is, whether what is shown is live.
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useMatches, useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { reconnect, useStatus, watch } from "../api/live";
import { queries } from "../api/queries";
import { useKeys, KEYS } from "../lib/keys";
import { type Theme, prefer, usePreferences, useZone } from "../lib/preferences";
import { localZone } from "../lib/time";
import { Dialog } from "./dialog";
import { Menu } from "./menu";
import { Palette } from "./palette";
import { Toast } from "./toast";

const PLACES = [
  { to: "/", name: "DAGs" },
  { to: "/pools", name: "Pools" },
  { to: "/variables", name: "Variables" },
  { to: "/connections", name: "Connections" },
] as const;

export function Shell() {
  const { dagId, runId, taskId } = useParams({ strict: false });
  const [palette, setPalette] = useState(false);
  const [keys, setKeys] = useState(false);
  useEffect(() => watch(dagId, runId), [dagId, runId]);
  useEffect(() => {
    document.title = [taskId, runId, dagId, "Updraft"].filter(Boolean).slice(0, 3).join(" · ");
  }, [dagId, runId, taskId]);
  useKeys({ "mod+k": () => setPalette(true), "?": () => setKeys(true), "/": () => document.querySelector<HTMLElement>("[data-search]")?.focus() });
  const path = useMatches({ select: (all) => all.at(-1)?.pathname ?? "/" });
  const me = useQuery(queries.me());
  return (
    <>
      <a className="skip" href="#main">Skip to content</a>
      <header className="top">
        <Link to="/" className="brand"><img src="/assets/icon.svg" alt="" width="22" height="22" />Updraft</Link>
        <nav className="places" aria-label="Pages">
          {PLACES.map((place) => <Link key={place.to} to={place.to} aria-current={place.to === "/" ? (path === "/" || path.startsWith("/dags") ? "page" : undefined) : path === place.to ? "page" : undefined}>{place.name}</Link>)}
        </nav>
        <button type="button" className="find" onClick={() => setPalette(true)}><span>Find…</span><kbd>Ctrl K</kbd></button>
        <Health />
        <Live />
        <Settings name={me.data?.name} showKeys={() => setKeys(true)} />
      </header>
      <Lost />
      {dagId && (
        <nav className="crumbs" aria-label="Where you are">
          <Link to="/" activeOptions={{ exact: true }}>DAGs</Link><span aria-hidden="true">/</span>
          <Link to="/dags/$dagId" params={{ dagId }} activeOptions={{ exact: true }} aria-current={runId ? undefined : "page"}>{dagId}</Link>
          {runId && <><span aria-hidden="true">/</span><Link to="/dags/$dagId/runs/$runId" params={{ dagId, runId }} search={{}} activeOptions={{ exact: true }} aria-current={taskId ? undefined : "page"}>{runId}</Link></>}
          {runId && taskId && <><span aria-hidden="true">/</span><span aria-current="page">{taskId}</span></>}
        </nav>
      )}
      <main id="main" tabIndex={-1}><Outlet /></main>
      <Toast />
      <Palette open={palette} close={() => setPalette(false)} showKeys={() => setKeys(true)} />
      <Dialog open={keys} close={() => setKeys(false)} title="Keys">
        <table className="keys"><tbody>{KEYS.map((key) => <tr key={key.keys + key.where}><th scope="row"><kbd>{key.keys}</kbd></th><td>{key.does}</td><td className="quiet">{key.where}</td></tr>)}</tbody></table>
      </Dialog>
    </>
  );
}

/** What is wrong with the parts of the installation, in words. */
function Health() {
  const { data, error } = useQuery(queries.health());
  if (!data) return <span className="health" role="status">{error ? "✗ no answer" : ""}</span>;
  const wrong: string[] = [];
  if (data.metadatabase.status !== "healthy") wrong.push("the database does not answer");
  else {
    if (data.scheduler.status !== "healthy") wrong.push("no scheduler is alive");
    if (data.workers && data.workers.status !== "healthy") wrong.push("no worker is alive");
    if (data.dag_processor.status && data.dag_processor.status !== "healthy") wrong.push("no DAG processor is alive");
  }
  return <span className={wrong.length ? "health bad" : "health"} role="status">{wrong.length ? `✗ ${wrong.join(", ")}` : "✓ healthy"}</span>;
}

function Live() {
  const status = useStatus();
  return <span className={`live is-${status}`} title="Whether changes arrive by themselves"><span aria-hidden="true">{status === "live" ? "●" : "○"}</span> {status === "live" ? "live" : status === "lost" ? "not live" : "connecting"}</span>;
}

function Lost() {
  if (useStatus() !== "lost") return null;
  return <div className="banner" role="alert"><strong>The connection is lost.</strong> What you see may be old. It is tried again by itself, and what was missed is shown then. <button type="button" onClick={reconnect}>Try now</button></div>;
}

function Settings({ name, showKeys }: { name: string | undefined; showKeys: () => void }) {
  const { theme, zone } = usePreferences();
  const shown = useZone();
  const themes: [Theme, string][] = [["auto", "Theme of the system"], ["light", "Light"], ["dark", "Dark"]];
  return (
    <Menu
      className="plain settings"
      label={`Settings: times in ${shown}`}
      items={[
        ...themes.map(([value, text]) => ({ name: text, checked: theme === value, act: () => prefer({ theme: value }) })),
        { name: "Times in UTC", checked: zone === "UTC", act: () => prefer({ zone: "UTC" }) },
        { name: "Local times", hint: localZone(), checked: zone === "local", act: () => prefer({ zone: "local" }) },
        { name: "Keys", hint: "?", act: showKeys },
        { name: "API documentation", act: () => window.location.assign("/docs") },
        ...(name && name !== "anonymous" ? [{ name: "Log out", hint: name, act: () => void fetch("/auth/logout", { method: "POST" }).then(() => window.location.assign("/auth/login")) }] : []),
      ]}
    >
      <span className="zone">{shown === "UTC" ? "UTC" : "local"}</span> <span aria-hidden="true">⚙</span>
    </Menu>
  );
}
