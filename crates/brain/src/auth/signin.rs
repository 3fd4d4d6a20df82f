//! `GET /signin?token=…`: turns a one-time link into a session.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use taskplane_model::time::DAY;

use super::secret::{Secret, SecretKind};
use crate::api::{ApiState, Problem};
use crate::client_address::ClientAddress;
use crate::clock;
use crate::public_url::ReachedAt;

/// Name of the session's cookie.
pub(super) const SESSION_COOKIE: &str = "taskplane_session";
/// How long a session lasts.
const SESSION_LIFE: i64 = 7 * DAY;
const SESSION_SECONDS: i64 = SESSION_LIFE / 1_000_000;

/// The route.
pub(crate) fn router() -> Router<ApiState> {
    // Without its own HEAD handler a HEAD request would run the GET handler, and use the link up.
    Router::new().route("/signin", get(redeem).head(look))
}

#[derive(Deserialize)]
struct Link {
    token: Option<String>,
}

async fn look() -> impl IntoResponse {
    (private_headers(), StatusCode::OK)
}

async fn redeem(
    State(state): State<ApiState>,
    extensions: Extensions,
    headers: HeaderMap,
    link: Query<Link>,
) -> Response {
    // A browser that only guesses that the link will be opened comes again when it is.
    if headers.get("sec-purpose").is_some_and(|purpose| purpose.as_bytes().starts_with(b"prefetch")) {
        return (private_headers(), StatusCode::SERVICE_UNAVAILABLE).into_response();
    }
    let Some(token) = link.0.token.as_deref().and_then(|text| Secret::parse(SecretKind::SigninLink, text)) else {
        return wrong(&state, &extensions, || {
            page(StatusCode::BAD_REQUEST, "This is not a sign-in link", "Part of the link may be missing.")
        });
    };
    let session = match Secret::generate(SecretKind::Session) {
        Ok(session) => session,
        Err(error) => return Problem::internal(&error).into_response(),
    };
    let now = clock::now();
    let expires = now.plus(SESSION_LIFE);
    match state.brain.store.redeem_signin_link(token.hash(), session.hash(), expires, now).await {
        Ok(Some(grant)) => {
            tracing::info!(session = %grant.id, role = %grant.role, "signed in by link");
            let reached = ReachedAt::of(&extensions, &state.brain.public_url);
            let cookie = cookie(session.expose(), SESSION_SECONDS, &reached);
            let to = [(header::SET_COOKIE, cookie), (header::LOCATION, header_value(&format!("{}/", reached.base)))];
            (StatusCode::SEE_OTHER, private_headers(), to).into_response()
        }
        Ok(None) => wrong(&state, &extensions, || {
            page(
                StatusCode::GONE,
                "This sign-in link does not work any more",
                "Each link works once, for 15 minutes. This one was used already, or is too old.",
            )
        }),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// Counts a link that does not work, and says so, or that there were too many.
fn wrong(state: &ApiState, extensions: &Extensions, page: impl FnOnce() -> Response) -> Response {
    let peer = ClientAddress::of(extensions).map(|client| client.0);
    if state.attempts.note(peer) { page() } else { Problem::too_many_attempts().into_response() }
}

/// The `Set-Cookie` value that makes a browser forget its session.
pub(crate) fn end_session_cookie(reached: &ReachedAt) -> HeaderValue {
    cookie("", 0, reached)
}

fn cookie(value: &str, seconds: i64, reached: &ReachedAt) -> HeaderValue {
    // Without TLS a browser would not keep a secure cookie, and nobody could sign in.
    let secure = if reached.is_https { "; Secure" } else { "" };
    let path = &reached.base;
    header_value(&format!("{SESSION_COOKIE}={value}; Path={path}/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"))
}

/// Only base64url and base paths go in, so this always is a header value.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The link must not get into caches, or into the `Referer` of what is fetched next.
fn private_headers() -> [(HeaderName, HeaderValue); 2] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ]
}

fn page(status: StatusCode, title: &'static str, why: &'static str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · Taskplane</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:4em auto;padding:0 1em}}</style></head>\
         <body><h1>{title}</h1><p>{why}</p><p>For a new one, run this where the brain runs, with the brain's \
         <code>--data-dir</code>:</p><pre><code>taskplane signin-link</code></pre></body></html>\n"
    );
    (status, private_headers(), Html(html)).into_response()
}
