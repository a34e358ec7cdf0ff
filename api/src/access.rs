//! Who is asking, and whether a route lets them in.
//!
//! Programs present a bearer token, people a session cookie. What a role permits is a table of
//! `alerting`'s; which permission a route needs stands beside the route.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use keng_alerting::people::LOCAL_ADMINISTRATOR;
use keng_alerting::{Actor, Permission, Principal};

use crate::app::App;
use crate::problem::{Code, Problem};
use crate::server::Peer;

/// What a route asks of whoever calls it. There is no default: a route cannot be declared
/// without saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: the page's files, and the routes by which people sign in.
    Open,
    /// Nothing on loopback, or everywhere with `open_metrics`; elsewhere this permission.
    OpenOnLoopback(Permission),
    /// Whoever has proved who they are.
    SignedIn,
    /// Whoever has this permission.
    Needs(Permission),
}

/// Somebody who has proved who they are.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) address: IpAddr,
}

impl Caller {
    /// Them as the author of an action.
    pub(crate) fn actor(&self) -> Actor {
        self.principal.actor(Some(self.address))
    }

    /// `person`, `token` or `local`.
    pub(crate) fn kind(&self) -> &'static str {
        match self.principal.name.as_str() {
            LOCAL_ADMINISTRATOR => "local",
            name if name.starts_with("token:") => "token",
            _ => "person",
        }
    }
}

/// The gate has put them there; on an open route there is nobody.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

/// How somebody proves who they are.
pub(crate) enum Credential<'a> {
    /// `Authorization: Bearer`.
    Token(&'a str),
    /// The session cookie. A browser sends it by itself, so a write must prove besides that it
    /// comes from our own page.
    Session(&'a str),
}

/// What the request presents. A token goes before a cookie; a header that is no bearer token is
/// an error, never "nobody".
pub(crate) fn credential(headers: &HeaderMap) -> Result<Option<Credential<'_>>, Problem> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(bearer).ok_or_else(|| {
            Problem::new(Code::Unauthenticated, "the Authorization header is not a bearer token")
                .hint("send `Authorization: Bearer TOKEN`")
        })?;
        return Ok(Some(Credential::Token(token)));
    }
    Ok(session_cookie(headers).map(Credential::Session))
}

/// RFC 6750; the scheme's letter case does not matter (RFC 9110 §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Cookie that only a secure origin can set and only this host can read.
const COOKIE_HOST: &str = "__Host-keng";

/// The same where the connection is in the clear beyond this machine (`insecure_plaintext`).
const COOKIE_PLAIN: &str = "keng";

/// The session's secret.
pub(crate) fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = || {
        let values = headers.get_all(header::COOKIE).into_iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='))
    };
    let named = |wanted| pairs().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    named(COOKIE_HOST).or_else(|| named(COOKIE_PLAIN)).filter(|value| !value.is_empty())
}

/// The `Set-Cookie` that begins a session, or ends it when `secret` is empty.
pub(crate) fn set_cookie(peer: Peer, headers: &HeaderMap, secret: &str, seconds: u64) -> String {
    // Browsers take a secure cookie from localhost without TLS, and from nowhere else.
    let (name, secure) = if peer.tls || is_local(peer, headers) {
        (COOKIE_HOST, "; Secure")
    } else {
        (COOKIE_PLAIN, "")
    };
    format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Whether the request was made on this machine, to this machine, by nothing in between. The
/// `Host` keeps out pages of other sites whose name was pointed here (DNS rebinding); a proxy on
/// this machine gives itself away by its headers.
pub(crate) fn is_local(peer: Peer, headers: &HeaderMap) -> bool {
    const PROXIES: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];
    let forwarded = PROXIES.iter().any(|name| headers.contains_key(*name));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    peer.address.ip().to_canonical().is_loopback() && !forwarded && host.is_none_or(names_loopback)
}

fn names_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Refuses what another site made a browser send: our page adds a header that other sites could
/// only add with a permission that this server never gives, and browsers say themselves where a
/// request comes from.
pub(crate) fn same_site(headers: &HeaderMap) -> Result<(), Problem> {
    let own = headers.get("x-keng-request").is_some();
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if own && site.is_none_or(|site| site == b"same-origin") {
        return Ok(());
    }
    Err(Problem::new(Code::CrossSite, "the request does not come from Keng's own page")
        .hint("a program sends a bearer token, or the header `X-Keng-Request: 1` with the cookie"))
}

pub(crate) fn unauthenticated() -> Problem {
    Problem::new(Code::Unauthenticated, "this needs somebody who is signed in, or a token")
        .hint("`keng token create` makes a token; people sign in on the page")
}

pub(crate) fn forbidden(principal: &Principal, permission: Permission) -> Problem {
    let detail = format!(
        "'{}' is {} and may not {}",
        principal.name,
        principal.role,
        permission_word(permission).replace('_', " ")
    );
    Problem::new(Code::Forbidden, detail).hint("ask an administrator for another role")
}

impl App {
    /// Who presents this.
    pub(crate) async fn identify(
        &self,
        credential: Credential<'_>,
        address: IpAddr,
    ) -> Result<Caller, Problem> {
        let people = &self.state.people;
        let principal = match credential {
            Credential::Token(token) => people.authenticate_token(token, Some(address)).await?,
            Credential::Session(secret) => people.authenticate_session(secret).await?,
        };
        Ok(Caller { principal, address })
    }
}

/// The name of a permission in JSON.
pub(crate) const fn permission_word(permission: Permission) -> &'static str {
    match permission {
        Permission::SendEvents => "send_events",
        Permission::ReadEvents => "read_events",
        Permission::ReadAlerts => "read_alerts",
        Permission::HandleAlerts => "handle_alerts",
        Permission::ReadRules => "read_rules",
        Permission::ManageRules => "manage_rules",
        Permission::ManageNode => "manage_node",
        Permission::Respond => "respond",
        Permission::ReadMetrics => "read_metrics",
        Permission::ManagePeople => "manage_people",
        Permission::ReadAudit => "read_audit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            })
            .collect()
    }

    fn local(address: &str, pairs: &[(&'static str, &'static str)]) -> bool {
        is_local(Peer { address: address.parse().unwrap(), tls: false }, &headers(pairs))
    }

    #[test]
    fn a_broken_token_is_never_nobody() {
        for value in ["", "Bearer", "Bearer ", "Basic YTpi", "keng_x"] {
            assert!(credential(&headers(&[("authorization", value)])).is_err(), "{value}");
        }
        let found = headers(&[("authorization", "bearer  keng_x "), ("cookie", "keng=y")]);
        assert!(matches!(credential(&found), Ok(Some(Credential::Token("keng_x")))));
    }

    #[test]
    fn the_secure_cookie_goes_before_the_plain_one() {
        let both = headers(&[("cookie", "a=b; keng=plain; __Host-keng=secure")]);
        assert_eq!(session_cookie(&both), Some("secure"));
        assert_eq!(session_cookie(&headers(&[("cookie", "xkeng=1; keng=")])), None);
    }

    #[test]
    fn only_what_stays_on_this_machine_is_local() {
        assert!(local("127.0.0.1:5", &[]));
        assert!(local("127.0.0.1:5", &[("host", "localhost:8642")]));
        assert!(local("[::1]:5", &[("host", "[::1]:8642")]));
        assert!(!local("127.0.0.1:5", &[("host", "rebound.example:8642")]));
        assert!(!local("127.0.0.1:5", &[("x-forwarded-for", "198.51.100.1")]));
        assert!(!local("192.0.2.1:5", &[("host", "localhost")]));
    }

    #[test]
    fn other_sites_cannot_write() {
        assert!(same_site(&headers(&[])).is_err());
        assert!(same_site(&headers(&[("x-keng-request", "1")])).is_ok());
        let own = [("x-keng-request", "1"), ("sec-fetch-site", "same-origin")];
        assert!(same_site(&headers(&own)).is_ok());
        let other = [("x-keng-request", "1"), ("sec-fetch-site", "same-site")];
        assert!(same_site(&headers(&other)).is_err());
    }

    #[test]
    fn the_cookie_is_secure_wherever_it_can_be() {
        let cookie = |address: &str, tls, host: &'static str| {
            let peer = Peer { address: address.parse().unwrap(), tls };
            set_cookie(peer, &headers(&[("host", host)]), "s", 60)
        };
        let secure = "__Host-keng=s; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(cookie("192.0.2.1:5", true, "soc.example"), secure);
        assert_eq!(cookie("127.0.0.1:5", false, "localhost:8642"), secure);
        let plain = "keng=s; Path=/; Max-Age=60; HttpOnly; SameSite=Strict";
        assert_eq!(cookie("192.0.2.1:5", false, "soc.example"), plain);
    }
}
