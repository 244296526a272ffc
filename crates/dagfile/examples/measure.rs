//! How fast DAG files are read: `cargo run --release -p updraft-dagfile --example measure`.

#![allow(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool, not part of the product")]

use std::fmt::Write as _;
use std::time::Instant;

use updraft_dagfile::IgnoreSyntax;
use updraft_dagfile::loader::Loader;
use updraft_dagfile::python::{Options, Processor, Snapshot};

fn yaml(name: &str, tasks: usize) -> String {
    let mut text =
        format!("dag_id: {name}\nschedule: '@daily'\nstart_date: 2026-01-01\ndefault_args: {{retries: 1, image: debian}}\ntasks:\n");
    for i in 0..tasks {
        let needs = if i == 0 { String::new() } else { format!(", needs: [t{}]", i - 1) };
        let _ = writeln!(text, "  t{i}: {{cmds: [bash, -c], arguments: ['echo {{{{ ds }}}} {i}']{needs}}}");
    }
    text
}

fn python(name: &str, tasks: usize) -> String {
    format!(
        "from datetime import datetime\nfrom airflow import DAG\nfrom airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator\n\nwith DAG({name:?}, schedule='@daily', start_date=datetime(2026, 1, 1)):\n    last = None\n    for i in range({tasks}):\n        t = KubernetesPodOperator(task_id=f't{{i}}', image='debian', cmds=['bash', '-c'], arguments=[f'echo {{{{{{{{ ds }}}}}}}} {{i}}'])\n        if last: last >> t\n        last = t\n"
    )
}

fn main() {
    let words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "sandbox") {
        eprintln!("{}", updraft_dagfile::sandbox::enter_and_exec(words.into_iter().skip(2)));
        std::process::exit(127);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let rate = |what: &str, files: usize, since: Instant| {
        let took = since.elapsed();
        println!("{what:<44} {files:>6} files {took:>10.1?} {:>9.0} files/s", files as f64 / took.as_secs_f64());
    };

    let files: Vec<String> = (0..1_000).map(|i| yaml(&format!("y{i}"), 10)).collect();
    let before = Instant::now();
    for text in &files {
        let parsed = updraft_dagfile::yaml::parse("y.yaml", text.as_bytes());
        assert!(parsed.errors.is_empty(), "{}", parsed.errors[0]);
    }
    rate("yaml, 10 tasks each, in memory", files.len(), before);
    let wide = yaml("wide", 100_000);
    let before = Instant::now();
    let parsed = updraft_dagfile::yaml::parse("wide.yaml", wide.as_bytes());
    assert_eq!(parsed.dags[0].tasks.len(), 100_000);
    rate(&format!("yaml, 100,000 tasks, {} MB", wide.len() / 1_000_000), 1, before);

    let folder = tempfile::tempdir().unwrap();
    files.iter().enumerate().for_each(|(i, text)| std::fs::write(folder.path().join(format!("y{i}.yaml")), text).unwrap());
    let helper = vec![std::env::current_exe().unwrap().into(), "sandbox".into()];
    let processor = runtime.block_on(async { Processor::new(Options { helper, ..Options::default() }).unwrap() });
    let mut loader = Loader::new(Some(processor.clone()), IgnoreSyntax::Glob);
    let mut refresh = |what: &str, files: usize| {
        let before = Instant::now();
        let changes = runtime.block_on(loader.refresh(folder.path(), &Snapshot::default())).unwrap();
        assert!(
            changes.files.iter().all(|file| file.errors.is_empty()),
            "{}",
            changes.files.iter().find_map(|f| f.errors.first()).unwrap()
        );
        rate(what, files, before);
    };
    refresh("yaml, a folder, first time", 1_000);
    refresh("yaml, a folder, unchanged", 1_000);
    std::fs::write(folder.path().join("cold.py"), python("cold", 50)).unwrap();
    refresh("python, cold, 50 tasks (and the folder)", 1);
    (0..200).for_each(|i| std::fs::write(folder.path().join(format!("p{i}.py")), python(&format!("p{i}"), 10)).unwrap());
    refresh("python, warm, 10 tasks (and the folder)", 200);
    refresh("all, unchanged", 1_201);
    println!("{:?}", processor.status());
}
