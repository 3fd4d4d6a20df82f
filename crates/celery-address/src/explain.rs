//! What went wrong with Redis, in words.
//!
//! Redis never repeats a password, but it may repeat a command's arguments: shown are only the category, the error code, and
//! the name of a command that is not permitted.

use redis::{ErrorKind, RedisError};

/// Longest text of TLS that is shown.
const MAX_TEXT: usize = 200;

/// What went wrong, to stand behind "Redis at host:port".
pub fn explain(error: &RedisError) -> String {
    explain_on(error, "the right to connect")
}

/// The same; `right` is what an ACL says to permit the keys or channels that were tried.
pub fn explain_on(error: &RedisError, right: &str) -> String {
    if error.is_connection_refusal() {
        return "refuses connections (is it running?)".to_owned();
    }
    if error.is_timeout() {
        return "did not answer in time".to_owned();
    }
    if let Some((code, text)) = said(error) {
        return refusal(&code, &text, right);
    }
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "does not accept the user or password in the URL".to_owned();
    }
    let text = error.to_string();
    if let Some(told) = tls(&text) {
        return told;
    }
    if error.is_connection_dropped() {
        return "closed the connection".to_owned();
    }
    if text.contains("lookup") || text.contains("resolve") {
        return "has a host name that cannot be resolved".to_owned();
    }
    format!("failed: {}", error.category())
}

/// The server's own code and text; of several, those that tell of a missing right.
fn said(error: &RedisError) -> Option<(String, String)> {
    if let Some(errors) = error.clone().into_server_errors() {
        let worst = errors.iter().find(|(_, error)| error.code() == "NOPERM").or_else(|| errors.first());
        return worst.map(|(_, error)| (error.code().to_owned(), error.details().unwrap_or_default().to_owned()));
    }
    error.code().map(|code| (code.to_owned(), error.detail().unwrap_or_default().to_owned()))
}

fn refusal(code: &str, text: &str, right: &str) -> String {
    match code {
        "NOAUTH" => "asks for a password: put it into the URL".to_owned(),
        "WRONGPASS" => "does not accept the user or password in the URL".to_owned(),
        "NOPERM" => not_permitted(text, right),
        "READONLY" => "is a read-only replica: name the master".to_owned(),
        "OOM" => "is out of memory (OOM)".to_owned(),
        "LOADING" => "is still loading its data".to_owned(),
        code => format!("answered with the error {code}"),
    }
}

/// The right that is missing, as it is written in an ACL.
fn not_permitted(text: &str, right: &str) -> String {
    let quoted = text.split('\'').nth(1).filter(|_| text.contains("command"));
    match quoted {
        Some(command) => {
            let command: String =
                command.chars().filter(|c| c.is_ascii_alphanumeric() || "|-_.".contains(*c)).collect();
            format!("does not permit the agent's user the command {command} (NOPERM): add +{command} to its ACL")
        }
        None => {
            let what = if text.contains("channel") { "a channel" } else { "a key" };
            format!("does not permit the agent's user {what} that Celery has (NOPERM): add {right} to its ACL")
        }
    }
}

fn tls(text: &str) -> Option<String> {
    let about = |part: &str| text.contains(part);
    if about("fatal alert") && !about("ProtocolVersion") {
        return Some(
            "wants a certificate of the agent that it trusts: name it with ssl_certfile=/path/cert.pem and \
             ssl_keyfile=/path/key.pem in the URL"
                .to_owned(),
        );
    }
    let shown = || text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect::<String>();
    if about("NotValidForName") || about("not valid for name") {
        return Some(format!("shows a certificate for another name ({}): use the host name that it is for", shown()));
    }
    if about("certificate") {
        return Some(format!(
            "shows a certificate that the agent does not trust ({}): name the authority that signed it with \
             ssl_ca_certs=/path/ca.pem in the URL",
            shown()
        ));
    }
    let is_no_tls = about("corrupt message") || about("InvalidContentType");
    is_no_tls.then(|| "does not speak TLS on this port: write redis:// for a plain one".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_right_is_named() {
        let asked = "this user has no permissions to run the 'script|load' command";
        assert!(refusal("NOPERM", asked, "").ends_with("add +script|load to its ACL"));
        let newer = "User x has no permissions to run the 'scan' command";
        assert!(refusal("NOPERM", newer, "").contains("the command scan"));
        let channel = "this user has no permissions to access one of the channels used as arguments";
        assert!(
            refusal("NOPERM", channel, "&/0.celeryev*")
                .contains("a channel that Celery has (NOPERM): add &/0.celeryev*")
        );
        let key = "this user has no permissions to access one of the keys used as arguments";
        assert!(refusal("NOPERM", key, "%R~unacked").contains("add %R~unacked"));
    }

    #[test]
    fn what_tls_says_becomes_one_sentence() {
        for (text, told) in [
            ("invalid peer certificate: UnknownIssuer", "ssl_ca_certs"),
            ("invalid peer certificate: certificate not valid for name \"a\"; NotValidForName", "another name"),
            ("received fatal alert: CertificateRequired", "ssl_certfile"),
            ("received corrupt message of type InvalidContentType", "redis://"),
        ] {
            assert!(tls(text).is_some_and(|sentence| sentence.contains(told)), "{text}");
        }
        assert_eq!(tls("Connection reset by peer"), None);
    }
}
