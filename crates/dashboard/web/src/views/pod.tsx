// What an attempt was started as: a pod with its containers and events, or a process. Secrets are masked where this comes from.
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { Schemas } from "../api/client";
import { queries } from "../api/queries";
import { Failure, Mark, Skeleton, Time } from "../components/bits";
import { span } from "../lib/time";

type Attempt = Schemas["AttemptShown"];
type Json = Record<string, unknown>;
const object = (value: unknown): Json => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {});
const list = (value: unknown): Json[] => (Array.isArray(value) ? value.map(object) : []);
const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : typeof value === "number" ? String(value) : undefined);

/** Words of an argument, quoted where a shell would need it. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** JSON as YAML is read: keys in their order, no brackets. For eyes, not for programs. */
function yaml(value: unknown, indent = ""): string {
  const scalar = (one: unknown) => (typeof one === "string" ? (/^[\w./*][\w ./:@*=-]*$/.test(one) && !/[:\s]$|: /.test(one) ? one : JSON.stringify(one)) : JSON.stringify(one ?? null));
  const isEmpty = (one: unknown) => typeof one !== "object" || one === null || Object.keys(one).length === 0;
  if (isEmpty(value)) return `${Array.isArray(value) ? "[]" : typeof value === "object" && value !== null ? "{}" : scalar(value)}\n`;
  if (Array.isArray(value)) return value.map((one) => `${indent}- ${isEmpty(one) ? yaml(one) : yaml(one, `${indent}  `).trimStart()}`).join("");
  return Object.entries(value as Json).filter(([, one]) => one !== null).map(([name, one]) => `${indent}${name}:${isEmpty(one) ? ` ${yaml(one)}` : `\n${yaml(one, `${indent}  `)}`}`).join("");
}

function Facts({ rows }: { rows: [string, ReactNode][] }) {
  const shown = rows.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  return <dl className="details">{shown.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

const bytes = (count: unknown): string | undefined => (typeof count === "number" ? (count >= 1 << 30 ? `${(count / (1 << 30)).toFixed(1)} GiB` : `${(count / (1 << 20)).toFixed(1)} MiB`) : undefined);

export function PodTab(of: { dag: string; run: string; task: string; map: number; number: number }) {
  const { data, error, refetch } = useQuery(queries.attempt(of.dag, of.run, of.task, of.map, of.number));
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Skeleton rows={6} />;
  const isPod = data.runner === "kubernetes" || (data.runner === null && data.asked !== null);
  const pod = object(data.pod);
  return (
    <div className="pod-parts">
      <End attempt={data} isPod={isPod} />
      {data.pod && <Containers pod={pod} />}
      {data.pod && <Events events={list(pod.events)} />}
      {isPod && <Resources pod={pod} asked={object(data.asked)} />}
      <section className="card">
        <h2>Command</h2>
        {data.command.length ? <pre className="command">{data.command.map(quoted).join(" ")}</pre> : <p className="quiet">The image's own.</p>}
        <Facts rows={[["Image", data.image], ["Folder", data.cwd], ["Time limit", data.timeout_seconds && span(data.timeout_seconds)], ["Memory limit", bytes(data.memory_limit)]]} />
      </section>
      <section className="card">
        <h2>Environment</h2>
        {data.env.length === 0 ? <p className="quiet">Nothing is added to it.</p> : <dl className="details env">{data.env.map((one) => <div key={one.name}><dt><code>{one.name}</code></dt><dd><code>{one.value}</code></dd></div>)}</dl>}
      </section>
      {(data.pod ?? data.asked) && (
        <section className="card">
          <h2>{data.pod ? "The pod as it was sent" : "The pod that the task asks for"}</h2>
          <p className="quiet">{data.pod ? "As the cluster had it when it ended, with what the worker and the cluster added." : "The worker adds to it what the installation gives every pod. What the cluster had is kept of pods that did not end well."}</p>
          <pre className="manifest" tabIndex={0} role="region" aria-label="Manifest">{yaml(data.pod ? { metadata: pod.metadata, spec: pod.spec } : data.asked)}</pre>
        </section>
      )}
    </div>
  );
}

function End({ attempt, isPod }: { attempt: Attempt; isPod: boolean }) {
  const facts = object(attempt.evidence);
  const usage = object(facts.usage);
  const exit = facts.exit_code !== undefined ? String(facts.exit_code) : facts.signal !== undefined ? `signal ${String(facts.signal)}` : undefined;
  const live = attempt.ended_at === null;
  return (
    <section className="card">
      <h2><Mark state={attempt.state} /> {live ? "Where it stands" : "How it ended"}</h2>
      {attempt.message && <p>{attempt.message}</p>}
      <Facts rows={[
        ["Runner", attempt.runner], [isPod ? "Node" : "Host", attempt.host ?? text(facts.host)], [isPod ? "Pod uid" : "Process", attempt.handle && <code>{attempt.handle}</code>], ["Exit code", exit],
        ["Out of memory", facts.oom_killed === true && "yes"], ["Stopped", text(facts.stopped)], ["Cause", text(facts.cause)], ["Reason", attempt.reason?.replaceAll("_", " ")], ["Details", text(facts.detail)], ["Could not start", text(facts.spawn_error)],
        ["Queue", attempt.queue], ["Pool", `${attempt.pool}, ${attempt.slots} ${attempt.slots === 1 ? "slot" : "slots"}`],
        ["Queued", attempt.queued_at && <Time at={attempt.queued_at} />], ["Started", attempt.started_at && <Time at={attempt.started_at} />], ["Ended", attempt.ended_at && <Time at={attempt.ended_at} />],
        ["Processor time", usage.user_seconds !== undefined && `${span(Number(usage.user_seconds))} user, ${span(Number(usage.system_seconds)) || "0 s"} system`], ["Most memory", bytes(usage.most_memory)], ["Process id", text(usage.pid)],
      ]} />
    </section>
  );
}

/** The state of a container, as Kubernetes tells it. */
function stateOf(status: Json): { mark: string; words: string } {
  const ended = object(object(status.state).terminated);
  const waiting = object(object(status.state).waiting);
  if (text(ended.exitCode) !== undefined) {
    const code = Number(ended.exitCode);
    return { mark: code === 0 ? "success" : "failed", words: [`exit code ${code}`, text(ended.signal) && `signal ${text(ended.signal)}`, text(ended.reason), text(ended.message)].filter(Boolean).join(" · ") };
  }
  if (text(waiting.reason) !== undefined) return { mark: "queued", words: [text(waiting.reason), text(waiting.message)].filter(Boolean).join(": ") };
  return object(status.state).running ? { mark: "running", words: "running" } : { mark: "none", words: "not started" };
}

function Containers({ pod }: { pod: Json }) {
  const status = object(pod.status);
  const rows = [...list(status.initContainerStatuses).map((one) => ({ ...one, init: true }) as Json), ...list(status.containerStatuses)];
  const conditions = list(status.conditions).filter((one) => one.status !== "True" || one.type === "DisruptionTarget");
  return (
    <section className="card">
      <h2>Containers</h2>
      {rows.length === 0 ? <p className="quiet">None was begun.</p> : (
        <div className="scroll"><table>
          <thead><tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">Restarts</th><th scope="col">Image</th></tr></thead>
          <tbody>{rows.map((one) => { const state = stateOf(one); return <tr key={String(one.name)}><th scope="row">{String(one.name)}{one.init === true && " (init)"}</th><td><span className="state-dot"><Mark state={state.mark} />{state.words}</span></td><td className="num">{text(one.restartCount)}</td><td><code>{text(one.image)}</code></td></tr>; })}</tbody>
        </table></div>
      )}
      <Facts rows={[["Phase", text(status.phase)], ["Reason", text(status.reason)], ["Message", text(status.message)], ["Node", text(object(pod.spec).nodeName)], ["Address", text(status.podIP)], ...conditions.map((one): [string, ReactNode] => [`Not ${String(one.type)}`, [text(one.reason), text(one.message)].filter(Boolean).join(": ") || "so far"])]} />
    </section>
  );
}

function Events({ events }: { events: Json[] }) {
  return (
    <section className="card">
      <h2>Events</h2>
      {events.length === 0 ? <p className="quiet">The cluster tells of none.</p> : (
        <div className="scroll"><table>
          <thead><tr><th scope="col">When</th><th scope="col">Kind</th><th scope="col">Reason</th><th scope="col">Message</th></tr></thead>
          <tbody>{events.map((one, at) => <tr key={at}><td>{text(one.at) && <Time at={text(one.at)} />}{Number(one.count) > 1 && <span className="quiet"> × {text(one.count)}</span>}</td><td>{text(one.type)}</td><td>{text(one.reason)}</td><td>{text(one.message)}</td></tr>)}</tbody>
        </table></div>
      )}
    </section>
  );
}

function Resources({ pod, asked }: { pod: Json; asked: Json }) {
  const containers = list(object(pod.spec).containers).length ? list(object(pod.spec).containers) : list(asked.containers);
  const rows = containers.map((one) => ({ name: text(one.name) ?? "", requests: object(object(one.resources).requests), limits: object(object(one.resources).limits) }));
  if (!rows.some((one) => Object.keys(one.requests).length || Object.keys(one.limits).length)) return null;
  const said = (of: Json) => Object.entries(of).map(([name, value]) => `${name} ${String(value)}`).join(", ") || "none";
  return (
    <section className="card">
      <h2>Resources</h2>
      <div className="scroll"><table>
        <thead><tr><th scope="col">Container</th><th scope="col">Requests</th><th scope="col">Limits</th></tr></thead>
        <tbody>{rows.map((one) => <tr key={one.name}><th scope="row">{one.name}</th><td>{said(one.requests)}</td><td>{said(one.limits)}</td></tr>)}</tbody>
      </table></div>
    </section>
  );
}
