//! What an application's keys and channels on Redis begin with, as its transport options say.

use taskplane_celery_address::RedisAddress;

/// Where kombu puts what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// `global_keyprefix`: before all keys and channels.
    pub(crate) prefix: String,
    /// `fanout_prefix`: before the names of exchanges that are channels.
    pub(crate) fanout: String,
}

impl Layout {
    /// As the options of the URL say, which have kombu's names. `fanout_patterns` makes no difference to who listens.
    pub(crate) fn of(address: &RedisAddress) -> Self {
        let fanout = match address.option("fanout_prefix") {
            None | Some("true" | "True" | "1") => "/{db}.",
            Some("false" | "False" | "0" | "") => "",
            Some(own) => own,
        };
        let prefix = address.option("global_keyprefix").unwrap_or_default().to_owned();
        Self { prefix, fanout: formatted(fanout, address.db()) }
    }

    /// A key as it lies on Redis.
    pub(crate) fn key(&self, bare: &str) -> String {
        format!("{}{bare}", self.prefix)
    }

    /// The channel of an exchange.
    pub(crate) fn channel(&self, exchange: &str) -> String {
        format!("{}{}{exchange}", self.prefix, self.fanout)
    }
}

/// As Python formats it: `{db}` is the number of the database, and doubled braces are braces.
fn formatted(text: &str, db: i64) -> String {
    let (open, close) = ("\0", "\u{1}");
    let text = text.replace("{{", open).replace("}}", close).replace("{db}", &db.to_string());
    text.replace(open, "{").replace(close, "}")
}

/// A pattern that matches this text alone.
pub(crate) fn glob(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(options: &str) -> Layout {
        Layout::of(&RedisAddress::parse(&format!("redis://h/3?{options}")).expect(options))
    }

    #[test]
    fn transport_options_are_taken_as_kombu_takes_them() {
        for (options, key, channel) in [
            ("", "q", "/3.celeryev"),
            ("global_keyprefix=app%3A", "app:q", "app:/3.celeryev"),
            ("fanout_prefix=false", "q", "celeryev"),
            ("fanout_prefix=true&fanout_patterns=false", "q", "/3.celeryev"),
            ("fanout_prefix=/x{db}.", "q", "/x3.celeryev"),
            ("fanout_prefix=/{{db}}.", "q", "/{db}.celeryev"),
        ] {
            let layout = layout(options);
            assert_eq!((layout.key("q").as_str(), layout.channel("celeryev").as_str()), (key, channel), "{options}");
        }
        assert_eq!(glob("a*[b]"), "a\\*\\[b\\]");
    }
}
