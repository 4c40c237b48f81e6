//! Extractors: the application's state, who asks, and from where.

use std::net::IpAddr;

use salvo::extract::Metadata;
use salvo::http::header::AUTHORIZATION;
use salvo::oapi::{Components, EndpointArgRegister, Operation, SecurityRequirement};
use salvo::{Depot, Extractible, Request};

use super::answer::{Failure, HOUSE, Voice};
use super::forwarded;
use crate::app::App;
use crate::budget::Allotment;
use crate::config::Directory;
use crate::domain::auth::Caller;
use crate::error::{Error, Refusal, Result};
use crate::scope::Scope;

/// What the house knows of the request at hand. The outermost hoop puts it into the depot.
#[derive(Debug)]
pub struct Seen {
    app: App,
    voices: &'static [Voice],
    scope: Scope,
    address: IpAddr,
    /// What the answer takes, if it is large, until it is bound to its bytes.
    pub(super) room: Option<Allotment>,
}

impl Seen {
    /// What is known when a request comes in.
    pub fn new(app: App, voices: &'static [Voice], scope: Scope, address: IpAddr) -> Self {
        Self { app, voices, scope, address, room: None }
    }

    /// What is known of the request whose depot this is; `None` outside the house's hoops.
    pub fn of(depot: &Depot) -> Option<&Self> {
        depot.get_typed().ok()
    }

    /// The voice of the API that a path belongs to.
    pub fn voice(&self, path: &str) -> &'static Voice {
        self.voices.iter().find(|voice| voice.speaks_for(path)).unwrap_or(&HOUSE)
    }

    /// The id that the answer carries in `X-Request-ID`.
    pub fn request_id(&self) -> &str {
        self.scope.request_id()
    }

    /// Who asked, once the token was seen to be good.
    pub fn user_id(&self) -> Option<i64> {
        self.scope.actor()
    }
}

/// The application's state of the request at hand.
pub fn app_of(depot: &Depot) -> Result<&App> {
    seen(depot).map(|seen| &seen.app)
}

/// What [`Address`] is.
pub(super) fn address_of(depot: &Depot) -> Result<IpAddr> {
    seen(depot).map(|seen| seen.address)
}

fn seen(depot: &Depot) -> Result<&Seen> {
    Seen::of(depot).ok_or_else(|| Error::fault("a route was reached without the house's hoops"))
}

/// What salvo is told of arguments that describe themselves.
pub(super) static NOTHING: Metadata = Metadata::new("");

impl<'ex> Extractible<'ex> for App {
    fn metadata() -> &'static Metadata {
        &NOTHING
    }

    #[allow(refining_impl_trait)]
    async fn extract(_: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, Failure> {
        Ok(app_of(depot)?.clone())
    }
}

impl EndpointArgRegister for App {
    fn register(_: &mut Components, _: &mut Operation, _: &str) {}
}

impl<'ex> Extractible<'ex> for Caller {
    fn metadata() -> &'static Metadata {
        &NOTHING
    }

    #[allow(refining_impl_trait)]
    async fn extract(request: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, Failure> {
        Ok(authenticate(request, depot)?)
    }
}

impl EndpointArgRegister for Caller {
    fn register(_: &mut Components, operation: &mut Operation, _: &str) {
        operation.securities = Some(vec![with_token()]);
    }
}

fn with_token() -> SecurityRequirement {
    SecurityRequirement::new("bearer", Vec::<String>::new())
}

/// A caller who is an administrator. Whether that still holds is judged again where a write happens.
#[derive(Clone, Copy, Debug)]
pub struct Administrator(pub Caller);

impl<'ex> Extractible<'ex> for Administrator {
    fn metadata() -> &'static Metadata {
        &NOTHING
    }

    #[allow(refining_impl_trait)]
    async fn extract(request: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, Failure> {
        let caller = authenticate(request, depot)?;
        caller.require_admin()?;
        Ok(Self(caller))
    }
}

impl EndpointArgRegister for Administrator {
    fn register(components: &mut Components, operation: &mut Operation, arg: &str) {
        Caller::register(components, operation, arg);
    }
}

/// A caller whose address is confirmed.
#[derive(Clone, Copy, Debug)]
pub struct Confirmed(pub Caller);

impl<'ex> Extractible<'ex> for Confirmed {
    fn metadata() -> &'static Metadata {
        &NOTHING
    }

    #[allow(refining_impl_trait)]
    async fn extract(request: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, Failure> {
        Ok(Self(authenticate(request, depot)?.confirmed_only()?))
    }
}

impl EndpointArgRegister for Confirmed {
    fn register(components: &mut Components, operation: &mut Operation, arg: &str) {
        Caller::register(components, operation, arg);
    }
}

/// Who asks, if a good access token says so; a token that is no good makes a stranger.
#[derive(Clone, Copy, Debug)]
pub struct Anybody(pub Option<Caller>);

impl<'ex> Extractible<'ex> for Anybody {
    fn metadata() -> &'static Metadata {
        &NOTHING
    }

    #[allow(refining_impl_trait)]
    async fn extract(request: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, Failure> {
        Ok(Self(caller_if_any(request, app_of(depot)?)?))
    }
}

impl EndpointArgRegister for Anybody {
    fn register(_: &mut Components, operation: &mut Operation, _: &str) {
        operation.securities = Some(vec![SecurityRequirement::default(), with_token()]);
    }
}

/// A refresh token where an access token stands as a rule.
pub struct BearerRefresh(pub String);

impl<'ex> Extractible<'ex> for BearerRefresh {
    fn metadata() -> &'static Metadata {
        &NOTHING
    }

    #[allow(refining_impl_trait)]
    async fn extract(request: &'ex mut Request, _: &'ex mut Depot) -> Result<Self, Failure> {
        match bearer(request) {
            Ok(token) => Ok(Self(token.to_owned())),
            Err(Refusal::TokenInvalid) => Err(Refusal::RefreshInvalid.into()),
            Err(refused) => Err(refused.into()),
        }
    }
}

impl EndpointArgRegister for BearerRefresh {
    fn register(_: &mut Components, operation: &mut Operation, _: &str) {
        operation.securities = Some(vec![SecurityRequirement::new("refresh", Vec::<String>::new())]);
    }
}

/// Asks again who the caller is, if he was asked: a body may come long after the token, and a token that has
/// died meanwhile must not do what the body says.
pub(super) fn ask_again(request: &Request, depot: &Depot) -> Result<()> {
    if Seen::of(depot).is_some_and(|seen| seen.user_id().is_some()) {
        authenticate(request, depot)?;
    }
    Ok(())
}

fn authenticate(request: &Request, depot: &Depot) -> Result<Caller> {
    let token = bearer(request)?;
    let app = app_of(depot)?;
    let caller = app.auth.authenticate(&app.db, token)?;
    seen(depot)?.scope.set_actor(caller.id().0);
    Ok(caller)
}

/// Who asks, if a good access token says so, for what no answer depends on.
pub(super) fn caller_if_any(request: &Request, app: &App) -> Result<Option<Caller>> {
    let Ok(token) = bearer(request) else { return Ok(None) };
    match app.auth.authenticate(&app.db, token) {
        Ok(caller) => Ok(Some(caller)),
        Err(Error::Refusal(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1); the scheme's case does not count (RFC 9110 §11.1).
/// A token is taken from nowhere else. Two headers are no token: another reader might take the other one.
fn bearer(request: &Request) -> Result<&str, Refusal> {
    let mut headers = request.headers().get_all(AUTHORIZATION).iter();
    let header = headers.next().ok_or(Refusal::NotAuthenticated)?;
    if headers.next().is_some() {
        return Err(Refusal::TokenInvalid);
    }
    let parts = header.to_str().ok().and_then(|header| header.trim().split_once(' '));
    match parts.map(|(scheme, token)| (scheme, token.trim_start())) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => Ok(token),
        _ => Err(Refusal::NotAuthenticated),
    }
}

/// Who asks on a route of the directory of users. Where it is open to strangers, a token that is no good makes
/// one of them; elsewhere it is refused.
#[derive(Debug)]
pub struct Visitor(pub Option<Caller>);

impl<'ex> Extractible<'ex> for Visitor {
    fn metadata() -> &'static Metadata {
        &NOTHING
    }

    #[allow(refining_impl_trait)]
    async fn extract(request: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, Failure> {
        let directory = app_of(depot)?.config.users.directory;
        match authenticate(request, depot) {
            Ok(caller) => Ok(Self(Some(caller))),
            Err(Error::Refusal(_)) if directory == Directory::Public => Ok(Self(None)),
            Err(refused) => Err(refused.into()),
        }
    }
}

impl EndpointArgRegister for Visitor {
    fn register(_: &mut Components, operation: &mut Operation, _: &str) {
        operation.securities = Some(vec![SecurityRequirement::default(), with_token()]);
    }
}

/// The client's address: the connection's, or the last one that proxies tell of and no trusted proxy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub IpAddr);

impl<'ex> Extractible<'ex> for Address {
    fn metadata() -> &'static Metadata {
        &NOTHING
    }

    #[allow(refining_impl_trait)]
    async fn extract(_: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, Failure> {
        Ok(Self(address_of(depot)?))
    }
}

impl EndpointArgRegister for Address {
    fn register(_: &mut Components, _: &mut Operation, _: &str) {}
}

/// Where a request comes from, as [`Address`] has it; found out once.
pub(super) fn client_address(request: &Request, app: &App) -> IpAddr {
    let peer = match request.remote_addr() {
        salvo::conn::SocketAddr::IPv4(address) => IpAddr::V4(*address.ip()),
        salvo::conn::SocketAddr::IPv6(address) => address.ip().to_canonical(),
        _ => IpAddr::from([0, 0, 0, 0]),
    };
    forwarded::client(peer, request.headers(), &app.config.server)
}
