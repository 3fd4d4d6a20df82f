//! The extractors by which handlers are authorised.

use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use taskplane_model::Timestamp;
use taskplane_model::access::Role;
use taskplane_store::access::{Project, SecretHash};
use taskplane_store::{AccessStore, StoreError};

use super::agent::bearer;
use super::secret::{Secret, SecretKind};
use super::signin::SESSION_COOKIE;
use crate::api::{ApiState, Problem};
use crate::client_address::ClientAddress;
use crate::clock;

/// Who asks. As an extractor it refuses everybody who is not known.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    /// What it may do.
    pub(crate) role: Role,
    /// The only project it may see; `None` for a person, who may see all.
    pub(crate) project: Option<u64>,
    /// When it ends by itself.
    pub(crate) expires: Option<Timestamp>,
    name: String,
    secret: SecretHash,
    kind: SecretKind,
}

impl Principal {
    /// The name in the audit log; not a secret.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The hash of the session, when this is a signed-in browser.
    pub(crate) fn session(&self) -> Option<SecretHash> {
        (self.kind == SecretKind::Session).then_some(self.secret)
    }

    /// True while what it came with still opens the same.
    pub(crate) async fn is_still_valid(&self, store: &dyn AccessStore, now: Timestamp) -> Result<bool, StoreError> {
        let again = match self.kind {
            SecretKind::Session => store.session(self.secret, now).await?.map(|session| session.role),
            _ => store.api_key(self.secret).await?.map(|key| key.role),
        };
        Ok(again == Some(self.role))
    }

    /// `None` when no credentials were given, or they are not known.
    async fn find(store: &dyn AccessStore, credentials: &Secret, kind: SecretKind) -> Result<Option<Self>, StoreError> {
        let secret = credentials.hash();
        Ok(match kind {
            SecretKind::Session => store.session(secret, clock::now()).await?.map(|session| Self {
                role: session.role,
                project: None,
                expires: Some(session.expires),
                name: format!("session:{}", session.id),
                secret,
                kind,
            }),
            _ => store.api_key(secret).await?.map(|key| Self {
                role: key.role,
                project: Some(key.project),
                expires: None,
                name: format!("api-key:{}", key.id),
                secret,
                kind: SecretKind::ApiKey,
            }),
        })
    }
}

/// What a request came with.
enum Credentials {
    None,
    Malformed,
    Given(Secret, SecretKind),
}

impl Credentials {
    /// With an `Authorization` header, cookies do not count: the CSRF check relies on that.
    fn of(headers: &HeaderMap) -> Self {
        let (text, kind) = match headers.get(header::AUTHORIZATION) {
            Some(value) => (bearer(value), SecretKind::ApiKey),
            None => match session_cookie(headers) {
                Some(text) => (Some(text), SecretKind::Session),
                None => return Self::None,
            },
        };
        text.and_then(|text| Secret::parse(kind, text)).map_or(Self::Malformed, |secret| Self::Given(secret, kind))
    }
}

fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value)
}

impl FromRequestParts<ApiState> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let found = match Credentials::of(&parts.headers) {
            // Nothing was tried, so nothing is counted: a signed-out dashboard asks this way.
            Credentials::None => return Err(Problem::signed_out()),
            Credentials::Malformed => None,
            Credentials::Given(secret, kind) => Self::find(&*state.brain.store, &secret, kind).await?,
        };
        found.ok_or_else(|| {
            let peer = ClientAddress::of(&parts.extensions).map(|client| client.0);
            if state.attempts.note(peer) { Problem::signed_out() } else { Problem::too_many_attempts() }
        })
    }
}

/// A principal in the project that the path names.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Who.
    pub(crate) principal: Principal,
    /// Where.
    pub(crate) project: Project,
}

impl Access {
    /// The name in the audit log.
    pub(crate) fn actor(&self) -> String {
        self.principal.name.clone()
    }
}

impl FromRequestParts<ApiState> for Access {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        // First who, then where: strangers learn nothing about which projects there are.
        let principal = Principal::from_request_parts(parts, state).await?;
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
        let name = params.iter().find(|(key, _)| *key == "project").map_or("", |(_, value)| value);
        let project = state.brain.store.project(name).await?;
        // A key of another project must not tell that this one exists.
        match project.filter(|project| principal.project.is_none_or(|only| only == project.id)) {
            Some(project) => Ok(Self { principal, project }),
            None => Err(Problem::not_found("project", format!("There is no project called \"{name}\"."))),
        }
    }
}

/// A level of access, as a type.
pub(crate) trait Level: Send + Sync + 'static {
    /// The role it needs.
    const ROLE: Role;
}

/// See [`RequireViewer`].
#[derive(Debug)]
pub(crate) struct Viewer;
/// See [`RequireOperator`].
#[derive(Debug)]
pub(crate) struct Operator;
/// See [`RequireAdmin`].
#[derive(Debug)]
pub(crate) struct Admin;

impl Level for Viewer {
    const ROLE: Role = Role::Viewer;
}
impl Level for Operator {
    const ROLE: Role = Role::Operator;
}
impl Level for Admin {
    const ROLE: Role = Role::Admin;
}

/// Access with at least the role of a level.
#[derive(Debug)]
pub(crate) struct Require<L>(Access, PhantomData<L>);

/// Access that sees.
pub(crate) type RequireViewer = Require<Viewer>;
/// Access that also gives commands.
pub(crate) type RequireOperator = Require<Operator>;
/// Access that also issues and revokes.
pub(crate) type RequireAdmin = Require<Admin>;

impl<L> Deref for Require<L> {
    type Target = Access;
    fn deref(&self) -> &Access {
        &self.0
    }
}

impl<L: Level> FromRequestParts<ApiState> for Require<L> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let access = Access::from_request_parts(parts, state).await?;
        if access.principal.role >= L::ROLE {
            Ok(Self(access, PhantomData))
        } else {
            Err(Problem::forbidden(L::ROLE, access.principal.role))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("theme=dark; other=1"));
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; taskplane_session=tps_x; c=d"));
        assert_eq!(session_cookie(&headers), Some("tps_x"));
    }

    #[test]
    fn with_an_authorization_header_cookies_do_not_count() {
        let mut headers = HeaderMap::new();
        let session = Secret::generate(SecretKind::Session).expect("randomness");
        let cookie = format!("taskplane_session={}", session.expose());
        headers.insert(header::COOKIE, HeaderValue::from_str(&cookie).expect("a header"));
        assert!(matches!(Credentials::of(&headers), Credentials::Given(_, SecretKind::Session)));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic abc"));
        assert!(matches!(Credentials::of(&headers), Credentials::Malformed));
    }
}
