//! The dag-processor's side: answers one scheduler until it goes.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::mpsc;

use crate::loader::Loader;
use crate::parser::wire::{self, Done, LINE_BYTES, Reply, Request};
use crate::python::Processor;

/// Most folders of one scheduler.
const FOLDERS: usize = 100;

type Output = Arc<Mutex<dyn Write + Send>>;

/// Answers requests of `input` on `output` until `input` ends, in the middle of a file if need be. `python` reads Python files, or is why
/// none can be read.
pub async fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    python: Result<Processor, String>,
) -> io::Result<()> {
    let output: Output = Arc::new(Mutex::new(output));
    let (sender, mut requests) = mpsc::channel::<Vec<u8>>(1);
    // A thread of its own: an end of the input must be seen while a file is being read.
    std::thread::Builder::new().name("requests".to_owned()).spawn(move || {
        let mut input = BufReader::new(input);
        loop {
            let mut line = Vec::new();
            match (&mut input).take(LINE_BYTES).read_until(b'\n', &mut line) {
                Ok(_) if line.last() == Some(&b'\n') => {}
                _ => return,
            }
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    })?;
    let mut loaders: BTreeMap<String, Loader> = BTreeMap::new();
    while let Some(line) = requests.recv().await {
        let request: Request = serde_json::from_slice(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        tokio::select! {
            answered = answer(&mut loaders, &request, &output, &python) => answered?,
            // Nobody asks before the answer: the scheduler is gone, or is none.
            _ = requests.recv() => return Ok(()),
        }
    }
    Ok(())
}

async fn answer(
    loaders: &mut BTreeMap<String, Loader>,
    request: &Request,
    output: &Output,
    python: &Result<Processor, String>,
) -> io::Result<()> {
    if loaders.len() >= FOLDERS && !loaders.contains_key(&request.name) {
        let message = format!("more than {FOLDERS} folders for one dag-processor");
        return say(output, &Reply::Failed { id: request.id, message });
    }
    let loader = loaders.entry(request.name.clone()).or_insert_with(|| {
        let output = output.clone();
        Loader::new(python.as_ref().ok().cloned(), request.syntax).announcing(move |path, hash| {
            let path = path.to_owned();
            let reply = match hash {
                Some(hash) => Reply::Reading { path, hash: hash.to_owned() },
                None => Reply::Read { path },
            };
            // Whoever does not hear it has gone, which the next line tells.
            let _ = say(&output, &reply);
        })
    });
    if request.distrust {
        loader.distrust();
    }
    loader.one_by_one(request.one_by_one);
    loader.set_aside(request.set_aside.clone());
    let changes = match loader.refresh(&request.root, &request.snapshot).await {
        Ok(changes) => changes,
        Err(error) => return say(output, &Reply::Failed { id: request.id, message: wire::with_causes(&error) }),
    };
    for file in changes.files {
        say(output, &Reply::File { file: Box::new(file) })?;
    }
    let status = match python {
        Ok(processor) => {
            processor.rest().await;
            serde_json::to_value(processor.status()).unwrap_or_default()
        }
        Err(error) => Value::String(error.clone()),
    };
    let done = Done {
        id: request.id,
        removed: changes.removed,
        unchanged: changes.unchanged,
        problems: changes.problems,
        notes: changes.notes,
        emptied: changes.emptied,
        python: status,
    };
    say(output, &Reply::Done(Box::new(done)))
}

fn say(output: &Output, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.write_all(&line)?;
    output.flush()
}
