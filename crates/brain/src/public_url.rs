//! Under which address people and agents reach the brain.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::{Extensions, Uri};
use thiserror::Error;

/// Longest base path, in bytes.
const MAX_BASE_PATH: usize = 256;
/// First parts of our own paths. Were one of them a base path, it could not be told whether a proxy took the base off.
const OUR_OWN: &[&str] = &["api", "ws", "signin", "assets", "healthz", "readyz", "metrics"];

/// Where people reach the brain, such as `https://tasks.example.com/queues`; without a slash at the end. Reads as its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    text: Arc<str>,
    is_https: bool,
    /// Without path.
    origin_len: usize,
    base: BasePath,
}

/// A path that all of the brain's paths are below: nothing, or `/` and segments without a slash at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(Arc<str>);

/// Why something is not a public URL.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PublicUrlError {
    /// No web address.
    #[error("the public URL must be http:// or https://, a host and perhaps a path, such as https://tasks.example.com")]
    Url,
    /// Its path is none to be below.
    #[error("the public URL's path: {0}")]
    Path(#[from] BasePathError),
}

/// Why something is not a base path.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BasePathError {
    /// Not of the form.
    #[error("a base path begins with / and has only letters, digits and -._~ between single slashes, such as /tasks")]
    Form,
    /// Taken.
    #[error("/{0} is a path of Taskplane itself: choose another base path, such as /taskplane")]
    OurOwn(&'static str),
}

impl PublicUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// It is none, or has credentials, a query, a fragment or an unusable path.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let text = text.trim().trim_end_matches('/');
        let uri: Uri = text.parse().map_err(|_| PublicUrlError::Url)?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(PublicUrlError::Url),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let (Some(authority), Some(_)) = (authority, host) else { return Err(PublicUrlError::Url) };
        if uri.query().is_some() || text.contains('#') {
            return Err(PublicUrlError::Url);
        }
        let base = BasePath::parse(uri.path())?;
        // As browsers write it.
        let (scheme, usual_port) = if is_https { ("https", ":443") } else { ("http", ":80") };
        let authority = authority.as_str().to_ascii_lowercase();
        let origin = format!("{scheme}://{}", authority.strip_suffix(usual_port).unwrap_or(&authority));
        Ok(Self { text: format!("{origin}{base}").into(), is_https, origin_len: origin.len(), base })
    }

    /// Scheme and authority.
    pub fn origin(&self) -> &str {
        &self.text[..self.origin_len]
    }

    /// What all paths are below.
    pub fn base(&self) -> &BasePath {
        &self.base
    }

    /// True when people come over TLS.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// True when the host's usual port for TLS is ours, so that no other service of the host can be meant with it.
    pub(crate) fn owns_its_host(&self) -> bool {
        let authority = self.origin().rsplit('/').next().unwrap_or_default();
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        self.is_https && !has_port
    }
}

impl Deref for PublicUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl BasePath {
    /// Reads a path; slashes at the end do not matter.
    ///
    /// # Errors
    /// It is none that all paths could be below.
    pub fn parse(text: &str) -> Result<Self, BasePathError> {
        let path = text.trim().trim_end_matches('/');
        if path.is_empty() {
            return Ok(Self::default());
        }
        let segments = path.strip_prefix('/').filter(|_| path.len() <= MAX_BASE_PATH).ok_or(BasePathError::Form)?;
        let is_segment = |segment: &str| {
            let usual = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            segment.bytes().all(usual) && !matches!(segment, "" | "." | "..")
        };
        if !segments.split('/').all(is_segment) {
            return Err(BasePathError::Form);
        }
        match OUR_OWN.iter().find(|own| segments.split('/').next() == Some(**own)) {
            Some(own) => Err(BasePathError::OurOwn(own)),
            None => Ok(Self(path.into())),
        }
    }

    /// Nothing, or the path without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is left of `path` below this base; `None` where it is not below it.
    pub(crate) fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(&*self.0)? {
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the browser behind one request reached us, as an extension of the request: proxies may tell it otherwise than the
/// public URL does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReachedAt {
    pub(crate) is_https: bool,
    pub(crate) base: BasePath,
}

impl ReachedAt {
    /// What the request's extensions hold; without it, at the public URL.
    pub(crate) fn of(extensions: &Extensions, public_url: &PublicUrl) -> Self {
        let told = extensions.get::<Self>().cloned();
        told.unwrap_or_else(|| Self { is_https: public_url.is_https(), base: public_url.base().clone() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_public_url_has_an_origin_and_a_base() {
        for (text, whole, origin, base) in [
            ("http://127.0.0.1:7440", "http://127.0.0.1:7440", "http://127.0.0.1:7440", ""),
            ("https://host/", "https://host", "https://host", ""),
            ("https://host/tasks//", "https://host/tasks", "https://host", "/tasks"),
            ("HTTPS://Host:8443/a/B", "https://host:8443/a/B", "https://host:8443", "/a/B"),
            ("https://host:443", "https://host", "https://host", ""),
            ("http://[::1]:7440/x", "http://[::1]:7440/x", "http://[::1]:7440", "/x"),
        ] {
            let url = PublicUrl::parse(text).expect(text);
            assert_eq!((&*url, url.origin(), url.base().as_str()), (whole, origin, base));
        }
        let owns = |text: &str| PublicUrl::parse(text).expect(text).owns_its_host();
        assert!(owns("https://tasks.example.com/x") && owns("https://[::1]"));
        assert!(!owns("https://host:8443") && !owns("https://[::1]:7440") && !owns("http://host"));
    }

    #[test]
    fn what_people_cannot_reach_is_no_public_url() {
        for text in ["", "host", "/tasks", "ftp://host", "https://", "https://me@host", "https://host?x", "http://h#x"]
        {
            assert_eq!(PublicUrl::parse(text), Err(PublicUrlError::Url), "{text}");
        }
        for text in ["https://host/a//b", "https://host/../a", "https://host/a%20b", "https://host/\"x"] {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
        assert_eq!(BasePath::parse("/api/x"), Err(BasePathError::OurOwn("api")));
        assert!(BasePath::parse("/apis").is_ok() && BasePath::parse("tasks").is_err());
    }

    #[test]
    fn a_base_is_taken_off_whole_segments_only() {
        let base = BasePath::parse("/tasks").expect("a base");
        assert_eq!(base.strip("/tasks"), Some("/"));
        assert_eq!(base.strip("/tasks/api/v1"), Some("/api/v1"));
        assert_eq!(base.strip("/tasksx"), None);
        assert_eq!(base.strip("/api"), None);
        assert_eq!(BasePath::default().strip("/api"), Some("/api"));
    }

    proptest! {
        #[test]
        fn a_base_that_is_read_is_safe_in_a_page_a_header_and_a_redirect(text in "[/a-z.\"'<>%\\\\;\n ]{0,12}") {
            if let Ok(base) = BasePath::parse(&text) {
                let target = format!("{base}/");
                prop_assert!(!target.starts_with("//") && !target.contains(['"', '<', ';', '\n', '\\', '%', ' ']));
            }
        }
    }
}
