//! Operations that Airflow's API has not, or has elsewhere: logins, users, what page and command line need, and what is refused.

use super::*;

pub(super) fn of_login() -> Vec<Operation> {
    // People read it; what is refused before the route is reached is JSON, as everywhere.
    let said = || vec![("text/html; charset=utf-8", None), ("application/json", None)];
    let token = |path: &'static str, id: &'static str| {
        post(path, id, "Gives a token for a name and a password")
            .says("On loopback nobody is asked for a password, and the token is the key to nothing.")
            .body(bodies::login())
            .creates::<auth::Token>()
            .fails(&[401, 429])
    };
    vec![
        token("/auth/token", "create_token"),
        token("/auth/token/cli", "create_token_cli"),
        get("/auth/login", "get_login", "The page that asks for a password")
            .query("next", Of::Text, "Where to go afterwards")
            .streams("text/html; charset=utf-8"),
        get("/auth/login.css", "get_login_style", "How that page looks").streams("text/css; charset=utf-8"),
        post("/auth/login", "login", "Begins the session of a browser")
            .says("As JSON, or as the form of the page: then it leads to the place that `next` names.")
            .body(bodies::login())
            .creates::<auth::Opened>()
            .answer(303, "The form was right: on to the page", Vec::new())
            .fails(&[401, 409, 429]),
        post("/auth/logout", "logout", "Ends the session of a browser").answer(303, "To the login", Vec::new()),
        get("/auth/oidc/login", "oidc_login", "Sends a browser to the OpenID Connect provider")
            .query("next", Of::Text, "Where to go afterwards")
            .answer(303, "To the provider", Vec::new())
            .fails(&[404]),
        get("/auth/oidc/callback", "oidc_callback", "Where the provider sends the browser back to")
            .query("state", Of::Text, "")
            .query("code", Of::Text, "")
            .query("error", Of::Text, "")
            .query("error_description", Of::Text, "")
            .answer(303, "Logged in: on to the page", Vec::new())
            .answer(400, "The provider's answer makes no sense", said())
            .answer(403, "This login is not let in, and why", said())
            .answer(404, "There is no provider", said())
            .answer(503, "The provider, or the database, does not answer", said()),
    ]
}

pub(super) fn of_users() -> Vec<Operation> {
    let (all, one) = ("/ui/users", "/ui/users/{name}");
    let (roles, role) = ("/ui/roles", "/ui/roles/{name}");
    let of_one = "/ui/users/{name}/roles/{role}";
    vec![
        get("/ui/me", "get_me", "Says who asks, and what they may do over what").gives::<auth::Me>(),
        put("/ui/me/password", "change_password", "Gives who asks another password")
            .body(bodies::password())
            .ends()
            .fails(&[401, 409, 429]),
        get("/ui/tokens", "get_tokens", "Lists personal tokens of who asks")
            .query("user", Of::Text, "Another user's, for who may read users; `~` is everybody's")
            .gives::<auth::PersonalTokens>()
            .fails(&[409]),
        post("/ui/tokens", "create_personal_token", "Makes a personal token")
            .body(bodies::token())
            .creates::<auth::NewToken>()
            .fails(&[409]),
        delete("/ui/tokens/{id}", "delete_personal_token", "Voids a personal token").ends().fails(&[404, 409]),
        get(all, "get_users", "Lists users").list(USER_COLUMNS).gives::<users::Users>(),
        post(all, "create_user", "Makes a user").body(bodies::user(true)).creates::<users::User>().fails(&[409]),
        get(one, "get_user", "Shows a user").gives::<users::User>().fails(&[404]),
        patch(one, "patch_user", "Changes a user").body(bodies::user(false)).gives::<users::User>().fails(&[404, 409]),
        delete(one, "delete_user", "Deletes a user").ends().fails(&[404, 409]),
        put(of_one, "add_user_role", "Gives a user one more role")
            .query("scope", Of::Text, "Over what; everything, if nothing is said")
            .gives::<users::User>()
            .fails(&[404, 409]),
        delete(of_one, "remove_user_role", "Takes a role away from a user")
            .query("scope", Of::Text, "Only the one over this")
            .gives::<users::User>()
            .fails(&[404, 409]),
        get(roles, "get_roles", "Lists roles with what they permit").gives::<users::Roles>(),
        post(roles, "create_role", "Makes a role").body(bodies::role(true)).creates::<users::Role>().fails(&[409]),
        patch(role, "patch_role", "Gives a role other permissions").body(bodies::role(false)).gives::<users::Role>().fails(&[404, 409]),
        delete(role, "delete_role", "Deletes a role").ends().fails(&[404, 409]),
    ]
}

pub(super) fn of_updraft() -> Vec<Operation> {
    let mut found = vec![
        get("/ui/overview", "get_overview", "Lists DAGs with their latest runs").list(DAG_COLUMNS).gives::<page::Overview>(),
        get("/ui/grid/{dag_id}", "get_grid", "Shows the states of a DAG's tasks in its latest runs")
            .query("limit", Of::Whole, "How many runs at most: 50, if nothing is said, and never more than 200")
            .query("before", Of::Time, "Only runs that were due before this: the way to older ones")
            .gives::<grid::Grid>()
            .fails(&[404]),
        get("/ui/graph/{dag_id}", "get_graph", "Says where the boxes and lines of a DAG's graph go")
            .says("It may be kept: `ETag` and `If-None-Match` say whether it is still the same. With more than 200 tasks groups are folded, unless something else is asked for.")
            .query("version", Of::Whole, "Of which version; the newest, if nothing is said")
            .query("folded", Of::Text, "Names of groups, with commas between them, that are folded; `*` is all")
            .query("open", Of::Text, "Names of groups that are not folded, while all others are; `*` is all")
            .gives::<graph::GraphPicture>()
            .answer(304, "It is the one that the client has", Vec::new())
            .fails(&[404]),
        get("/ui/diff/{dag_id}", "get_dag_diff", "Compares two versions of a DAG: what they say, and their files")
            .query("from", Of::Whole, "The older one; the version before `to`, if nothing is said")
            .query("to", Of::Whole, "The newer one; the newest, if nothing is said")
            .gives::<dag_diff::DagDiff>()
            .fails(&[404]),
        get("/ui/calendar/{dag_id}", "get_calendar", "Counts the runs of a DAG by day or hour and state, those that are planned too")
            .query("from", Of::Time, "From when on")
            .query("to", Of::Time, "Until when; at most 400 days of days, or 8 of hours")
            .query("by", Of::Word(calendar::UNITS), "`day`, if nothing is said")
            .query("zone", Of::Text, "The IANA time zone of days and hours; UTC, if nothing is said")
            .gives::<calendar::Calendar>()
            .fails(&[404]),
        get("/ui/taskFares/{dag_id}", "get_task_fares", "Says how the tasks of a DAG fared in its latest runs")
            .query("limit", Of::Whole, "In how many runs: 25, if nothing is said, and never more than 100")
            .gives::<task_fares::TaskFares>()
            .fails(&[404]),
        get("/ui/runs/{dag_id}/{run_id}", "get_run_with_counts", "Shows a run, and how many of its tasks are in which state")
            .gives::<page::RunWithCounts>()
            .fails(&[404]),
        get("/ui/runs/{dag_id}/{run_id}/tasks", "get_run_tasks", "Lists the tasks of a run with their reasons")
            .list(INSTANCE_COLUMNS)
            .gives::<page::RunTasks>()
            .fails(&[404]),
        get("/ui/logs/{dag_id}/{run_id}/{task_id}/{try_number}", "get_raw_log", "Reads the log of a try as it is")
            .says("Headers of the answer say where to go on (`updraft-next-offset`), and whether that was all (`updraft-log-end`).")
            .query("offset", Of::Whole, "From which byte on")
            .query("limit", Of::Whole, "How many bytes at most")
            .query("download", Of::Flag, "All of it, as a file")
            .map_index()
            .streams("text/plain; charset=utf-8")
            .fails(&[404]),
        get(format!("{LOG}/lines"), "get_log_lines", "Reads lines of a log by their numbers")
            .query("from", Of::Whole, "The first of them; from the end, if it is negative, and without it the last ones")
            .query("at", Of::Text, "These, with commas between them")
            .query("limit", Of::Whole, "How many lines at most: 500, if nothing is said, and never more than 2,000")
            .map_index()
            .gives::<logs::lines::Lines>()
            .fails(&[404]),
        get(format!("{LOG}/search"), "search_log", "Says in which lines of a log something is")
            .query("q", Of::Text, "What is searched for; capitals do not matter")
            .query("regex", Of::Flag, "It is a regular expression")
            .query("case", Of::Flag, "Capitals matter")
            .query("level", Of::Text, "Only lines that say `debug`, `info`, `warning` or `error`, or worse")
            .query("after", Of::Whole, "Only lines after this one are listed; all are counted")
            .query("limit", Of::Whole, "How many lines are listed: 10,000, if nothing is said, and never more than 50,000")
            .map_index()
            .gives::<logs::search::Hits>()
            .fails(&[404]),
        get(format!("{LOG}/outline"), "get_log_outline", "Lists the groups of a log, and counts its errors and warnings")
            .map_index()
            .gives::<logs::search::Outline>()
            .fails(&[404]),
        get(format!("{LOG}/follow"), "follow_log", "Tells what a log grows by, as it grows")
            .says("Server-sent events: `lines`, `grown` where it is too much to tell, `end`. A stream ends after a minute, and is to be opened again.")
            .query("from", Of::Text, "What `next` of the lines said; the header `Last-Event-ID` goes before it")
            .map_index()
            .streams("text/event-stream")
            .fails(&[404]),
        get("/ui/runs/{dag_id}/{run_id}/bars", "get_run_bars", "Shows all tasks of a run, by columns").gives::<bars::Bars>().fails(&[404]),
        post("/ui/runs/{dag_id}/{run_id}/rerun", "rerun", "Runs a run that is over again, in whole or in part, with another conf")
            .body(bodies::rerun())
            .gives::<rerun::Rerun>()
            .fails(&[404, 409]),
        get("/ui/attempts/{dag_id}/{run_id}/{task_id}/{try_number}", "get_attempt", "Shows a try: what it was started with, its pod, its evidence")
            .map_index()
            .gives::<attempt::AttemptShown>()
            .fails(&[404]),
        get("/ui/why/{dag_id}/{run_id}/{task_id}", "get_why", "Says why a task waits, or how it ended")
            .map_index()
            .gives::<why::WhyAnswer>()
            .fails(&[404]),
        get("/ui/history/{dag_id}/{run_id}/{task_id}", "get_history", "Tells what was decided of a task instance, when and why")
            .map_index()
            .gives::<history::History>()
            .fails(&[404]),
        get("/ui/events", "get_events", "Tells of what changes, as it changes")
            .says("Server-sent events without an end.")
            .query("dag_id", Of::Text, "Of this DAG alone")
            .query("run_id", Of::Text, "Of this run of it alone, and of its tasks")
            .query("last_event_id", Of::Text, "Goes on after this message, like the header `Last-Event-ID`")
            .streams("text/event-stream"),
        get("/ui/backfills", "get_backfills", "Lists backfills of all DAGs, and how their runs stand")
            .query("dag_id", Of::Text, "Of this DAG alone")
            .list(BACKFILL_COLUMNS)
            .gives::<backfills::BackfillsProgress>(),
        get("/ui/backfills/{id}", "get_backfill_progress", "Shows a backfill, and how its runs stand")
            .numbers(&["id"])
            .gives::<backfills::BackfillProgress>()
            .fails(&[404]),
        get("/ui/doctor", "get_doctor", "Looks for what is wrong with the installation").gives::<doctor::Report>(),
        get("/ui/workers", "get_workers", "Lists workers, the liveliest first").gives::<fleet::Workers>(),
        put("/ui/workers/{id}/drain", "drain_worker", "Has a worker take nothing new; what it watches goes on")
            .body(bodies::drain())
            .gives::<fleet::Worker>()
            .fails(&[404, 409]),
        delete("/ui/workers/{id}/drain", "undrain_worker", "Lets a worker take again").gives::<fleet::Worker>().fails(&[404]),
        get("/ui/workers/{id}/attempts", "get_worker_attempts", "Lists what a worker watches, the longest first")
            .gives::<fleet::WatchedAttempts>()
            .fails(&[404]),
        get("/ui/schedulers", "get_schedulers", "Lists schedulers, the liveliest first").gives::<fleet::Schedulers>(),
        get("/ui/fleet/history", "get_fleet_history", "Tells what was done, how long it waited and how much waited, over time")
            .query("range", Of::Text, "`1h` in minutes, `24h` in steps of five, `7d` in steps of thirty; `1h`, if nothing is said")
            .gives::<fleet::history::FleetHistory>(),
        get("/ui/health", "get_installation_health", "Says how each part of the installation is, and what to do")
            .gives::<condition::Condition>(),
        get("/ui/sources", "get_dag_sources", "Shows where DAG files come from, and what the last commits changed")
            .query("commits", Of::Whole, "How many commits at most: 30, if nothing is said, and never more than 200")
            .gives::<sources::Sources>(),
        post("/ui/sources/sync", "sync_dag_sources", "Has all schedulers fetch their repositories at once")
            .answer(202, "Schedulers were told", vec![("application/json", Some(|schemas| schemas.subschema_for::<webhook::Told>()))])
            .fails(&[409]),
        get("/ui/import-errors", "get_broken_files", "Lists the files that cannot be read, mistake by mistake")
            .list(IMPORT_ERROR_COLUMNS)
            .gives::<import_errors::BrokenFiles>(),
        get("/ui/queues", "get_queues", "Lists queues: what waits, since when, who takes it, and what RabbitMQ counts")
            .gives::<fleet::Queues>(),
        get("/ui/maintenance", "get_maintenance", "Says whether launches are stopped").gives::<maintenance::Shown>(),
        put("/ui/maintenance", "begin_maintenance", "Stops launches; what runs goes on")
            .body(bodies::maintenance())
            .gives::<maintenance::Shown>(),
        delete("/ui/maintenance", "end_maintenance", "Lets launches go on").gives::<maintenance::Shown>(),
        post("/git/webhook", "git_webhook", "Hears of a push, and has all repositories fetched")
            .says("The body is not believed, only its signature.")
            .header("x-hub-signature-256", "GitHub's, and Bitbucket's")
            .header("x-gitea-signature", "Gitea's, and Forgejo's")
            .header("x-gitlab-token", "GitLab's")
            .body(bodies::anything())
            .answer(202, "Schedulers were told", vec![("application/json", Some(|schemas| schemas.subschema_for::<webhook::Told>()))])
            .fails(&[401]),
        get("/openapi.json", "get_openapi", "This document").streams("application/json"),
    ];
    found.push(get("/docs", "get_page_docs", "A reader of this document").streams("text/html; charset=utf-8"));
    found.push(get("/assets/{*file}", "get_page_file", "A file of the page").streams("application/octet-stream").fails(&[404]));
    found.extend(updraft_dashboard::PLACES.iter().map(|path| {
        let name: String = path.chars().filter(|c| *c != '{' && *c != '*' && *c != '}').collect();
        let id = format!("get_page{}", name.trim_end_matches('/').replace(['/', '-'], "_"));
        Operation::new(Method::GET, *path, id, "The page: a browser shows what its path names").streams("text/html; charset=utf-8")
    }));
    found
}

/// What is refused whatever is asked.
pub(super) fn refused() -> Vec<Operation> {
    let task = format!("{TASKS}/{{task_id}}/state-store");
    let paths = [
        ("/api/v1".to_owned(), "airflow_2", "Says that Airflow 2's API is gone", 410),
        ("/api/v1/{*rest}".to_owned(), "airflow_2_path", "Says that Airflow 2's API is gone", 410),
        (task.clone(), "task_state_store", "Says that there is no state store", 501),
        (format!("{task}/{{*key}}"), "task_state_store_key", "Says that there is no state store", 501),
    ];
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let each = paths.into_iter().flat_map(|path| methods.clone().map(|method| (path.clone(), method)));
    each.map(|((path, id, summary, status), method)| {
        let id = format!("{}_{id}", method.as_str().to_ascii_lowercase());
        Operation::new(method, path, id, summary).fails(&[status])
    })
    .collect()
}
