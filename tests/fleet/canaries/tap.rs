//! Stands between the roles and RabbitMQ, and keeps what goes by: every frame of the protocol in both directions, save the login itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// `AMQP` and its version, before the first frame.
const GREETING: usize = 8;
/// Type, channel, size; and a byte at the end.
const AROUND: usize = 7;
const METHOD: u8 = 1;
const BODY: u8 = 3;
/// connection.start-ok, in which a client proves who it is.
const LOGIN: [u8; 4] = [0, 10, 0, 11];

/// What went by.
#[derive(Default)]
pub(crate) struct Seen {
    /// Payloads of all frames, one after the other.
    pub(crate) frames: Vec<u8>,
    /// Bodies of messages.
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) logins: usize,
}

pub(crate) struct Tap {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl Tap {
    /// In front of this address.
    pub(crate) fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let Ok(upstream) = TcpStream::connect(&server) else { continue };
                for (from, to, skip) in [(&client, &upstream, GREETING), (&upstream, &client, 0)] {
                    let (from, to, seen) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&shared));
                    std::thread::spawn(move || copy(from, to, skip, &seen));
                }
            }
        });
        Self { port, seen }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, skip: usize, seen: &Mutex<Seen>) {
    let (mut buffer, mut pending, mut skip) = (vec![0; 64 * 1024], Vec::new(), skip);
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        pending.extend_from_slice(&buffer[..count]);
        let greeting = skip.min(pending.len());
        pending.drain(..greeting);
        skip -= greeting;
        while let Some(size) = pending.get(3..AROUND).map(|size| usize::try_from(u32::from_be_bytes(size.try_into().unwrap())).unwrap())
            && pending.len() > AROUND + size
        {
            let frame: Vec<u8> = pending.drain(..=AROUND + size).collect();
            keep(frame[0], &frame[AROUND..AROUND + size], &mut seen.lock().unwrap());
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn keep(kind: u8, payload: &[u8], seen: &mut Seen) {
    if kind == METHOD && payload.starts_with(&LOGIN) {
        seen.logins += 1;
        return;
    }
    if kind == BODY {
        seen.bodies.push(payload.to_vec());
    }
    seen.frames.extend_from_slice(payload);
    seen.frames.push(b'\n');
}
