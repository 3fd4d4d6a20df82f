//! The tables that results are in.

use taskplane_application_database::{Dialect, Row, Statement, Value};

/// A result larger than this is not read.
const MAX_RESULT: usize = 256 << 10;
/// Longer tracebacks are cut, in characters.
const MAX_TRACEBACK: usize = 64 << 10;

/// Whose table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// That of Celery's own backend, which SQLAlchemy makes.
    Celery,
    /// That of django-celery-results.
    Django,
}

/// A table, with a column `id` that grows and a unique `task_id`.
pub(super) struct Table {
    pub(super) layout: Layout,
    /// With its schema, if that is not the usual one.
    pub(super) name: String,
}

impl Table {
    pub(super) fn of(layout: Layout) -> Self {
        let name = match layout {
            Layout::Celery => "celery_taskmeta",
            Layout::Django => "django_celery_results_taskresult",
        };
        Self { layout, name: name.to_owned() }
    }

    /// The same under another name; `None` when that is none.
    pub(super) fn named(self, name: &str) -> Option<Self> {
        let is_name = |part: &str| {
            (1..=64).contains(&part.len()) && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-'))
        };
        let parts: Vec<&str> = name.split('.').collect();
        (parts.len() <= 2 && parts.iter().all(|part| is_name(part))).then(|| Self { name: name.to_owned(), ..self })
    }

    fn quoted(&self, dialect: Dialect) -> String {
        self.name.split('.').map(|part| dialect.name(part)).collect::<Vec<_>>().join(".")
    }

    /// How the tasks stand that came into the table after this row, in their order.
    pub(super) fn after(&self, dialect: Dialect, id: i64, count: usize) -> Statement {
        self.states(dialect, "id > ", id, &format!(" ORDER BY id LIMIT {count}"))
    }

    /// How the tasks stand that came into the table before this row, the last ones first.
    pub(super) fn before(&self, dialect: Dialect, id: i64, count: usize) -> Statement {
        self.states(dialect, "id < ", id, &format!(" ORDER BY id DESC LIMIT {count}"))
    }

    fn states(&self, dialect: Dialect, than: &str, id: i64, order: &str) -> Statement {
        self.select_states(dialect).sql(than).bind(&Value::Integer(Some(id))).sql(order)
    }

    /// How these tasks stand.
    pub(super) fn states_of(&self, dialect: Dialect, task_ids: &[String]) -> Statement {
        self.select_states(dialect).any_of("task_id", task_ids.iter().map(Value::text))
    }

    fn select_states(&self, d: Dialect) -> Statement {
        let columns = [d.column("id"), d.column("task_id"), d.column("status"), d.instant("date_done")];
        Statement::new(d, &format!("SELECT {} FROM {} WHERE ", columns.join(", "), self.quoted(d)))
    }

    /// Results, as [`super::row`] reads them; a condition follows.
    pub(super) fn results(&self, d: Dialect, is_extended: bool) -> Statement {
        let text = |column: &str| d.column(column);
        let bounded = |column: &str, read: String| {
            format!(
                "CASE WHEN octet_length({column}) <= {MAX_RESULT} THEN {read} END, {}",
                d.column(&format!("octet_length({column})"))
            )
        };
        let cut = text(&format!("substr(traceback, 1, {MAX_TRACEBACK})"));
        let mut columns = vec![text("task_id"), text("status"), d.instant("date_done"), cut];
        match self.layout {
            Layout::Celery => {
                let bytes = |column: &str| bounded(column, d.bytes(column));
                columns.push(bytes("result"));
                if is_extended {
                    columns.extend(["name", "worker", "queue", "retries"].map(text));
                    columns.extend(["args", "kwargs"].map(bytes));
                }
            }
            Layout::Django => {
                columns.extend(["content_type", "task_name", "worker"].map(text));
                columns.extend(["result", "task_args", "task_kwargs"].map(|column| bounded(column, text(column))));
            }
        }
        Statement::new(d, &format!("SELECT {} FROM {} WHERE ", columns.join(", "), self.quoted(d)))
    }
}

/// How a task stands in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) id: i64,
    pub(super) task_id: String,
    pub(super) status: String,
    pub(super) done: Option<String>,
}

impl State {
    /// Reads a row of states.
    pub(super) fn of(mut row: Row) -> Option<Self> {
        Some(Self { id: row.number()?, task_id: row.text()?, status: row.text()?, done: row.text() })
    }

    /// True when the task has ended.
    pub(super) fn is_end(&self) -> bool {
        matches!(self.status.as_str(), "SUCCESS" | "FAILURE" | "REVOKED")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names() {
        let named = |name: &str| Table::of(Layout::Celery).named(name).map(|table| table.quoted(Dialect::Mysql));
        assert_eq!(named("celery.results"), Some("`celery`.`results`".to_owned()));
        for name in ["", ".", "a.b.c", "a;b", "a b", "a\"b", "a`b"] {
            assert_eq!(named(name), None, "{name}");
        }
    }
}
