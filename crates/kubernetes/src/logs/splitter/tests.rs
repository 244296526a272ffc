//! Logs as kubelets send them, cut at every byte.

use super::*;

const A: &str = "2026-01-02T03:04:05.000000001Z";
const B: &str = "2026-01-02T03:04:05.000000002Z";
const C: &str = "2026-01-02T03:04:06.000000000Z";
const D: &str = "2026-01-02T05:04:07.000000000+02:00";

/// What a kubelet sends for a `sinceTime` in whole seconds.
fn since(lines: &[(&str, &str)], cursor: &Cursor) -> Vec<u8> {
    let from = cursor.time.map_or(i64::MIN, |time| time.timestamp());
    let lines = lines.iter().filter(|(time, _)| DateTime::parse_from_rfc3339(time).expect("a time").timestamp() >= from);
    lines.flat_map(|(time, text)| format!("{time} {text}").into_bytes()).collect()
}

fn read(bytes: &[u8], cursor: &Cursor, max: usize) -> (Vec<u8>, Cursor) {
    let mut splitter = Splitter::new(cursor.clone(), max);
    // Byte by byte: no boundary of the transport may matter.
    for byte in bytes {
        if !splitter.feed(std::slice::from_ref(byte)) {
            break;
        }
    }
    let (data, next) = splitter.finish();
    // The position survives its text form.
    assert_eq!(next.text().as_deref().and_then(Cursor::parse).unwrap_or_default(), next);
    let mut whole = Splitter::new(cursor.clone(), max);
    whole.feed(bytes);
    assert_eq!(whole.finish(), (data.clone(), next.clone()));
    (data, next)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn times_go_and_the_rest_stays() {
    let (data, next) = read(&since(&[(A, "one\n"), (B, "\n"), (C, " two \n"), (D, "end")], &Cursor::default()), &Cursor::default(), 1000);
    assert_eq!(text(&data), "one\n\n two \nend");
    assert_eq!((next.lines, next.within), (0, 3));
}

#[test]
fn every_place_can_be_gone_on_from() {
    let lines = [(A, "one\n"), (A, "one\n"), (B, "two\n"), (C, "three\n"), (C, "\n"), (D, "four and more\n"), (D, "five\n")];
    let whole: String = lines.iter().map(|(_, text)| *text).collect();
    for bite in 1..=whole.len() {
        let mut log = Vec::new();
        let mut at = Cursor::default();
        for _ in 0..=whole.len() {
            let (data, next) = read(&since(&lines, &at), &at, bite);
            assert!(data.len() <= bite);
            log.extend(data);
            at = next;
        }
        assert_eq!(text(&log), whole, "in bites of {bite}");
    }
}

#[test]
fn what_comes_right_before_a_place_is_what_its_second_had_so_far() {
    let lines = [(A, "one\n"), (A, "one\n"), (B, "two\n"), (C, "three\n"), (C, "\n"), (D, "four and more\n"), (D, "five\n")];
    let whole: String = lines.iter().map(|(_, text)| *text).collect();
    let (mut log, mut at) = (Vec::new(), Cursor::default());
    while log.len() < whole.len() {
        let (data, next) = read(&since(&lines, &at), &at, 1);
        log.extend(data);
        at = next;
        let sent = &since(&lines, &at)[..usize::try_from(at.raw).expect("a length")];
        let (before, _) = read(sent, &Cursor::default(), usize::MAX);
        assert!(log.ends_with(&before), "{:?} at {:?}", text(&before), text(&log));
        let line = log.strip_suffix(b"\n").unwrap_or(&log);
        let of_line = log.len() - line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        assert!(before.len() >= of_line, "the line itself is in it: {:?} at {:?}", text(&before), text(&log));
    }
}

#[test]
fn a_line_that_grows_is_gone_on_with() {
    let (data, at) = read(&since(&[(A, "par")], &Cursor::default()), &Cursor::default(), 1000);
    assert_eq!(text(&data), "par");
    let (data, at) = read(&since(&[(A, "partial\n"), (B, "x\n")], &at), &at, 1000);
    assert_eq!(text(&data), "tial\nx\n");
    let (data, _) = read(&since(&[(A, "partial\n"), (B, "x\n")], &at), &at, 1000);
    assert_eq!(text(&data), "");
}

#[test]
fn what_was_rotated_away_is_marked_once() {
    let (_, at) = read(&since(&[(A, "one\n")], &Cursor::default()), &Cursor::default(), 1000);
    let rotated = [(B, "nine\n"), (C, "ten\n")];
    let (data, at) = read(&since(&rotated, &at), &at, 1000);
    assert_eq!(text(&data), format!("{}nine\nten\n", text(GAP)));
    let (data, _) = read(&since(&rotated, &at), &at, 1000);
    assert_eq!(text(&data), "");
    // Nothing new in a fresh file: nothing is said, nothing is waited for.
    let (data, same) = read(b"", &at, 1000);
    assert_eq!((data.len(), &same), (0, &at));
}

#[test]
fn times_between_the_pieces_of_a_long_line_go_too() {
    let piece = "x".repeat(16 * 1024);
    // As kubelets before 1.26 send it.
    let old = format!("{A} {piece}{B} {piece}{C} end\n{D} next\n");
    let new = format!("{A} {piece}{piece}end\n{D} next\n");
    let expected = format!("{piece}{piece}end\nnext\n");
    for sent in [&old, &new] {
        for bite in [100, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 100_000] {
            let mut log = Vec::new();
            let mut at = Cursor::default();
            for _ in 0..400 {
                // No kubelet forgets the beginning of a line whose time is that of the position.
                let (data, next) = read(sent.as_bytes(), &at, bite);
                log.extend(data);
                if next == at {
                    break;
                }
                at = next;
            }
            assert_eq!(log.len(), expected.len(), "in bites of {bite}");
            assert_eq!(text(&log), expected);
        }
    }
    // A line of exactly a piece, and a text that only begins like a time.
    let (data, _) = read(format!("{A} {piece}\n{B} {piece}2026-01-02T03:04 is when\n").as_bytes(), &Cursor::default(), 100_000);
    assert_eq!(text(&data), format!("{piece}\n{piece}2026-01-02T03:04 is when\n"));
}

#[test]
fn what_has_no_time_is_text() {
    let (data, _) = read(format!("{A} one\nunable to retrieve container logs\n").as_bytes(), &Cursor::default(), 1000);
    assert_eq!(text(&data), "one\nunable to retrieve container logs\n");
}

#[test]
fn the_bytes_before_the_position_are_counted() {
    let lines = [(A, "one\n"), (B, "two\n"), (C, "three\n"), (C, "four\n")];
    let (_, at) = read(&since(&lines[..3], &Cursor::default()), &Cursor::default(), 1000);
    // Of the second of C one line was taken.
    assert_eq!(at.raw, format!("{C} three\n").len() as u64);
    assert_eq!(at.second().map(|second| second.as_second()), at.time.map(|time| time.timestamp()));
    let (data, next) = read(&since(&lines, &at), &at, 1000);
    assert_eq!(text(&data), "four\n");
    assert_eq!(next.raw, since(&lines, &at).len() as u64);
}
