//! Logs by lines: read, searched, outlined, followed and downloaded.

use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;

use crate::harness::Api;

const LOG: &str = "/ui/logs/diamond/r1/a/2";

#[sqlx::test(migrations = "../../migrations")]
async fn lines_are_read_by_their_numbers(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let read = api.get(&format!("{LOG}/lines")).await;
    assert_eq!((&read["numbers"], &read["lines"]), (&json!([1, 2]), &json!(["hello", "world"])), "a line goes over two chunks");
    assert_eq!((&read["total"], &read["bytes"], &read["end"]), (&json!(2), &json!(12), &json!(true)));
    // Whoever stored it counted its lines, or did not.
    api.sql("update log_chunk set lines = 1").await;
    assert_eq!(api.get(&format!("{LOG}/lines?from=-1")).await["lines"], json!(["world"]));
    assert_eq!(api.get(&format!("{LOG}/lines?from=1&limit=1")).await["lines"], json!(["hello"]));
    assert_eq!(api.get(&format!("{LOG}/lines?at=2,7,2")).await["numbers"], json!([2]));
    assert_eq!(api.get(&format!("{LOG}/lines?from=3")).await["lines"], json!([]));
    assert_eq!(api.refused("GET", &format!("{LOG}/lines?at=x"), None).await.0, 422);
    assert_eq!(api.status("GET", "/ui/logs/diamond/r1/a/9/lines").await, 404);
}

/// Chunks of 1,000 lines of the log of a live attempt, of which no chunk knows its lines where `counted` is false.
async fn long_log(api: &Api, counted: bool) {
    api.half_done().await;
    api.sql("delete from log_chunk").await;
    api.sql(
        "insert into log_chunk (run_id, idx, map_index, attempt, start, data, lines)
         select r.id, 1, -1, 1, (n - 1) * 30000, convert_to(string_agg(rpad((case when i = 777 then 'ERROR ' else '' end) || 'row ' || ((n - 1) * 1000 + i), 29, '.') || chr(10), '' order by i), 'utf8'), 1000
         from run r, generate_series(1, 40) n, generate_series(1, 1000) i where r.run_id = 'r1' group by r.id, n",
    )
    .await;
    if !counted {
        api.sql("update log_chunk set lines = null").await;
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_long_log_is_read_and_searched(pool: PgPool) {
    let api = Api::new(pool).await;
    for counted in [true, false] {
        long_log(&api, counted).await;
        let log = "/ui/logs/diamond/r1/b/1";
        let read = api.get(&format!("{log}/lines?from=23456&limit=3")).await;
        assert_eq!(
            read["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().trim_end_matches('.')).collect::<Vec<_>>(),
            ["row 23456", "row 23457", "row 23458"]
        );
        assert_eq!((&read["total"], &read["end"], &read["next"]), (&json!(40_000), &json!(false), &json!("1200000.40001")));
        let read = api.get(&format!("{log}/lines?at=1,1777,40000")).await;
        assert_eq!((&read["numbers"], &read["marks"]), (&json!([1, 1777, 40_000]), &json!(" e ")));

        let found = api.get(&format!("{log}/search?q=ROW%203999")).await;
        assert_eq!((found["total"].as_i64(), &found["numbers"][0], &found["lines"]), (Some(11), &json!(3999), &json!(40_000)));
        let found = api.get(&format!("{log}/search?q=ROW%203999&after=39990&limit=2")).await;
        assert_eq!((&found["total"], &found["before"], &found["numbers"]), (&json!(11), &json!(2), &json!([39_991, 39_992])));
        assert_eq!(api.get(&format!("{log}/search?q=ROW%203999&case=true")).await["total"], 0);
        assert_eq!(api.get(&format!("{log}/search?q=%5Erow%20%5Cd%7B4%7D%5C.&regex=true")).await["total"], 8_991);
        assert_eq!(api.get(&format!("{log}/search?level=error")).await["total"], 40);
        assert_eq!(api.get(&format!("{log}/search?level=error&q=row%201777.")).await["numbers"], json!([1777]));
        let outline = api.get(&format!("{log}/outline")).await;
        assert_eq!(
            (&outline["errors"], &outline["first_error"], &outline["last_error"], &outline["lines"]),
            (&json!(40), &json!(777), &json!(39_777), &json!(40_000))
        );
        for bad in ["search", "search?q=(&regex=true", "search?level=fatal"] {
            assert_eq!(api.refused("GET", &format!("{log}/{bad}"), None).await.0, 422, "{bad}");
        }
        let whole = api.call("GET", &format!("{log}?download=true"), None, "*/*").await;
        assert_eq!((whole.text.lines().count(), whole.text.len()), (40_000, 1_200_000));
        assert_eq!(whole.headers["content-disposition"], "attachment; filename=\"b-1.log\"");
        api.sql("delete from run").await;
        api.sql("truncate task_instance, live_attempt, attempt, log_chunk, xcom, worker, lease_group cascade").await;
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_log_is_followed_from_a_line_that_has_no_end(pool: PgPool) {
    use futures::StreamExt as _;

    let api = Api::new(pool).await;
    api.half_done().await;
    let grow = "insert into log_chunk (run_id, idx, map_index, attempt, start, data, lines) select id, 1, -1, 1, 0, convert_to('one' || chr(10) || 'tw', 'utf8'), 1 from run where run_id = 'r1'";
    api.sql(grow).await;
    let log = "/ui/logs/diamond/r1/b/1";
    let read = api.get(&format!("{log}/lines")).await;
    assert_eq!((&read["lines"], &read["total"], &read["next"]), (&json!(["one", "tw"]), &json!(2), &json!("4.2")));
    let request = axum::http::Request::get(format!("{log}/follow?from=4.2"))
        .header("host", "127.0.0.1:8080")
        .body(axum::body::Body::empty())
        .unwrap();
    let mut body = api.app.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    let mut told = async || -> (String, Value, String) {
        loop {
            let text = String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap();
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
            if !field("event:").is_empty() {
                return (field("event:"), serde_json::from_str(&field("data:")).unwrap(), field("id:"));
            }
        }
    };
    let (event, data, id) = told().await;
    assert_eq!(
        (event.as_str(), &data["first"], &data["lines"], id.as_str()),
        ("lines", &json!(2), &json!(["tw"]), "4.2"),
        "what is under way is told again"
    );
    api.sql("insert into log_chunk (run_id, idx, map_index, attempt, start, data, lines) select id, 1, -1, 1, 6, convert_to('o' || chr(10) || 'ERROR x' || chr(10), 'utf8'), 2 from run where run_id = 'r1'").await;
    let (_, data, id) = told().await;
    assert_eq!(
        (&data["first"], &data["lines"], &data["marks"], id.as_str()),
        (&json!(2), &json!(["two", "ERROR x"]), &json!(" e"), "16.4")
    );
    // It ends some seconds ago.
    api.sql(
        "insert into attempt (run_id, idx, map_index, attempt, state, evidence, host, queue, pool, slots, queued_at, started_at, ended_at)
         select run_id, idx, map_index, attempt, 'failed', '{}', host, queue, pool, slots, queued_at, started_at, now() - interval '5 seconds' from live_attempt where idx = 1;
         delete from live_attempt where idx = 1",
    )
    .await;
    let (event, data, _) = told().await;
    assert_eq!((event.as_str(), &data["total"]), ("end", &json!(3)));
    assert!(body.next().await.is_none(), "and nothing comes after it");
    assert_eq!(api.refused("GET", &format!("{log}/follow?from=x"), None).await.0, 400);
}
