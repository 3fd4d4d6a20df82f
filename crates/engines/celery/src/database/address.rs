//! Where a database with results is: as Celery's settings say it, or as they cannot, in Django.

use taskplane_application_database::Address;

use super::table::{Layout, Table};
use crate::config::ConfigError;

/// What a URL names, if it names a database.
pub(super) fn read(url: &str) -> Result<Option<(Address, Table)>, ConfigError> {
    let Some((scheme, rest)) = url.trim().split_once("://") else { return Ok(None) };
    let mut words = scheme.split('+');
    let layout = match words.next() {
        Some("db" | "database") => Layout::Celery,
        Some("django-db") => Layout::Django,
        _ => return Ok(None),
    };
    // What follows is the driver that the application uses.
    let Some(database @ ("postgres" | "postgresql" | "mysql" | "mariadb" | "sqlite")) = words.next() else {
        return Ok(None);
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_sqlite = database == "sqlite";
    let place = match (layout, place.strip_prefix('/')) {
        // SQLAlchemy has four slashes before an absolute path.
        (Layout::Celery, Some(path)) if is_sqlite && path.starts_with('/') => path,
        (Layout::Celery, _) if is_sqlite => {
            return Err(wrong(
                "the path of a SQLite file must be absolute, since the agent does not run in the application's folder: write it \
                 with four slashes, as in db+sqlite:////srv/shop/results.db",
            ));
        }
        _ => place,
    };
    let (options, table) = options(query, layout)?;
    let address = format!("{database}://{place}{}{}", if options.is_empty() { "" } else { "?" }, options.join("&"));
    let address = Address::parse(&address).map_err(|error| wrong(&error.to_string()))?;
    Ok(Some((address, table)))
}

fn wrong(why: &str) -> ConfigError {
    ConfigError::ResultDatabase { why: why.to_owned() }
}

/// The options that say where something is and whom to believe; what else the application's driver has is its own.
fn options(query: &str, layout: Layout) -> Result<(Vec<String>, Table), ConfigError> {
    let (mut kept, mut table) = (Vec::new(), Table::of(layout));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "sslmode" | "ssl-mode" | "sslrootcert" | "ssl-ca" | "host" | "target_session_attrs" => {
                kept.push(pair.to_owned());
            }
            "ssl_ca" => kept.push(format!("sslrootcert={value}")),
            "task_table" if layout == Layout::Celery => {
                table = table.named(value).ok_or_else(|| {
                    wrong("task_table is the name of a table, as in ?task_table=results or ?task_table=celery.results")
                })?;
            }
            _ => {}
        }
    }
    Ok((kept, table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(url: &str) -> Option<(String, String)> {
        read(url).expect(url).map(|(address, table)| (address.shown(), table.name))
    }

    #[test]
    fn urls_are_those_of_the_application() {
        for (url, shown, table) in [
            ("db+postgresql://me:pw@db/shop", "PostgreSQL at db:5432/shop", "celery_taskmeta"),
            (
                "db+postgresql+psycopg2://me:pw@db:5433/shop?client_encoding=utf8",
                "PostgreSQL at db:5433/shop",
                "celery_taskmeta",
            ),
            ("db+mysql+pymysql://me:pw@db/shop?charset=utf8mb4", "MySQL at db:3306/shop", "celery_taskmeta"),
            ("db+mariadb+mariadbconnector://me:pw@db/shop", "MySQL at db:3306/shop", "celery_taskmeta"),
            ("database+sqlite:////srv/x.db?timeout=5", "SQLite at /srv/x.db", "celery_taskmeta"),
            ("db+postgresql://me:pw@db/shop?task_table=celery.results", "PostgreSQL at db:5432/shop", "celery.results"),
            ("django-db+postgres://me:pw@db/shop", "PostgreSQL at db:5432/shop", "django_celery_results_taskresult"),
            ("django-db+sqlite:///srv/x.db", "SQLite at /srv/x.db", "django_celery_results_taskresult"),
        ] {
            assert_eq!(told(url), Some((shown.to_owned(), table.to_owned())), "{url}");
        }
    }

    #[test]
    fn other_backends_are_left_to_others() {
        for url in ["redis://h/0", "django-db", "db", "rpc://", "db+oracle://me:pw@h/d", "db+mssql+pyodbc://h/d"] {
            assert_eq!(told(url), None, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for url in [
            "db+sqlite:///hunter2.db",
            "db+sqlite://",
            "db+postgresql://me:hunter2@/shop",
            "db+mysql://me:hunter2@h",
            "db+postgresql://me:hunter2@h/d?task_table=x;DROP",
            "django-db+sqlite://hunter2.db",
        ] {
            let said = read(url).map(|found| found.is_some()).expect_err(url).to_string();
            assert!(said.contains("db+postgresql://user:password@host") && !said.contains("hunter2"), "{url}: {said}");
        }
    }
}
