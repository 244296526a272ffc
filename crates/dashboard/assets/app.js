// The page: what the address after # names is fetched every two seconds and drawn. Everything from the server is text, never markup.
"use strict";

const SIGNS = {
  success: ["✓", "ok"], failed: ["✗", "bad"], upstream_failed: ["⊘", "bad"], running: ["▶", "run"], queued: ["…", "wait"],
  scheduled: ["…", "wait"], up_for_retry: ["↻", "retry"], skipped: ["–", "off"], removed: ["–", "off"], none: ["·", "off"],
};
const OVER = ["success", "failed", "upstream_failed", "skipped", "removed"];
const main = document.getElementById("main");
const crumbs = document.getElementById("crumbs");
const health = document.getElementById("health");
const toast = document.getElementById("toast");
let drawn = "";
let timer = 0;
let turn = 0;
let toastTimer = 0;
let log = null;

// Makes an element. A property that begins with "on" is a listener; text goes through textContent.
function el(name, properties, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "text") node.textContent = value;
    else if (key === "class") node.className = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== "") node.append(child);
  }
  return node;
}

const part = encodeURIComponent;
const link = (...parts) => "#/" + parts.map(part).join("/");

async function call(path, method, body) {
  const response = await fetch(path, {
    method: method || "GET", cache: "no-store",
    headers: body ? { "content-type": "application/json", "updraft-client": "ui" } : { "updraft-client": "ui" },
    body: body ? JSON.stringify(body) : undefined,
  });
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  const detail = answer && answer.detail;
  const text = typeof detail === "string" ? detail : Array.isArray(detail) ? detail.map((d) => d.msg).join("; ") : detail && detail.message;
  const error = new Error(text || response.statusText);
  error.status = response.status;
  throw error;
}
const get = async (path) => (await call(path)).json();

function say(text) {
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { toast.hidden = true; }, 5000);
}

async function act(button, work) {
  button.disabled = true;
  try { await work(); } catch (error) { say(error.message); }
  button.disabled = false;
  drawn = "";
  refresh();
}

function state(word) {
  const [sign, kind] = SIGNS[word || "none"] || SIGNS.none;
  return el("span", { class: "state k-" + kind }, el("span", { "aria-hidden": "true", text: sign }), el("span", { text: (word || "waiting").replaceAll("_", " ") }));
}

function ago(text) {
  if (!text) return "";
  const seconds = (Date.now() - Date.parse(text)) / 1000;
  const abs = Math.abs(seconds);
  const [n, unit] = abs < 100 ? [abs, "s"] : abs < 5400 ? [abs / 60, "min"] : abs < 129600 ? [abs / 3600, "h"] : [abs / 86400, "d"];
  return seconds < 0 ? "in " + Math.round(n) + " " + unit : Math.round(n) + " " + unit + " ago";
}
const time = (text) => (text ? el("time", { datetime: text, title: text, text: ago(text) }) : "");
function took(start, seconds) {
  let s = seconds;
  if (s === null || s === undefined) {
    if (!start) return "";
    s = Math.max(0, (Date.now() - Date.parse(start)) / 1000);
  }
  return s < 60 ? s.toFixed(1) + " s" : s < 5400 ? (s / 60).toFixed(1) + " min" : (s / 3600).toFixed(1) + " h";
}

function table(titles, rows) {
  return el("div", { class: "card" }, el("table", null,
    el("thead", null, el("tr", null, titles.map(([title, kind]) => el("th", { scope: "col", class: kind, text: title })))),
    el("tbody", null, rows)));
}

function pauseSwitch(dag) {
  return el("button", {
    class: "switch", role: "switch", "aria-checked": String(!dag.is_paused), "aria-label": "Schedule of " + dag.dag_id, "data-focus": "pause-" + dag.dag_id,
    onclick: (event) => act(event.currentTarget, () => call("/api/v2/dags/" + part(dag.dag_id), "PATCH", { is_paused: !dag.is_paused })),
  }, el("span", { class: "track", "aria-hidden": "true" }), el("span", { text: dag.is_paused ? "paused" : "on" }));
}

function triggerButton(dag, primary) {
  return el("button", {
    class: primary ? "primary" : "", "aria-label": "Trigger " + dag.dag_id, "data-focus": "trigger-" + dag.dag_id,
    onclick: (event) => act(event.currentTarget, async () => {
      const run = await (await call("/api/v2/dags/" + part(dag.dag_id) + "/dagRuns", "POST", { logical_date: null })).json();
      if (dag.is_paused) say("The DAG is paused: the run waits until you switch it on.");
      location.hash = link("dags", dag.dag_id, run.dag_run_id);
    }),
  }, "▶ Trigger");
}

function importErrors(errors) {
  if (!errors || errors.length === 0) return "";
  return el("section", { class: "notice", "aria-label": "Files that cannot be read" },
    el("strong", { text: "✗ " + errors.length + (errors.length === 1 ? " file cannot be read" : " files cannot be read") }),
    el("span", { class: "quiet", text: "  Their last good versions go on being scheduled." }),
    errors.map((e) => el("pre", { text: e.filename + "\n" + e.message })));
}

async function drawDags() {
  const data = await get("/ui/overview?limit=500");
  const key = JSON.stringify(data);
  return [key, () => {
    if (data.dags.length === 0) {
      return [importErrors(data.import_errors), el("div", { class: "card empty" },
        el("h1", { text: "No DAGs yet" }),
        el("p", { class: "quiet", text: "Put a DAG file, YAML or Python, into the folder that --dags names. It appears here when it is saved." }),
        el("code", { class: "command", text: "updraft dags check dags" }),
        el("p", { class: "quiet small", text: "says what is in the folder, and what is wrong with it." }))];
    }
    const rows = data.dags.map((dag) => el("tr", null,
      el("td", { class: "name" }, el("a", { href: link("dags", dag.dag_id), text: dag.dag_display_name, "data-focus": "dag-" + dag.dag_id }),
        el("div", { class: "quiet" }, dag.has_import_errors ? "✗ its file has an error; " : "", dag.description || dag.relative_fileloc),
        dag.tags.map((tag) => el("span", { class: "tag", text: tag }))),
      el("td", null, el("div", { class: "strip" }, dag.runs.map((run) => runSquare(dag, run)))),
      el("td", { class: "hide-small" }, el("span", { text: dag.schedule && dag.schedule !== "None" ? dag.schedule : "by hand", title: dag.schedule_description }),
        dag.next_run_after && !dag.is_paused ? el("div", { class: "quiet small" }, "next ", time(dag.next_run_after)) : ""),
      el("td", { class: "num hide-small", text: String(dag.task_count) }),
      el("td", null, pauseSwitch(dag)),
      el("td", { class: "right" }, triggerButton(dag, false))));
    return [importErrors(data.import_errors), el("div", { class: "head" }, el("div", null, el("h1", { text: "DAGs" }),
      el("p", { class: "quiet", text: data.total_entries + (data.total_entries === 1 ? " DAG" : " DAGs") + ", latest runs on the right of each strip" }))),
    table([["DAG"], ["Runs"], ["Schedule", "hide-small"], ["Tasks", "num hide-small"], ["Active"], [""]], rows)];
  }];
}

function runSquare(dag, run) {
  const [sign, kind] = SIGNS[run.state] || SIGNS.none;
  const title = run.state + ", " + run.run_type + ", " + run.run_after;
  return el("a", { class: "k-" + kind, href: link("dags", dag.dag_id, run.dag_run_id), title, "aria-label": title, text: sign });
}

async function drawDag(dagId) {
  const path = "/api/v2/dags/" + part(dagId);
  const [dag, runs] = await Promise.all([get(path + "/details"), get(path + "/dagRuns?order_by=-run_after&limit=50")]);
  return [JSON.stringify([dag.is_paused, dag.next_dagrun_run_after, runs, dag.latest_dag_version]), () => {
    const rows = runs.dag_runs.map((run) => el("tr", null,
      el("td", { class: "name" }, el("a", { href: link("dags", dagId, run.dag_run_id), text: run.dag_run_id, "data-focus": run.dag_run_id }),
        run.note ? el("div", { class: "quiet", text: run.note }) : ""),
      el("td", null, state(run.state)), el("td", { class: "hide-small", text: run.run_type }), el("td", null, time(run.start_date || run.run_after)),
      el("td", { class: "num", text: took(run.start_date, run.duration) })));
    return [el("div", { class: "head" },
      el("div", null, el("h1", { text: dag.dag_display_name }),
        el("p", { class: "quiet", text: [dag.description, dag.timetable_description || dag.timetable_summary || "runs by hand", dag.fileloc].filter(Boolean).join(" · ") })),
      el("div", { class: "actions" }, pauseSwitch(dag), triggerButton(dag, true))),
    rows.length ? table([["Run"], ["State"], ["Type", "hide-small"], ["Started"], ["Took", "num"]], rows)
      : el("div", { class: "card empty" }, el("p", { class: "quiet", text: "It has not run yet." }), el("code", { class: "command", text: "updraft dags trigger " + dagId }))];
  }];
}

async function drawRun(dagId, runId) {
  const path = "/ui/runs/" + part(dagId) + "/" + part(runId);
  const [run, tasks] = await Promise.all([get(path), get(path + "/tasks?limit=1000")]);
  const live = !OVER.includes(run.state);
  return [JSON.stringify([run, tasks, live ? Math.floor(Date.now() / 2000) : 0]), () => {
    const clear = (body, button) => act(button, async () => {
      const answer = await (await call("/api/v2/dags/" + part(dagId) + "/clearTaskInstances", "POST", { dag_run_id: run.dag_run_id, dry_run: false, ...body })).json();
      say(answer.total_entries === 0 ? "There was nothing to clear." : answer.total_entries + " tasks will run again.");
    });
    const rows = tasks.tasks.map((task) => el("tr", null,
      el("td", { class: "name" }, el("a", { href: link("dags", dagId, run.dag_run_id, task.task_id) + (task.map_index >= 0 ? "/" + task.map_index : ""),
        text: task.task_id + (task.map_index >= 0 ? "[" + task.map_index + "]" : ""), "data-focus": task.task_id + task.map_index }),
      el("div", { class: "quiet", text: task.operator })),
      el("td", null, state(task.state), task.intent ? el("div", { class: "quiet small", text: "asked to " + task.intent.replaceAll("_", " ") }) : ""),
      el("td", { class: "num hide-small", text: task.try_number > 0 ? String(task.try_number) : "" }),
      el("td", { class: "num", text: took(OVER.includes(task.state) ? null : task.start_date, task.duration) }),
      el("td", { class: "wide hide-small", text: task.message || task.reason || "" })));
    const counts = Object.entries(run.task_counts).map(([word, n]) => n + " " + (word === "none" ? "waiting" : word.replaceAll("_", " "))).join(", ");
    return [el("div", { class: "head" },
      el("div", null, el("h1", { text: run.dag_run_id }),
        el("p", { class: "quiet" }, state(run.state), "  ", [run.run_type, took(run.start_date, run.duration), counts, run.reason].filter(Boolean).join(" · ")),
        run.note ? el("p", { class: "quiet", text: run.note }) : ""),
      el("div", { class: "actions" },
        (run.task_counts.failed || run.task_counts.upstream_failed)
          ? el("button", { class: "primary", "data-focus": "retry", onclick: (e) => clear({ only_failed: true }, e.currentTarget) }, "↻ Retry failed") : "",
        el("button", { "data-focus": "all", onclick: (e) => clear({ only_failed: false }, e.currentTarget) }, "Run all again"),
        live ? el("button", { "data-focus": "stop", onclick: (e) => act(e.currentTarget, () => call("/api/v2/dags/" + part(dagId) + "/dagRuns/" + part(run.dag_run_id), "PATCH", { state: "failed" })) }, "■ Stop") : "")),
    table([["Task"], ["State"], ["Try", "num hide-small"], ["Took", "num"], ["Why", "hide-small"]], rows),
    tasks.total_entries > rows.length ? el("p", { class: "quiet", text: "The first " + rows.length + " of " + tasks.total_entries + " tasks. All: updraft tasks states " + dagId + " " + run.dag_run_id }) : ""];
  }];
}

// The log grows in place: only bytes that are new are fetched, and the reader's place is kept.
async function readLog(dagId, runId, taskId, map, number) {
  const id = [dagId, runId, taskId, map, number].join("\n");
  if (!log || log.id !== id) {
    log = { id, offset: 0, end: false, decoder: new TextDecoder(), node: el("pre", { class: "log", tabindex: "0", "aria-label": "Log" }) };
  }
  const mine = log;
  for (let pages = 0; pages < 16 && !mine.end; pages += 1) {
    const url = "/ui/logs/" + [dagId, runId, taskId, number].map(part).join("/") + "?map_index=" + map + "&offset=" + mine.offset;
    const response = await call(url);
    const next = Number(response.headers.get("updraft-next-offset"));
    mine.end = response.headers.get("updraft-log-end") === "true";
    const text = mine.decoder.decode(await response.arrayBuffer(), { stream: true });
    if (next === mine.offset) break;
    mine.offset = next;
    const atBottom = mine.node.scrollTop + mine.node.clientHeight >= mine.node.scrollHeight - 24;
    // Colours of terminals are left out.
    mine.node.append(text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, ""));
    if (atBottom) mine.node.scrollTop = mine.node.scrollHeight;
  }
}

async function drawTask(dagId, runId, taskId, map, wanted) {
  const why = await get("/ui/why/" + [dagId, runId, taskId].map(part).join("/") + "?map_index=" + map);
  const tries = why.attempts.map((a) => a.try_number);
  const number = wanted && tries.includes(wanted) ? wanted : tries[tries.length - 1];
  if (number) await readLog(dagId, why.dag_run_id, taskId, map, number);
  const current = log;
  return [JSON.stringify([why, number]), () => [
    el("div", { class: "head" }, el("div", null, el("h1", { text: taskId + (map >= 0 ? "[" + map + "]" : "") }), el("p", { class: "quiet" }, state(why.state),
      why.budget ? "  paid by the " + (why.budget === "user" ? "task's retries" : "infrastructure's budget") : "")),
    el("div", { class: "actions" },
      el("button", {
        "data-focus": "clear", onclick: (e) => act(e.currentTarget, async () => {
          await call("/api/v2/dags/" + part(dagId) + "/clearTaskInstances", "POST", { dag_run_id: why.dag_run_id, dry_run: false, only_failed: false, include_downstream: true, task_ids: [taskId] });
          say("It and what comes after it will run again.");
        }),
      }, "↻ Run again from here"))),
    el("div", { class: "card why" }, el("p", null, el("strong", { text: why.summary })),
      why.waiting.length > 1 || (why.waiting[0] && why.waiting[0].remedy)
        ? el("ul", null, why.waiting.map((w) => el("li", null, w.detail, w.remedy ? el("span", null, " → ", el("code", { text: w.remedy })) : ""))) : "",
      why.evidence ? el("p", { class: "quiet small", text: "Evidence: " + Object.entries(why.evidence).map(([k, v]) => k + " " + (typeof v === "object" ? JSON.stringify(v) : v)).join(", ") }) : ""),
    number ? el("div", { class: "card" }, el("div", { class: "bar" },
      tries.map((n) => el("a", { href: link("dags", dagId, why.dag_run_id, taskId) + "/" + map + "/" + n, "aria-current": n === number ? "true" : null, text: (n === number ? "● " : "○ ") + "try " + n })),
      el("span", { class: "grow" }), el("a", { href: "/ui/logs/" + [dagId, why.dag_run_id, taskId, number].map(part).join("/") + "?map_index=" + map, target: "_blank", rel: "noopener", text: "open raw" })),
    current.node) : "",
  ]];
}

function place() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  if (parts[0] !== "dags" || parts.length < 2) return { draw: drawDags, trail: [] };
  const [, dag, run, task, map, number] = parts;
  const trail = [[dag, link("dags", dag)]];
  if (!run) return { draw: () => drawDag(dag), trail };
  trail.push([run, link("dags", dag, run)]);
  if (!task) return { draw: () => drawRun(dag, run), trail };
  trail.push([task, location.hash]);
  return { draw: () => drawTask(dag, run, task, map === undefined ? -1 : Number(map), Number(number) || 0), trail };
}

async function refresh() {
  clearTimeout(timer);
  turn += 1;
  const mine = turn;
  const at = location.hash;
  const { draw, trail } = place();
  try {
    const [key, build] = await draw();
    if (mine !== turn) return;
    if (drawn !== at + "\n" + key) {
      drawn = at + "\n" + key;
      show(build(), trail);
    }
    await checkHealth();
  } catch (error) {
    if (mine !== turn) return;
    if (error.status) {
      drawn = "";
      show([el("div", { class: "card empty" }, el("h1", { text: error.status === 404 ? "Not found" : "That did not work" }), el("p", { class: "quiet", text: error.message }))], trail);
    } else {
      health.textContent = "✗ the API does not answer";
      health.className = "health bad";
    }
  }
  if (mine === turn) timer = setTimeout(refresh, document.hidden ? 15000 : 2000);
}

// Draws anew, and leaves keyboard focus and the log's place where they were.
function show(nodes, trail) {
  const focus = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.focus : undefined;
  const scroll = log ? log.node.scrollTop : 0;
  main.replaceChildren(...nodes.filter((n) => n !== ""));
  if (log && log.node.isConnected) log.node.scrollTop = scroll || log.node.scrollHeight;
  if (focus) {
    const again = [...main.querySelectorAll("[data-focus]")].find((n) => n.dataset.focus === focus);
    if (again) again.focus({ preventScroll: true });
  }
  crumbs.replaceChildren(...trail.flatMap(([text, href]) => [el("span", { "aria-hidden": "true", text: "/" }), el("a", { href, text })]));
  document.title = [...trail.map(([text]) => text).reverse(), "Updraft"].join(" · ");
}

async function checkHealth() {
  const answer = await get("/api/v2/monitor/health");
  const wrong = [];
  if (answer.metadatabase.status !== "healthy") wrong.push("the database does not answer");
  else {
    if (answer.scheduler.status !== "healthy") wrong.push("no scheduler is alive");
    if (answer.workers && answer.workers.status !== "healthy") wrong.push("no worker is alive");
  }
  const text = wrong.length ? "✗ " + wrong.join(", ") : "✓ healthy";
  if (health.textContent !== text) health.textContent = text;
  health.className = wrong.length ? "health bad" : "health";
}

window.addEventListener("hashchange", () => { drawn = ""; main.focus({ preventScroll: true }); refresh(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
