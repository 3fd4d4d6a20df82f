//! The dashboard, embedded in the program, and the headers under which browsers see us.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use tower_http::compression::CompressionLayer;

use crate::api::Problem;
use crate::public_url::{BasePath, PublicUrl, ReachedAt};

/// What a build of the dashboard left; `build.rs` sees to it that there is something.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../dashboard/dist"]
struct Dist;

const INDEX: &str = "index.html";
/// Files here have a hash of their content in their names.
const HASHED: &str = "assets/";

/// Scripts only from us; styles also inline, which React's style attributes need; nobody may frame us.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                                       frame-ancestors 'none'; base-uri 'self'; form-action 'self'";

/// A year, for this host and not for those below it.
const STRICT_TRANSPORT_SECURITY: &str = "max-age=31536000";
/// Where the page says what its addresses are relative to.
const BASE: &str = "<base href=\"/\">";

/// Everything that is not another route: the dashboard's files, and its page for paths that people navigate to.
pub fn router(public_url: PublicUrl) -> Router {
    let file = move |request: Request| async move { file(&request, &public_url) };
    Router::new().fallback(file).layer(CompressionLayer::new())
}

/// Adds the security headers to all responses of `router` that do not have them.
pub fn with_security_headers(router: Router, public_url: &PublicUrl) -> Router {
    // It holds for all ports of a host, so a brain that shares its host must not ask for it.
    let transport_security = public_url.owns_its_host().then_some(HeaderValue::from_static(STRICT_TRANSPORT_SECURITY));
    router.layer(middleware::map_response(move |mut response: Response| {
        let headers = [
            (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "same-origin"),
            (header::X_FRAME_OPTIONS, "DENY"),
        ];
        for (name, value) in headers {
            response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
        }
        if let Some(value) = &transport_security {
            response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
        }
        std::future::ready(response)
    }))
}

fn file(request: &Request, public_url: &PublicUrl) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Problem::of_status(StatusCode::METHOD_NOT_ALLOWED).into_response();
    }
    let base = ReachedAt::of(request.extensions(), public_url).base;
    let path = match request.uri().path().trim_start_matches('/') {
        "" => INDEX,
        path => path,
    };
    match Dist::get(path) {
        Some(found) if path == INDEX => page(&found, &base, request.headers()),
        Some(found) => respond(path, &hash(&found), found.data.to_vec(), request.headers()),
        // A missing asset is missing. The page is for addresses that people open, which the dashboard itself resolves.
        None if is_navigation(path, request.headers()) => match Dist::get(INDEX) {
            Some(index) => page(&index, &base, request.headers()),
            None => Problem::of_status(StatusCode::NOT_FOUND).into_response(),
        },
        None => Problem::of_status(StatusCode::NOT_FOUND).into_response(),
    }
}

/// The page, with addresses relative to where the browser sees us.
fn page(index: &EmbeddedFile, base: &BasePath, request: &HeaderMap) -> Response {
    let html = String::from_utf8_lossy(&index.data).replacen(BASE, &format!("<base href=\"{base}/\">"), 1);
    respond(INDEX, &format!("{}{base}", hash(index)), html.into_bytes(), request)
}

fn hash(file: &EmbeddedFile) -> String {
    file.metadata.sha256_hash()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_navigation(path: &str, headers: &HeaderMap) -> bool {
    let accepts_html = headers.get_all(header::ACCEPT).iter().any(|accept| {
        accept.to_str().is_ok_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with("text/html")))
    });
    accepts_html && !path.starts_with(HASHED)
}

fn respond(path: &str, hash: &str, content: Vec<u8>, request: &HeaderMap) -> Response {
    // Weak, because what is sent may be compressed on the way.
    let tag = format!("W/\"{hash}\"");
    let cache = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    insert(&mut headers, header::ETAG, &tag);
    let has_it = request.get_all(header::IF_NONE_MATCH).iter().any(|tags| {
        tags.to_str().is_ok_and(|tags| tags.split(',').any(|known| known.trim() == tag || known.trim() == "*"))
    });
    if has_it {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    insert(&mut headers, header::CONTENT_TYPE, &content_type(path));
    (headers, content).into_response()
}

fn content_type(path: &str) -> String {
    let guessed = mime_guess::from_path(path).first_or_octet_stream();
    let is_text = guessed.type_() == mime_guess::mime::TEXT;
    if is_text { format!("{guessed}; charset=utf-8") } else { guessed.to_string() }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
