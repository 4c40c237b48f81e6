//! Stream: the bytes of a connection, which it counts, and the end of it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::Connection;

/// Of what a client sends while a connection lingers, so many bytes are thrown away at a time.
const SCRAP_BYTES: usize = 16 * 1024;

/// A stream that leaves behind what moves, and is closed by halves while the client is sending.
pub(super) struct Watched {
    pub(super) stream: TcpStream,
    connection: Arc<Connection>,
    /// How long it goes on being read after it was closed for writing.
    linger: Duration,
    lingers_until: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, connection: &Arc<Connection>, linger: Duration) -> Self {
        Self { stream, connection: Arc::clone(connection), linger, lingers_until: None }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.connection.has_read();
        }
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.connection.has_written(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.connection.has_written(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Closes for writing; then throws away what comes, until the client has closed, too, or has had its time: with bytes unread,
    /// the system would reset the connection, and the client might lose the answer (RFC 9112 §9.6).
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, connection, linger, lingers_until } = &mut *self;
        if lingers_until.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            if !connection.is_being_sent() {
                return Poll::Ready(Ok(()));
            }
        }
        let until = lingers_until.get_or_insert_with(|| Box::pin(sleep(*linger)));
        let mut scrap = [MaybeUninit::uninit(); SCRAP_BYTES];
        while until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::uninit(&mut scrap);
            let outcome = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            if outcome.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
