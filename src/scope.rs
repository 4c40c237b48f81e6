//! Scope: the request that something is done for, so that each line of the log about it says which one, by whom and
//! from where. It is there in the request's task, and in whatever the task has the database write.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::network::ClientNetwork;

tokio::task_local! {
    static CURRENT: Scope;
}

/// The request at hand. Clones share it.
#[derive(Clone, Debug)]
pub struct Scope(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request_id: String,
    network: ClientNetwork,
    address: Option<IpAddr>,
    /// 0 before somebody is known to ask.
    actor: AtomicI64,
}

impl Scope {
    /// A request with this id, from a client of this network; its address as far as the log may have it.
    pub fn new(request_id: String, network: ClientNetwork, address: Option<IpAddr>) -> Self {
        Self(Arc::new(Inner { request_id, network, address, actor: AtomicI64::new(0) }))
    }

    /// The request's id.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// What the client is counted by.
    pub fn network(&self) -> ClientNetwork {
        self.0.network
    }

    /// The client's address as far as the log may have it.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// The number of the user who asks, once it is known.
    pub fn actor(&self) -> Option<i64> {
        Some(self.0.actor.load(Ordering::Relaxed)).filter(|actor| *actor != 0)
    }

    /// Says who asks.
    pub fn set_actor(&self, user: i64) {
        self.0.actor.store(user, Ordering::Relaxed);
    }

    /// Runs a future for this request.
    pub async fn run<T>(self, f: impl Future<Output = T>) -> T {
        CURRENT.scope(self, f).await
    }
}

/// The request that this is done for.
pub fn current() -> Option<Scope> {
    CURRENT.try_with(Scope::clone).ok()
}

/// Does something for a request on another thread; for none as it is.
pub fn within<T>(scope: Option<&Scope>, f: impl FnOnce() -> T) -> T {
    match scope {
        Some(scope) => CURRENT.sync_scope(scope.clone(), f),
        None => f(),
    }
}

/// Logs what happened to whom, and with it the request, its actor and where it came from: `audit!(info, user.id = 7,
/// "signed out")`. What a transaction does is logged by `Write::after_commit`.
#[macro_export]
macro_rules! audit {
    ($level:ident, $($entry:tt)*) => {{
        let scope = $crate::scope::current();
        ::tracing::$level!(
            request.id = scope.as_ref().map($crate::scope::Scope::request_id),
            actor.id = scope.as_ref().and_then($crate::scope::Scope::actor),
            client.address = scope.as_ref().and_then($crate::scope::Scope::address).map(::tracing::field::display),
            $($entry)*
        )
    }};
}
