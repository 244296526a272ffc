// The frame of every page: where one is, how the installation is, whether what is shown is live.
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useMatches, useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { reconnect, useStatus, watch } from "../api/live";
import { queries, useMay } from "../api/queries";
import { useKeys, KEYS } from "../lib/keys";
import { type Theme, prefer, usePreferences, useZone } from "../lib/preferences";
import { STATES, lookOf } from "../lib/states";
import { localZone } from "../lib/time";
import { Mark } from "./bits";
import { Dialog } from "./dialog";
import { Menu, landmark } from "./menu";
import { HOW, PARTS, Parts } from "./parts";
import { GROUPS, PLACES } from "./places";
import { Menu as Base } from "@base-ui/react/menu";
import { Palette } from "./palette";
import { Toast } from "./toast";

export function Shell() {
  const { dagId, runId, taskId } = useParams({ strict: false });
  const path = useMatches({ select: (all) => all.at(-1)?.pathname ?? "/" });
  const [palette, setPalette] = useState(false);
  const [keys, setKeys] = useState(false);
  useEffect(() => watch(dagId, runId), [dagId, runId]);
  useEffect(() => {
    document.title = [taskId, runId, dagId ?? PLACES.find((place) => place.to === path && place.to !== "/")?.name, "Updraft"].filter(Boolean).slice(0, 3).join(" · ");
  }, [dagId, runId, taskId, path]);
  useKeys({ "mod+k": () => setPalette(true), "?": () => setKeys(true), "/": () => document.querySelector<HTMLElement>("[data-search]")?.focus() });
  const me = useQuery(queries.me());
  return (
    <>
      <a className="skip" href="#main">Skip to content</a>
      <header className="top">
        <Link to="/" className="brand"><img src="/assets/icon.svg" alt="" width="22" height="22" />Updraft</Link>
        <Pages path={path} />
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
      <Dialog open={keys} close={() => setKeys(false)} title="Keys and states">
        <table className="keys"><tbody>{KEYS.map((key) => <tr key={key.keys + key.where}><th scope="row"><kbd>{key.keys}</kbd></th><td>{key.does}</td><td className="quiet">{key.where}</td></tr>)}</tbody></table>
        <h3>States</h3>
        <ul className="state-list">{STATES.map((state) => <li key={state}><Mark state={state} /> {lookOf(state).word}</li>)}</ul>
      </Dialog>
    </>
  );
}

/** The pages in their groups: those that one opens daily by themselves, the others in a menu. */
function Pages({ path }: { path: string }) {
  const may = useMay();
  const isHere = (to: string) => (to === "/" ? path === "/" || path.startsWith("/dags") : path === to);
  const shown = PLACES.filter((place) => !place.may || may(place.may, place.everywhere));
  return (
    <nav className="places" aria-label="Pages">
      {shown.filter((place) => !place.group).map((place) => <Link key={place.to} to={place.to} aria-current={isHere(place.to) ? "page" : undefined}>{place.name}</Link>)}
      {GROUPS.map((group) => {
        const inside = shown.filter((place) => place.group === group);
        const here = inside.find((place) => isHere(place.to));
        return inside.length > 0 && (
          <Base.Root key={group}>
            <Base.Trigger className="plain group" data-here={here ? "" : undefined}>{here ? here.name : group} <span aria-hidden="true">▾</span></Base.Trigger>
            <Base.Portal container={landmark}><Base.Positioner align="start" sideOffset={4}><Base.Popup className="menu" aria-label={group}>
              {inside.map((place) => <Base.Item key={place.to} render={<Link to={place.to} aria-current={place === here ? "page" : undefined} />}><span>{place.name}</span><span className="quiet">{place.about}</span></Base.Item>)}
            </Base.Popup></Base.Positioner></Base.Portal>
          </Base.Root>
        );
      })}
    </nav>
  );
}

/** How the parts of the installation are, in words, and what to do. The event stream tells when one is silent. */
function Health() {
  const { data, error } = useQuery(queries.health());
  const [open, setOpen] = useState(false);
  const wrong = (data?.parts ?? []).filter((part) => part.status === "unhealthy" || part.status === "degraded");
  const bad = wrong.some((part) => part.status === "unhealthy");
  const brief = !data ? (error ? "✗ no answer" : "") : wrong.length === 0 ? (data.maintenance ? "‖ maintenance" : "✓ healthy") : `${bad ? "✗" : "!"} ${wrong.map((part) => PARTS[part.part]?.toLowerCase()).join(", ")} ${wrong.map((part) => HOW[part.status].word).at(0) ?? ""}`;
  return (
    <>
      <button type="button" className={`plain health${bad ? " bad" : wrong.length || data?.maintenance ? " warn" : ""}`} aria-haspopup="dialog" onClick={() => setOpen(true)}>{brief || "…"}</button>
      <span className="seen-by-ear" role="status">{wrong.length ? brief : ""}</span>
      <Dialog open={open} close={() => setOpen(false)} title="Health">{data ? <Parts data={data} /> : <p>{error?.message}</p>}</Dialog>
    </>
  );
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
        { name: "Keys and states", hint: "?", act: showKeys },
        { name: "API documentation", act: () => window.location.assign("/docs") },
        ...(name && name !== "anonymous" ? [{ name: "Log out", hint: name, act: () => void fetch("/auth/logout", { method: "POST" }).then(() => window.location.assign("/auth/login")) }] : []),
      ]}
    >
      <span className="zone">{shown === "UTC" ? "UTC" : "local"}</span> <span aria-hidden="true">⚙</span>
    </Menu>
  );
}
