//! A process is killed while it appends: nothing that was appended is lost, and nothing is there twice.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use taskplane_agent::buffer::{Buffer, BufferOptions};
use taskplane_model::Timestamp;

/// Says to a child, which is this same program, where to append.
const DATA_DIR: &str = "TASKPLANE_TEST_DATA_DIR";
const FIRST: &str = "TASKPLANE_TEST_FIRST";

/// Not a test: what the child does. Says every number on its error output after appending it.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn appends_until_it_is_killed() {
    let Ok(dir) = std::env::var(DATA_DIR) else { return };
    let first: u64 = std::env::var(FIRST).expect("set").parse().expect("a number");
    let mut buffer =
        Buffer::open(Path::new(&dir), BufferOptions { seal_events: 7, ..BufferOptions::default() }).expect("opens");
    for number in first.. {
        buffer.append(Timestamp(0), format!("{number}").as_bytes());
        let mut out = std::io::stderr().lock();
        writeln!(out, "appended {number}").expect("writes");
    }
}

#[test]
fn what_was_appended_survives_kill_9() {
    let dir = tempfile::tempdir().expect("dir");
    let mut next = 0;
    let mut stream = None;
    for round in 1..=3 {
        let last_said = run_and_kill(dir.path(), next, 200 * round);
        let mut buffer = Buffer::open(dir.path(), BufferOptions::default()).expect("opens");
        assert_eq!(*stream.get_or_insert(buffer.stream_id()), buffer.stream_id(), "the stream is continued");
        assert_eq!((buffer.damaged(), buffer.report().dropped), (0, 0));
        let there = numbers(&mut buffer);
        next = there.len() as u64;
        assert_eq!(there, (0..next).collect::<Vec<_>>(), "each is there once and in order");
        assert!(next > last_said, "{last_said} was appended, and {next} are there");
    }
}

/// Runs a child that appends from `first` on, kills it after `lines` lines, and returns the last number that it said.
#[cfg(test)]
fn run_and_kill(dir: &Path, first: u64, lines: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "appends_until_it_is_killed", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DATA_DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap()).lines();
    let numbers = said.map_while(Result::ok).filter_map(|line| line.strip_prefix("appended ")?.parse().ok());
    let last = numbers.take(lines).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    last
}

#[cfg(test)]
fn numbers(buffer: &mut Buffer) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut seq = 0;
    while let Some(batch) = buffer.next_after(seq) {
        assert_eq!(batch.seq, seq + 1);
        seq = batch.seq;
        numbers.extend(batch.events().map(|event| std::str::from_utf8(event).unwrap().parse::<u64>().unwrap()));
    }
    numbers
}
