//! URLs of brokers and result backends, as Celery writes them.

/// The parts of a URL, unescaped. Hosts without a port have none; each kind of server has its own default.
#[derive(Clone)]
pub struct Url {
    /// What stands before `://`.
    pub scheme: String,
    /// Before the colon of the credentials.
    pub user: Option<String>,
    /// Behind it.
    pub password: Option<String>,
    /// A name or an address, without brackets; `localhost` when there is none.
    pub host: String,
    /// The port, if one is named.
    pub port: Option<u16>,
    /// What follows the first slash after the host, still escaped.
    pub path: String,
    /// `name=value` pairs behind the question mark.
    pub options: Vec<(String, String)>,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.trim().split_once("://").ok_or("it has no scheme")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        let (host, port) = host_and_port(host).ok_or("the port is not a number from 1 to 65535")?;
        let (user, password) = split_credentials(credentials).ok_or("the credentials are badly escaped")?;
        Ok(Self {
            scheme: scheme.to_owned(),
            user: user.filter(|user| !user.is_empty()),
            password: password.filter(|password| !password.is_empty()),
            host,
            port,
            path: path.to_owned(),
            options: options(query).ok_or("what follows the question mark is badly escaped")?,
        })
    }

    /// The value of an option.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    // An IPv6 address stands in brackets, and its colons are no port.
    let (host, port) = match text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None | Some("") => None,
        Some(port) => Some(port.parse().ok().filter(|p| *p > 0)?),
    };
    Some((if host.is_empty() { "localhost".to_owned() } else { host.to_owned() }, port))
}

type Credentials = (Option<String>, Option<String>);

fn split_credentials(text: Option<&str>) -> Option<Credentials> {
    let Some(text) = text else { return Some((None, None)) };
    match text.split_once(':') {
        Some((user, password)) => Some((Some(percent_decode(user)?), Some(percent_decode(password)?))),
        None => Some((Some(percent_decode(text)?), None)),
    }
}

fn options(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((percent_decode(name)?, percent_decode(&value.replace('+', " "))?))
        })
        .collect()
}

/// Removes percent escapes. `None` when one is cut off, or gives no text.
pub fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}
