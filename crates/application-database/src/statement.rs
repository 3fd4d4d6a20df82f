//! SQL that three databases understand: every value goes in and comes out as text, so that one way of reading and
//! writing rows does for all of them.

use taskplane_model::Timestamp;

/// Whose SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// SQLite.
    Sqlite,
}

/// A value of a column. `None` is `NULL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Option<String>),
    /// A whole number.
    Integer(Option<i64>),
    /// True or false.
    Flag(bool),
    /// A decimal number, as it is written.
    Decimal(String),
    /// An instant.
    Instant(Option<Timestamp>),
}

impl Value {
    /// A text that is there.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Some(text.into()))
    }
}

/// One statement, with its values beside it.
pub struct Statement {
    dialect: Dialect,
    pub(crate) sql: String,
    pub(crate) values: Vec<Option<String>>,
}

impl Statement {
    /// The beginning of one.
    pub fn new(dialect: Dialect, sql: &str) -> Self {
        Self { dialect, sql: sql.to_owned(), values: Vec::new() }
    }

    /// More of it, as it is: never what comes from outside.
    pub fn sql(mut self, sql: &str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// A value, bound.
    pub fn bind(mut self, value: &Value) -> Self {
        let n = self.values.len() + 1;
        let typed = |postgres: &str| match self.dialect {
            Dialect::Postgres => format!("${n}::text::{postgres}"),
            Dialect::Mysql => "?".to_owned(),
            Dialect::Sqlite => format!("?{n}"),
        };
        let (sql, text) = match value {
            Value::Text(text) => (typed("text"), text.clone()),
            Value::Integer(number) => (typed("bigint"), number.map(|number| number.to_string())),
            Value::Flag(flag) => (typed("boolean"), Some(u8::from(*flag).to_string())),
            Value::Decimal(number) => (typed("numeric"), Some(number.clone())),
            Value::Instant(at) => (typed("timestamp AT TIME ZONE 'UTC'"), at.map(|at| written(at, self.dialect))),
        };
        self.sql.push_str(&sql);
        self.values.push(text);
        self
    }

    /// `column = value AND …`
    pub fn all_of(mut self, columns: &[(&str, Value)]) -> Self {
        for (at, (column, value)) in columns.iter().enumerate() {
            self = self.sql(if at == 0 { "" } else { " AND " }).sql(column).sql(" = ").bind(value);
        }
        self
    }

    /// `column IN (value, …)`, which no row is where there are no values.
    pub fn any_of(mut self, column: &str, values: impl IntoIterator<Item = Value>) -> Self {
        self = self.sql(column).sql(" IN (");
        let mut count = 0;
        for value in values {
            self = self.sql(if count == 0 { "" } else { ", " }).bind(&value);
            count += 1;
        }
        self.sql(if count == 0 { "NULL)" } else { ")" })
    }

    /// `INSERT INTO table …`
    pub fn insert(dialect: Dialect, table: &str, columns: &[(&str, Value)]) -> Self {
        let names: Vec<&str> = columns.iter().map(|(column, _)| *column).collect();
        let mut statement = Self::new(dialect, &format!("INSERT INTO {table} ({}) VALUES (", names.join(", ")));
        for (at, (_, value)) in columns.iter().enumerate() {
            statement = statement.sql(if at == 0 { "" } else { ", " }).bind(value);
        }
        statement.sql(")")
    }

    /// `UPDATE table SET … WHERE key = value`
    pub fn update(dialect: Dialect, table: &str, columns: &[(&str, Value)], key: (&str, Value)) -> Self {
        let mut statement = Self::new(dialect, &format!("UPDATE {table} SET "));
        for (at, (column, value)) in columns.iter().enumerate() {
            statement = statement.sql(if at == 0 { "" } else { ", " }).sql(column).sql(" = ").bind(value);
        }
        statement.sql(" WHERE ").all_of(&[key])
    }
}

impl Dialect {
    /// A column that comes out as text.
    pub fn column(self, column: &str) -> String {
        match self {
            Self::Postgres => format!("{column}::text"),
            Self::Mysql => format!("CAST({column} AS CHAR)"),
            Self::Sqlite => format!("CAST({column} AS TEXT)"),
        }
    }

    /// A column of bytes, which [`Row::bytes`] reads.
    pub fn bytes(self, column: &str) -> String {
        match self {
            Self::Postgres => format!("encode({column}, 'hex')"),
            Self::Mysql | Self::Sqlite => format!("hex({column})"),
        }
    }

    /// The name of a table or a column, in the quotes that it needs. Not for names from outside with quotes in them.
    pub fn name(self, name: &str) -> String {
        match self {
            Self::Postgres | Self::Sqlite => format!("\"{name}\""),
            Self::Mysql => format!("`{name}`"),
        }
    }

    /// A column of an instant, which [`Row::instant`] reads.
    pub fn instant(self, column: &str) -> String {
        match self {
            Self::Postgres => format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"),
            Self::Mysql | Self::Sqlite => self.column(column),
        }
    }

    /// The database's clock, as an instant's column.
    pub fn clock(self) -> String {
        match self {
            Self::Postgres => self.instant("clock_timestamp()"),
            Self::Mysql => "CAST(UTC_TIMESTAMP(6) AS CHAR)".to_owned(),
            Self::Sqlite => "strftime('%Y-%m-%d %H:%M:%f', 'now')".to_owned(),
        }
    }

    /// What keeps a row that was read from being changed by others. SQLite has locked everything already.
    pub fn for_update(self, table: &str) -> String {
        match self {
            Self::Postgres => format!(" FOR UPDATE OF {table}"),
            Self::Mysql => " FOR UPDATE".to_owned(),
            Self::Sqlite => String::new(),
        }
    }
}

/// As Django writes an instant: without a fraction when there is none, where it is kept as text.
fn written(at: Timestamp, dialect: Dialect) -> String {
    let text = at.to_string().replace('T', " ").replace('Z', "");
    match (dialect, text.strip_suffix(".000000")) {
        (Dialect::Sqlite, Some(whole)) => whole.to_owned(),
        _ => text,
    }
}

/// Reads `2026-11-22 18:00:00[.123456]`, which is UTC.
fn instant(text: &str) -> Option<Timestamp> {
    let at: jiff::civil::DateTime = text.parse().ok()?;
    Some(Timestamp(at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond()))
}

/// One row, every column as text.
#[derive(Debug)]
pub struct Row(pub(crate) std::vec::IntoIter<Option<String>>);

impl Row {
    /// What is left of it.
    pub fn texts(self) -> Vec<Option<String>> {
        self.0.collect()
    }

    /// The next column.
    pub fn text(&mut self) -> Option<String> {
        self.0.next().flatten()
    }

    /// The next column, an instant.
    pub fn instant(&mut self) -> Option<Timestamp> {
        self.text().as_deref().and_then(instant)
    }

    /// The next column, bytes.
    pub fn bytes(&mut self) -> Option<Vec<u8>> {
        let text = self.text()?;
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
    }

    /// The next column, a number.
    pub fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.text()?.parse().ok()
    }

    /// The next column, true or false.
    pub fn flag(&mut self) -> Option<bool> {
        Some(matches!(self.text()?.as_str(), "1" | "true" | "t"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_django_does_and_read_again() {
        let at = Timestamp::parse_rfc3339("2026-05-01T08:00:00Z").expect("a time");
        assert_eq!(written(at, Dialect::Sqlite), "2026-05-01 08:00:00");
        assert_eq!(written(at.plus(5), Dialect::Sqlite), "2026-05-01 08:00:00.000005");
        assert_eq!(written(at, Dialect::Mysql), "2026-05-01 08:00:00.000000");
        for text in ["2026-05-01 08:00:00", "2026-05-01 08:00:00.000000"] {
            assert_eq!(instant(text), Some(at));
        }
        assert_eq!(instant("yesterday"), None);
    }

    #[test]
    fn values_are_bound_and_never_part_of_the_text() {
        let columns = [("a", Value::text("'; DROP TABLE x")), ("b", Value::Flag(true))];
        let statement = Statement::update(Dialect::Postgres, "t", &columns, ("id", Value::Integer(Some(3))));
        assert_eq!(statement.sql, "UPDATE t SET a = $1::text::text, b = $2::text::boolean WHERE id = $3::text::bigint");
        assert_eq!(statement.values[0].as_deref(), Some("'; DROP TABLE x"));
        let statement = Statement::new(Dialect::Sqlite, "").any_of("c", [Value::text("'"), Value::Integer(Some(1))]);
        assert_eq!(statement.sql, "c IN (?1, ?2)");
        assert_eq!(Statement::new(Dialect::Sqlite, "").any_of("c", []).sql, "c IN (NULL)");
        let statement = Statement::insert(Dialect::Mysql, "t", &columns);
        assert_eq!(statement.sql, "INSERT INTO t (a, b) VALUES (?, ?)");
    }

    #[test]
    fn bytes_come_as_digits() {
        let bytes = |text: &str| Row(vec![Some(text.to_owned())].into_iter()).bytes();
        assert_eq!(bytes("80fF00"), Some(vec![0x80, 0xff, 0]));
        assert_eq!((bytes(""), bytes("8"), bytes("zz")), (Some(Vec::new()), None, None));
    }
}
