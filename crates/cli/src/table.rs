//! Lists and facts as plain text, no wider than the terminal.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use serde_json::Value;
use taskplane_model::Timestamp;

use crate::output::printable;

/// Space between columns.
const GAP: u16 = 2;
/// Narrower columns cannot be read; a terminal that has no room for them breaks the lines itself.
const READABLE: u16 = 12;

/// A column of a list.
pub(crate) struct Column {
    heading: &'static str,
    cell: Box<dyn Fn(&Value) -> String>,
    is_number: bool,
    is_whole: bool,
    is_spare: bool,
}

impl Column {
    /// A column under `heading`, whose cells `cell` makes.
    pub(crate) fn new(heading: &'static str, cell: impl Fn(&Value) -> String + 'static) -> Self {
        Self { heading, cell: Box::new(cell), is_number: false, is_whole: false, is_spare: false }
    }

    /// A column that shows a field as it is.
    pub(crate) fn field(heading: &'static str, key: &'static str) -> Self {
        Self::new(heading, move |item| text(&item[key]))
    }

    /// Never broken into lines: for ids, which people copy.
    pub(crate) fn whole(self) -> Self {
        Self { is_whole: true, ..self }
    }

    /// To the right, and never broken.
    pub(crate) fn number(self) -> Self {
        Self { is_number: true, is_whole: true, ..self }
    }

    /// Left out where the terminal is too narrow for all.
    pub(crate) fn spare(self) -> Self {
        Self { is_spare: true, ..self }
    }
}

/// A table of `items`, no wider than `width`.
pub(crate) fn list(columns: &[Column], items: &[Value], width: Option<u16>) -> String {
    let mut table = Table::new();
    table.set_header(columns.iter().map(|column| aligned(column, column.heading.to_owned())));
    for item in items {
        // Every item is a single line, unless the terminal is too narrow.
        table.add_row(columns.iter().map(|column| aligned(column, printable(&(column.cell)(item)).replace('\n', " "))));
    }
    let widths = table.column_max_content_widths();
    let mut needed: u16 = widths.iter().map(|width| width.saturating_add(GAP)).sum::<u16>().saturating_sub(GAP);
    for (index, column) in columns.iter().enumerate().rev() {
        let is_too_wide = width.is_some_and(|width| needed > width);
        let constraint = match (is_too_wide && column.is_spare, column.is_whole) {
            (true, _) => {
                needed = needed.saturating_sub(widths[index].saturating_add(GAP));
                ColumnConstraint::Hidden
            }
            (false, true) => ColumnConstraint::ContentWidth,
            (false, false) => ColumnConstraint::LowerBoundary(Width::Fixed(widths[index].min(READABLE) + GAP)),
        };
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(constraint);
        }
    }
    drawn(table, width)
}

/// Facts, a line each; those that are not known are left out.
pub(crate) fn facts(facts: &[(&str, String)], width: Option<u16>) -> String {
    let mut table = Table::new();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty() && value != UNKNOWN) {
        table.add_row([(*name).to_owned(), printable(value)]);
    }
    if let Some(names) = table.column_mut(0) {
        names.set_constraint(ColumnConstraint::ContentWidth);
    }
    drawn(table, width)
}

fn aligned(column: &Column, text: String) -> Cell {
    let alignment = if column.is_number { CellAlignment::Right } else { CellAlignment::Left };
    Cell::new_owned(text).set_alignment(alignment)
}

fn drawn(mut table: Table, width: Option<u16>) -> String {
    table.load_style(comfy_table::presets::NOTHING);
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    if let Some(width) = width {
        // The last column's gap is cut off below.
        table.set_width(width.saturating_add(GAP)).set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.trim_fmt()
}

/// What stands in a table for what is not known.
const UNKNOWN: &str = "-";

/// A value as people read it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => UNKNOWN.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => UNKNOWN.to_owned(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().map(text).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Milliseconds as people read them.
pub(crate) fn duration(value: &Value) -> String {
    let Some(ms) = value.as_f64() else { return UNKNOWN.to_owned() };
    match ms {
        ms if ms < 1.0 => "<1ms".to_owned(),
        ms if ms < 1_000.0 => format!("{ms:.0}ms"),
        ms if ms < 60_000.0 => format!("{:.1}s", ms / 1_000.0),
        ms => {
            let seconds = (ms / 1_000.0).floor();
            let (minutes, hours) = ((seconds / 60.0).floor(), (seconds / 3_600.0).floor());
            if hours < 1.0 {
                format!("{minutes:.0}m{:02.0}s", seconds % 60.0)
            } else {
                format!("{hours:.0}h{:02.0}m", minutes % 60.0)
            }
        }
    }
}

/// How long ago a time was, in its largest unit.
pub(crate) fn age(value: &Value, now: Timestamp) -> String {
    let Some(then) = value.as_str().and_then(Timestamp::parse_rfc3339) else { return UNKNOWN.to_owned() };
    // Clocks differ: what seems to come is now.
    let seconds = (now.ms_since(then) / 1_000.0).max(0.0);
    let (unit, length) = match seconds {
        s if s < 60.0 => ("s", 1.0),
        s if s < 3_600.0 => ("m", 60.0),
        s if s < 86_400.0 => ("h", 3_600.0),
        _ => ("d", 86_400.0),
    };
    format!("{:.0}{unit}", (seconds / length).floor())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column::field("ID", "id").whole(),
            Column::field("NAME", "name"),
            Column::field("RUNS", "runs").number(),
            Column::field("WORKER", "worker").spare(),
        ]
    }

    fn items() -> Vec<Value> {
        vec![
            json!({"id": "0b5f0a6e-0f5c", "name": "billing.charge everybody", "runs": 7, "worker": "w1@host"}),
            json!({"id": "b", "name": "a\u{1b}[2Jb\nc", "runs": 12_345, "worker": null}),
        ]
    }

    #[test]
    fn a_list_is_plain_text_with_a_line_an_item() {
        let expected = "\
ID             NAME                       RUNS  WORKER
0b5f0a6e-0f5c  billing.charge everybody      7  w1@host
b              a\\u{1b}[2Jb c             12345  -";
        assert_eq!(list(&columns(), &items(), None), expected);
        assert_eq!(list(&columns(), &items(), Some(200)), expected);
    }

    #[test]
    fn a_narrow_terminal_leaves_out_what_is_spare_and_then_breaks_lines() {
        let expected = "\
ID             NAME             RUNS
0b5f0a6e-0f5c  billing.charge      7
               everybody
b              a\\u{1b}[2Jb c   12345";
        let text = list(&columns(), &items(), Some(36));
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| line.chars().count() <= 36), "{text}");
    }

    #[test]
    fn columns_stay_readable_in_the_narrowest_terminal() {
        let text = list(&columns(), &items(), Some(10));
        assert!(text.contains("b              a\\u{1b}[2Jb"), "{text}");
    }

    #[test]
    fn facts_that_are_not_known_are_left_out() {
        let known = [("Name", "shop.add".to_owned()), ("Queue", text(&Value::Null)), ("Arguments", text(&json!([1])))];
        assert_eq!(facts(&known, None), "Name       shop.add\nArguments  [1]");
    }

    #[test]
    fn durations_and_ages_are_short() {
        let durations = [0.2, 12.4, 3_400.0, 125_000.0, 3_720_000.0].map(|ms| duration(&json!(ms)));
        assert_eq!(durations, ["<1ms", "12ms", "3.4s", "2m05s", "1h02m"]);
        let now = Timestamp::parse_rfc3339("2026-11-22T18:20:00Z").expect("a time");
        let then = ["2026-11-22T18:19:48.9Z", "2026-11-22T18:00:01Z", "2026-11-15T18:20:00Z", "2026-11-22T18:21:00Z"];
        assert_eq!(then.map(|then| age(&json!(then), now)), ["11s", "19m", "7d", "0s"]);
        assert_eq!((duration(&Value::Null), age(&json!("x"), now)), ("-".to_owned(), "-".to_owned()));
    }
}
