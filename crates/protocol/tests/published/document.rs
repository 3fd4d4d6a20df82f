//! docs/protocol.md: its frames are frames, and it leaves no field out.

use std::collections::BTreeSet;

use serde_json::Value;
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::frame::{AgentFrame, BrainFrame, commands};

use crate::schemas::{Schemas, docs};

fn document() -> String {
    std::fs::read_to_string(docs().join("protocol.md")).expect("docs/protocol.md")
}

/// The fenced blocks whose info string begins with `info`: the rest of that string, and the text.
fn blocks(document: &str, info: &str) -> Vec<(String, String)> {
    let fences = document.split("```").skip(1).step_by(2);
    let blocks = fences.filter_map(|block| {
        let (head, body) = block.split_once('\n')?;
        Some((head.strip_prefix(info)?.trim().to_owned(), body.to_owned()))
    });
    blocks.collect()
}

/// The section under a heading, with its subsections.
fn section<'d>(document: &'d str, heading: &str) -> &'d str {
    let begin = document.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no section {heading}")) + 1;
    let rest = &document[begin + heading.len()..];
    let level = heading.chars().take_while(|c| *c == '#').count();
    let end = (1..=level).filter_map(|level| rest.find(&format!("\n{} ", "#".repeat(level)))).min();
    &rest[..end.unwrap_or(rest.len())]
}

/// What stands in backticks in the first column of a section's tables.
fn rows(section: &str) -> BTreeSet<&str> {
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(|line| line.split(" |").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

fn parses(frame: &str, text: &str) {
    if matches!(frame, "ack" | "command") {
        assert!(!matches!(BrainFrame::parse(text), Err(_) | Ok(BrainFrame::Unknown(_))), "{text}");
    } else {
        assert!(!matches!(AgentFrame::parse(text), Err(_) | Ok(AgentFrame::Unknown(_))), "{text}");
    }
}

#[test]
fn every_example_is_a_frame_of_its_kind_and_every_frame_has_one() {
    let (document, schemas) = (document(), Schemas::load());
    let examples = blocks(&document, "json frame=");
    for (frame, text) in &examples {
        schemas.check(text).unwrap_or_else(|error| panic!("{error} in {text}"));
        parses(frame, text);
        let value: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(value["type"], **frame);
        assert!(section(&document, &format!("### {frame}")).contains(text.as_str()), "{frame} is elsewhere");
    }
    assert_eq!(blocks(&document, "json").len(), examples.len(), "an example does not say which frame it is");
    for frame in schemas.frames() {
        assert!(examples.iter().any(|(of, _)| of == frame), "{frame} has no example");
    }
}

#[test]
fn every_frame_of_the_transcript_is_one() {
    let (document, schemas) = (document(), Schemas::load());
    let transcripts = blocks(&document, "text transcript");
    let (_, transcript) = transcripts.first().expect("a transcript");
    let mut seen = BTreeSet::new();
    for line in transcript.lines().filter(|line| !line.starts_with(' ')) {
        let (speaker, text) = line.split_once("  ").expect("a speaker");
        schemas.check(text).unwrap_or_else(|error| panic!("{error} in {text}"));
        let value: Value = serde_json::from_str(text).expect("JSON");
        let kind = value["type"].as_str().expect("a type").to_owned();
        parses(&kind, text);
        assert_eq!(speaker == "brain", matches!(kind.as_str(), "ack" | "command"), "{line}");
        seen.insert(kind);
    }
    assert!(seen.len() >= 6, "{seen:?}");
}

#[test]
fn every_field_of_a_frame_and_of_an_event_is_explained() {
    let document = document();
    for frame in Schemas::load().frames() {
        let path = docs().join(format!("protocol/schema/{frame}.json"));
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("a schema")).expect("JSON");
        let explained = rows(section(&document, &format!("### {frame}")));
        for field in schema["properties"].as_object().expect("properties").keys() {
            assert!(explained.contains(field.as_str()), "{field} of {frame} is not in its table");
        }
        if frame == "event_batch" {
            let explained = rows(section(&document, "## Events"));
            for field in schema["$defs"]["Event"]["properties"].as_object().expect("properties").keys() {
                assert!(explained.contains(field.as_str()), "{field} of an event is not in the table");
            }
            let types = &schema["$defs"]["Event"]["properties"]["event_type"]["examples"];
            for event_type in types.as_array().expect("types").iter().filter_map(Value::as_str) {
                assert!(section(&document, "## Events").contains(&format!("`{event_type}`")), "{event_type}");
            }
        }
        if frame == "command" {
            let explained = rows(section(&document, "## Commands"));
            for command in schema["properties"]["cmd"]["examples"].as_array().expect("commands") {
                assert!(explained.contains(command.as_str().expect("a name")), "{command} is not explained");
            }
            assert!(explained.contains(commands::RETRY_TASK));
        }
        if frame == "command_result" {
            let explained = rows(section(&document, "### Error codes"));
            for code in schema["properties"]["error"]["examples"].as_array().expect("codes") {
                assert!(explained.contains(code.as_str().expect("a code")), "{code} is not explained");
            }
        }
    }
}

#[test]
fn every_close_code_is_explained() {
    let document = document();
    let table = section(&document, "### Close codes");
    for number in (1000..5000).filter(|number| CloseCode::from_number(*number).is_some()) {
        let is_there = table.lines().any(|line| {
            let codes = line.strip_prefix("| ").and_then(|line| line.split(" |").next()).unwrap_or_default();
            codes.split(", ").any(|code| code == number.to_string())
        });
        assert!(is_there, "{number}");
    }
}

#[test]
fn links_lead_somewhere() {
    let document = document();
    let anchors: BTreeSet<String> = document
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            title.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
        })
        .collect();
    let links: Vec<&str> = document.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 20);
    for link in links {
        match link.strip_prefix('#') {
            Some(anchor) => assert!(anchors.contains(anchor), "{link}"),
            None => assert!(docs().join(link).exists(), "{link}"),
        }
    }
}
