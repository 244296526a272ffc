//! The event stream: what happens is told, what was missed is told afterwards, and nobody hangs on it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Standalone, encode};

const TWO: &str =
    "dag_id: two\nschedule: null\ntasks:\n  first: {bash_command: 'echo 1'}\n  second: {bash_command: 'echo 2', depends_on: [first]}\n";

/// A message.
#[derive(Debug, Default)]
struct Message {
    event: String,
    id: String,
    data: Value,
}

/// An open stream. Its chunks fall together with its messages, so their sizes are lines that no field begins.
struct Stream(BufReader<TcpStream>, Instant);

impl Stream {
    fn open(server: &Standalone, query: &str, last: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        write!(stream, "GET /ui/events{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{last}\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.to_ascii_lowercase().contains("content-type: text/event-stream"), "{head}");
        Self(reader, Instant::now())
    }

    /// The next message; none at the end.
    fn next(&mut self) -> Option<Message> {
        let mut message = Message::default();
        loop {
            let mut line = String::new();
            // The comments that keep it open would keep this waiting, too.
            assert!(self.1.elapsed() < Duration::from_secs(120), "what was waited for was not told");
            if self.0.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut message.event),
                Some(("id", id)) => id.clone_into(&mut message.id),
                Some(("data", data)) => message.data = serde_json::from_str(data).unwrap(),
                _ if line == "\n" && !message.event.is_empty() => return Some(message),
                _ => {}
            }
        }
    }

    /// What the next message tells of instances.
    fn next_moves(&mut self) -> Vec<(String, String)> {
        moves(&self.next().expect("the stream goes on"))
    }

    /// Reads until a run is told to be in this state; returns what was told of its instances on the way, and the last id.
    fn until_run(&mut self, state: &str) -> (Vec<(String, String)>, String) {
        let mut told = Vec::new();
        loop {
            let message = self.next().expect("the stream goes on");
            told.extend(moves(&message));
            if runs(&message).any(|run| run["state"] == state) {
                return (told, message.id);
            }
        }
    }
}

fn runs(message: &Message) -> impl Iterator<Item = &Value> {
    message.data["dag_runs"].as_array().into_iter().flatten()
}

fn moves(message: &Message) -> Vec<(String, String)> {
    let rows = runs(message).flat_map(|run| run["task_instances"].as_array().into_iter().flatten());
    rows.map(|row| (row["task_id"].as_str().unwrap().to_owned(), row["state"].as_str().unwrap_or_default().to_owned())).collect()
}

fn has(moves: &[(String, String)], task: &str, state: &str) -> bool {
    moves.iter().any(|(t, s)| t == task && s == state)
}

#[test]
fn a_run_is_told_to_its_end_and_what_was_missed_afterwards() {
    let mut server = Standalone::start(&[("two.yaml", TWO)], &[]);
    server.until_dag("two");
    let mut all = Stream::open(&server, "", None);
    let open = all.next().unwrap();
    assert_eq!(open.event, "open");
    let run = server.trigger("two");
    let (moves, _) = all.until_run("success");
    assert!(moves.is_empty(), "who watches all runs is told of runs only: {moves:?}");

    // Whoever was away is told what happened since, on another process too.
    server.kill_9();
    server.launch();
    let of_run = format!("?dag_id=two&run_id={}", encode(&run));
    let mut late = Stream::open(&server, &of_run, Some(&open.id));
    let (moves, id) = late.until_run("success");
    for task in ["first", "second"] {
        assert!(has(&moves, task, "queued") && has(&moves, task, "success"), "{task}: {moves:?}");
        let of_task: Vec<&str> = moves.iter().filter(|(t, _)| t == task).map(|(_, s)| s.as_str()).collect();
        assert_eq!(of_task.last(), Some(&"success"), "in order: {of_task:?}");
    }
    assert!(id.parse::<i64>().unwrap() > open.id.parse::<i64>().unwrap());

    // A foreign run is not told of; a later change of this one is.
    server.trigger("two");
    let (status, answer) = server.post(&format!("/api/v2/dags/two/dagRuns/{}/clear", encode(&run)), &serde_json::json!({"dry_run": false}));
    assert_eq!(status, 200, "{answer}");
    // Its state may be the old one again before anybody looks; what its tasks did is told all the same.
    let mut moves = Vec::new();
    while !has(&moves, "second", "success") {
        moves.extend(late.next_moves());
    }
    assert!(has(&moves, "first", "queued") && has(&moves, "first", "success"), "{moves:?}");
}

#[test]
fn commands_are_told_to_run_and_dags_to_be_paused() {
    let server = Standalone::start(&[("two.yaml", TWO)], &[]);
    let gate = server.path("go");
    let wait = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());
    std::fs::write(server.path("dags").join("slow.yaml"), TWO.replace("dag_id: two", "dag_id: slow").replace("echo 1", &wait)).unwrap();
    server.until_dag("slow");
    let open = Stream::open(&server, "", None).next().unwrap();
    let run = server.trigger("slow");
    let of_run = format!("?dag_id=slow&run_id={}", encode(&run));
    assert_eq!(Stream::open(&server, &of_run, Some("0")).next().unwrap().event, "reset", "too long ago");
    // It began before the stream or after: it is told of in both cases.
    let mut stream = Stream::open(&server, &of_run, Some(&open.id));
    while !stream.next_moves().iter().any(|(task, state)| task == "first" && state == "running") {}
    std::fs::write(&gate, "").unwrap();
    let (moves, _) = stream.until_run("success");
    assert!(has(&moves, "first", "success"), "{moves:?}");

    let (status, _) = server.patch("/api/v2/dags/slow", &serde_json::json!({"is_paused": true}));
    assert_eq!(status, 200);
    loop {
        let message = stream.next().unwrap();
        if message.data["dags"].as_array().is_some_and(|dags| dags.iter().any(|dag| dag["dag_id"] == "slow" && dag["is_paused"] == true)) {
            break;
        }
    }
}

#[test]
fn nobody_waits_for_a_stream_to_end() {
    let mut server = Standalone::start(&[("two.yaml", TWO)], &[]);
    let mut stream = Stream::open(&server, "", None);
    assert_eq!(stream.next().unwrap().event, "open");
    let took = server.interrupt();
    assert!(took < Duration::from_secs(10), "the stop took {took:?}");
    assert!(stream.next().is_none(), "the stream ended");
}
