//! One request on one connection: all that tests need of HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Status, head and body.
pub(crate) type Answer = (u16, String, String);

/// Asks, as whom an `Authorization` says. None while nobody answers.
pub(crate) fn exchange(port: u16, method: &str, path: &str, authorization: Option<&str>, body: Option<&Value>) -> Option<Answer> {
    let headers: Vec<(&str, &str)> = authorization.map(|proof| ("Authorization", proof)).into_iter().collect();
    exchange_with(port, method, path, &headers, body)
}

/// The same, with these headers.
pub(crate) fn exchange_with(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let body = body.map(ToString::to_string).unwrap_or_default();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        port,
        body.len()
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Some((status, head.to_owned(), if chunked { unchunk(body) } else { body.to_owned() }))
}

/// The same, as nobody: status and body.
pub(crate) fn request(port: u16, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, String)> {
    exchange(port, method, path, None, body).map(|(status, _, body)| (status, body))
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        if size == 0 || rest.len() < size {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// A text as one segment of a path.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-_.".contains(&b) { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}
