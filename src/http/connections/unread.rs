//! Unread: what becomes of a body that is answered before it was read to its end.
//!
//! A client that is still sending looks for no answer yet, and if the connection were closed on it, the system would reset the
//! connection and the answer would be lost (RFC 9112 §9.6). So the rest is received and thrown away, and the connection goes
//! on. If the rest is too much for that, or may be, the answer says `Connection: close`, and the stream lingers.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use salvo::BoxedError;
use salvo::http::header::EXPECT;
use salvo::http::{ReqBody, Version};
use salvo::hyper;
use salvo::hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::time::timeout;

use super::{Connection, Patience};

/// A client that sends nothing for so long has stopped.
const PAUSE: Duration = Duration::from_millis(250);

/// Makes the body of a request tell its connection when it is dropped unread.
pub(super) fn watch(
    request: hyper::Request<Incoming>,
    connection: &Arc<Connection>,
    discard_bytes_max: u64,
) -> hyper::Request<ReqBody> {
    if request.body().is_end_stream() {
        return request.map(ReqBody::from);
    }
    let waits_for_consent = request.version() == Version::HTTP_11 && request.headers().contains_key(EXPECT);
    let connection = Arc::clone(connection);
    request.map(|incoming| ReqBody::Boxed {
        inner: Box::pin(Body { incoming: Some(incoming), waits_for_consent, discard_bytes_max, connection }),
        fuse_config: None,
    })
}

/// A body that is not empty.
struct Body {
    /// `None` once it has ended.
    incoming: Option<Incoming>,
    /// Whether the client asks before it sends (RFC 9110 §10.1.1) and has no answer yet: hyper gives it when it is first read.
    waits_for_consent: bool,
    discard_bytes_max: u64,
    connection: Arc<Connection>,
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BoxedError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxedError>>> {
        self.waits_for_consent = false;
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.incoming = None;
        }
        if matches!(frame, Some(Err(_))) {
            // What follows cannot be told from what was broken.
            self.connection.leaves(None);
        }
        Poll::Ready(frame.map(|frame| Ok(frame?)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take().filter(|incoming| !incoming.is_end_stream()) else {
            return;
        };
        let is_too_much = incoming.size_hint().exact().is_some_and(|bytes| bytes > self.discard_bytes_max);
        // Whoever waits for consent and gets an answer may send the body or leave it out: what follows could be either.
        let rest = (!self.waits_for_consent).then_some(Rest { incoming, is_too_much });
        self.connection.leaves(rest);
    }
}

/// What is still to come of a body that nobody reads.
#[derive(Debug)]
pub(super) struct Rest {
    incoming: Incoming,
    /// Whether the connection ends with it.
    pub(super) is_too_much: bool,
}

impl Rest {
    /// Whether the client has told how long it is.
    pub(super) fn has_length(&self) -> bool {
        self.incoming.size_hint().exact().is_some()
    }

    /// Receives it and throws it away; whether it has ended within its bounds. Of one that is too much, what the client sends
    /// without a pause: some take an answer for lost if the end of the stream comes while they are sending.
    pub(super) async fn discard(self, bytes_max: u64, patience: Patience) -> bool {
        let Self { mut incoming, is_too_much } = self;
        let (bytes_max, whole, pause) = match is_too_much {
            true => (u64::MAX, patience.linger, PAUSE),
            false => (bytes_max, patience.discard, patience.discard),
        };
        let receive = async {
            let mut bytes = 0;
            // hyper tells the end by itself only when it has the next request.
            while !incoming.is_end_stream() {
                let frame = timeout(pause, poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx))).await;
                let Ok(frame) = frame else { return false };
                match frame {
                    None => return true,
                    Some(Err(_)) => return false,
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len) as u64,
                }
                if bytes > bytes_max {
                    return false;
                }
            }
            true
        };
        timeout(whole, receive).await.unwrap_or(false)
    }
}
