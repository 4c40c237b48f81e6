//! Connections: who is let in, what is seen of each, and when one that holds the server up is ended.
//!
//! The loop that accepts is the house's own: what salvo lets a policy see of a connection are bytes, not where a head ends and
//! an answer begins.

mod stream;
mod unread;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use salvo::Service;
use salvo::conn::{ConnCtrl, http1};
use salvo::http::header::{CONNECTION, HeaderValue};
use salvo::http::uri::Scheme;
use salvo::http::{ReqBody, ResBody};
use salvo::hyper;
use salvo::hyper::body::Incoming;
use salvo::rt::tokio::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, Sleep, interval, sleep, timeout};

use self::stream::Watched;
use self::unread::Rest;
use crate::config::{Networks, Server};
use crate::domain::pictures::UPLOAD_BYTES_MAX;
use crate::error::Result;
use crate::network::ClientNetwork;

/// Longest request head, in bytes: request line and headers.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What the system is to keep of an answer that the client has not acknowledged, in bytes. Linux takes twice as much, and says
/// that there is room again when a third of it is free: a client that takes that in the time of a stall is not one.
const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// While bytes of an answer wait, so many must move in the time that a stall may take.
const MOVES_BYTES_MIN: u64 = 8 * 1024;
/// How long accepting rests after it failed: without descriptors it would fail at once again.
const REST: Duration = Duration::from_millis(10);
/// What is said to a client whose head takes too long.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How long a connection may stay as it is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// From an answer to the next request, and from the beginning to the first one.
    pub idle: Duration,
    /// While bytes of an answer wait and fewer than 8 KiB move.
    pub stall: Duration,
    /// For the rest of a body that was answered before it was read.
    pub discard: Duration,
    /// From such an answer to the end of a body whose length nobody has told; then the answer leaves, and the connection ends with it.
    pub settle: Duration,
    /// From the end of what is said to a client that is still sending to the end of the connection.
    pub linger: Duration,
}

/// How many connections there may be, and for how long.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Open at one time.
    pub max: usize,
    /// Of them, from one client network.
    pub max_per_network: usize,
    /// Peers that may have as many as there are: they bring the requests of others.
    pub proxies: Networks,
    /// Of a body that was answered before it was read, so many bytes are received before the connection is closed.
    pub discard_bytes_max: u64,
    /// When one is ended.
    pub patience: Patience,
}

impl Rules {
    /// What the settings say.
    pub fn of(server: &Server) -> Self {
        Self {
            max: server.max_connections,
            max_per_network: server.connections_per_address(),
            proxies: server.trusted_proxies.clone(),
            discard_bytes_max: 2 * server.body_max_bytes.max(UPLOAD_BYTES_MAX) as u64,
            patience: Patience {
                head: Duration::from_secs(30),
                idle: server.keep_alive(),
                stall: Duration::from_secs(30),
                discard: Duration::from_secs(10),
                settle: Duration::from_millis(100),
                linger: Duration::from_secs(2),
            },
        }
    }
}

/// The connections of a server. Clones share them.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rules: Rules,
    open: Mutex<Vec<(Weak<Connection>, Record)>>,
    by_network: Mutex<HashMap<ClientNetwork, usize>>,
    closing: Notify,
}

/// Accepts on `listener` from now on: small answers leave at once, large ones wait here and not in the system.
///
/// # Errors
/// A fault when the system does not take an option.
pub fn prepare(listener: &TcpListener) -> Result<()> {
    // Linux hands both on to accepted connections. No answer waits for the client's acknowledgement of the one before.
    rustix::net::sockopt::set_tcp_nodelay(listener, true).map_err(anyhow::Error::from)?;
    rustix::net::sockopt::set_socket_send_buffer_size(listener, SEND_BUFFER_BYTES)
        .map_err(anyhow::Error::from)?;
    Ok(())
}

impl Connections {
    /// None yet.
    pub fn new(rules: Rules) -> Self {
        let (open, by_network, closing) = Default::default();
        Self(Arc::new(Shared { rules, open, by_network, closing }))
    }

    /// Accepts on all of these and serves until [`Connections::close`]; then finishes the requests in flight, for as long as `finish` at most.
    pub async fn serve(&self, listeners: Vec<TcpListener>, service: Service, finish: Duration) {
        let mut tasks = JoinSet::new();
        tokio::select! {
            () = self.accept(listeners, &service, &mut tasks) => {}
            never = self.sweep() => match never {},
        }
        for (connection, _) in self.open().drain(..) {
            if let Some(connection) = connection.upgrade() {
                connection.tell(Order::Finish);
            }
        }
        let finished = timeout(finish, async { while tasks.join_next().await.is_some() {} }).await;
        if finished.is_err() {
            tracing::warn!(connections = tasks.len(), "requests that were not finished in time are cut off");
            tasks.shutdown().await;
        }
    }

    /// Nobody is let in any more.
    pub fn close(&self) {
        self.0.closing.notify_one();
    }

    async fn accept(&self, listeners: Vec<TcpListener>, service: &Service, tasks: &mut JoinSet<()>) {
        let places = Arc::new(Semaphore::new(self.0.rules.max));
        loop {
            while let Some(ended) = tasks.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection ended early");
                }
            }
            let place = tokio::select! {
                biased;
                () = self.0.closing.notified() => return,
                place = Arc::clone(&places).acquire_owned() => place.expect("it is never closed"),
            };
            let accepted = tokio::select! {
                // Whoever is there already is let in.
                biased;
                accepted = next(&listeners) => accepted,
                () = self.0.closing.notified() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::error!(%error, "a connection could not be accepted");
                    sleep(REST).await;
                    continue;
                }
            };
            // Dropped, it is closed.
            let Some(share) = self.admit(peer.ip()) else { continue };
            let serving = self.connect(stream, peer, service);
            tasks.spawn(async move {
                serving.await;
                drop((share, place));
            });
        }
    }

    /// A place for this peer; `None` when its network has its share already.
    fn admit(&self, peer: IpAddr) -> Option<Share> {
        if self.0.rules.proxies.contains(peer.to_canonical()) {
            return Some(Share(None));
        }
        let network = ClientNetwork::from(peer);
        let mut by_network = self.by_network();
        let open = by_network.entry(network).or_default();
        if *open >= self.0.rules.max_per_network {
            return None;
        }
        *open += 1;
        Some(Share(Some((self.clone(), network))))
    }

    /// Serves one connection to its end.
    fn connect(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        service: &Service,
    ) -> impl Future<Output = ()> + Send + use<> {
        let connection = Arc::new(Connection::default());
        self.open().push((Arc::downgrade(&connection), Record::new(Instant::now())));
        let local = stream.local_addr().unwrap_or(peer);
        let handler =
            service.hyper_handler(local.into(), peer.into(), Scheme::HTTP, None, ConnCtrl::new(), None);
        let Rules { discard_bytes_max, patience, .. } = self.0.rules;
        let stream = TokioIo::new(Watched::new(stream, &connection, patience.linger));
        let service = Noting {
            inner: handler,
            connection: Arc::clone(&connection),
            discard_bytes_max,
            settle: patience.settle,
        };
        // The sweeper's times hold, not hyper's, whose time for a head begins with the wait for it.
        let serving = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(stream, service);
        drive(serving, connection, discard_bytes_max, patience)
    }

    /// Looks at every connection again and again, and ends those that have had their time.
    async fn sweep(&self) -> Infallible {
        let patience = self.0.rules.patience;
        let shortest = patience.head.min(patience.idle).min(patience.stall);
        let mut ticks = interval((shortest / 8).clamp(Duration::from_millis(1), Duration::from_secs(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = ticks.tick().await;
            self.open().retain_mut(|(connection, record)| {
                let Some(connection) = connection.upgrade() else { return false };
                if let Some(order) = record.judge(connection.look(), now, &patience) {
                    connection.tell(order);
                }
                true
            });
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<(Weak<Connection>, Record)>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_network(&self) -> MutexGuard<'_, HashMap<ClientNetwork, usize>> {
        self.0.by_network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next connection on any of these. The first is looked at first, so whoever floods it delays the others; they are the same
/// machine's.
async fn next(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|cx| {
        let ready = listeners.iter().map(|listener| listener.poll_accept(cx)).find(Poll::is_ready);
        ready.unwrap_or(Poll::Pending)
    })
    .await
}

/// One of the places that a network may have; given back when it is dropped.
struct Share(Option<(Connections, ClientNetwork)>);

impl Drop for Share {
    fn drop(&mut self) {
        let Some((connections, network)) = &self.0 else { return };
        let mut by_network = connections.by_network();
        if let Some(open) = by_network.get_mut(network) {
            *open -= 1;
            if *open == 0 {
                by_network.remove(network);
            }
        }
    }
}

type Serving<S> = http1::Connection<TokioIo<Watched>, Noting<S>>;

/// Runs a connection until it ends or is told to, and receives what its requests leave unread.
async fn drive<S>(
    mut serving: Serving<S>,
    connection: Arc<Connection>,
    discard_bytes_max: u64,
    patience: Patience,
) where
    S: hyper::service::Service<
            hyper::Request<ReqBody>,
            Response = hyper::Response<ResBody>,
            Error = hyper::Error,
        >,
    S::Future: Unpin,
{
    let mut discarding = None;
    loop {
        tokio::select! {
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = connection.told.notified() => {}
            has_ended = async { discarding.as_mut().expect("there is one").await }, if discarding.is_some() => {
                discarding = None;
                match has_ended {
                    true => connection.has_discarded(),
                    false => Pin::new(&mut serving).graceful_shutdown(),
                }
                continue;
            }
        }
        if let Some(rest) = connection.rest().take() {
            discarding = Some(Box::pin(rest.discard(discard_bytes_max, patience)));
        }
        match connection.order() {
            None => {}
            Some(Order::Finish) => {
                discarding = None;
                Pin::new(&mut serving).graceful_shutdown();
            }
            Some(Order::Refuse) => {
                // Whether it arrives is the client's affair.
                let _ = serving.into_parts().io.into_inner().stream.try_write(TOO_SLOW);
                return;
            }
            Some(Order::Abort) => return,
        }
    }
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// To end as soon as no request is in flight.
    Finish,
    /// To be told that its head took too long, and end.
    Refuse,
    /// To end at once.
    Abort,
}

/// What the stream and the service of a connection leave behind for the sweeper.
#[derive(Debug, Default)]
struct Connection {
    /// Requests whose head was complete.
    requests: AtomicU64,
    /// Whether one of them is being answered.
    is_busy: AtomicBool,
    /// Whether bytes have come that belong to the next head.
    has_begun: AtomicBool,
    /// Bytes that the system has taken.
    written: AtomicU64,
    /// Whether more wait until it takes them.
    waits: AtomicBool,
    /// Whether a body has been left unread, and its end has not come.
    is_unread: AtomicBool,
    /// Whether nobody has told how long it is.
    is_endless: AtomicBool,
    /// Whether the connection ends with the answer for that.
    closes: AtomicBool,
    /// What is to be received of a body and thrown away.
    rest: Mutex<Option<Rest>>,
    order: Mutex<Option<Order>>,
    told: Notify,
}

impl Connection {
    fn look(&self) -> Look {
        let phase = if self.waits.load(Relaxed) {
            Phase::Sending
        } else if self.is_busy.load(Relaxed) || self.is_unread.load(Relaxed) {
            Phase::Working
        } else if self.has_begun.load(Relaxed) {
            Phase::Beginning
        } else {
            Phase::Idle
        };
        Look { phase, requests: self.requests.load(Relaxed), written: self.written.load(Relaxed) }
    }

    fn tell(&self, order: Order) {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = Some(order);
        self.told.notify_one();
    }

    fn order(&self) -> Option<Order> {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self) -> MutexGuard<'_, Option<Rest>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A body was dropped before its end; of one that is not to come there is no rest.
    fn leaves(&self, rest: Option<Rest>) {
        // A connection that is to end does so at once.
        let rest = rest.filter(|_| self.order().is_none());
        self.is_unread.store(true, Relaxed);
        self.closes.store(rest.as_ref().is_none_or(|rest| rest.is_too_much), Relaxed);
        self.is_endless.store(rest.as_ref().is_some_and(|rest| !rest.has_length()), Relaxed);
        *self.rest() = rest;
        self.told.notify_one();
    }

    /// The rest of a body that was left has been received; that of the next one may be waiting already.
    fn has_discarded(&self) {
        if self.rest().is_none() {
            self.is_unread.store(false, Relaxed);
        }
    }

    /// Some bytes were read. Those of a body and those that come while an answer is made begin no head: when the answer has
    /// gone, the next bytes do.
    fn has_read(&self) {
        if !self.is_busy.load(Relaxed) && !self.is_unread.load(Relaxed) {
            self.has_begun.store(true, Relaxed);
        }
    }

    /// Whether the client may be sending what nobody reads: the rest of a body, or of a head that is none.
    fn is_being_sent(&self) -> bool {
        self.is_unread.load(Relaxed) || self.has_begun.load(Relaxed)
    }

    fn has_head(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.is_busy.store(true, Relaxed);
        self.has_begun.store(false, Relaxed);
    }

    fn has_written(&self, outcome: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = outcome {
            self.written.fetch_add(*bytes as u64, Relaxed);
        }
        self.waits.store(outcome.is_pending(), Relaxed);
    }
}

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing: the next request has not begun.
    Idle,
    /// A head is coming in.
    Beginning,
    /// A request is being answered, or the rest of its body received; that has its own time limit.
    Working,
    /// Bytes of an answer wait for the client to take others.
    Sending,
}

/// What the sweeper sees of a connection.
#[derive(Clone, Copy, Debug)]
struct Look {
    phase: Phase,
    requests: u64,
    written: u64,
}

/// What the sweeper remembers of a connection: since when it has not moved on, and what it was then.
#[derive(Debug)]
struct Record {
    since: Instant,
    was: Look,
}

impl Record {
    fn new(now: Instant) -> Self {
        Self { since: now, was: Look { phase: Phase::Idle, requests: 0, written: 0 } }
    }

    /// What is to become of a connection that looks like this now.
    fn judge(&mut self, is: Look, now: Instant, patience: &Patience) -> Option<Order> {
        let has_moved = is.phase == Phase::Sending && is.written - self.was.written >= MOVES_BYTES_MIN;
        if is.phase != self.was.phase || is.requests != self.was.requests || has_moved {
            *self = Self { since: now, was: is };
            return None;
        }
        let (limit, order) = match is.phase {
            Phase::Idle => (patience.idle, Order::Finish),
            Phase::Beginning => (patience.head, Order::Refuse),
            Phase::Working => return None,
            Phase::Sending => (patience.stall, Order::Abort),
        };
        (now - self.since >= limit).then_some(order)
    }
}

/// A service that leaves behind when a request begins, when its answer is there, and what stays unread.
struct Noting<S> {
    inner: S,
    connection: Arc<Connection>,
    discard_bytes_max: u64,
    settle: Duration,
}

impl<S> hyper::service::Service<hyper::Request<Incoming>> for Noting<S>
where
    S: hyper::service::Service<
            hyper::Request<ReqBody>,
            Response = hyper::Response<ResBody>,
            Error = hyper::Error,
        >,
    S::Future: Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        self.connection.has_head();
        let request = unread::watch(request, &self.connection, self.discard_bytes_max);
        let connection = Arc::clone(&self.connection);
        Answering { inner: self.inner.call(request), connection, settle: self.settle, held: None }
    }
}

type Answer = std::result::Result<hyper::Response<ResBody>, hyper::Error>;

struct Answering<F> {
    inner: F,
    connection: Arc<Connection>,
    settle: Duration,
    /// An answer that waits for the end of the body, and until when.
    held: Option<(Answer, Pin<Box<Sleep>>)>,
}

impl<F: Future<Output = Answer> + Unpin> Future for Answering<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let (mut answer, until) = match self.held.take() {
            Some((answer, until)) => (answer, Some(until)),
            None => (ready!(Pin::new(&mut self.inner).poll(cx)), None),
        };
        if self.connection.is_unread.load(Relaxed) && self.connection.is_endless.load(Relaxed) {
            let mut until = until.unwrap_or_else(|| Box::pin(sleep(self.settle)));
            if until.as_mut().poll(cx).is_pending() {
                self.held = Some((answer, until));
                return Poll::Pending;
            }
            self.connection.closes.store(true, Relaxed);
        }
        if self.connection.closes.load(Relaxed)
            && let Ok(answer) = &mut answer
        {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.connection.is_busy.store(false, Relaxed);
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests;
