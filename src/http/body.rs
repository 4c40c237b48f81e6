//! Body: receives a body as it arrives, within its limit. All bodies that are there at one time share a budget.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use salvo::Request;
use salvo::http::ReqBody;
use salvo::http::header::CONTENT_LENGTH;

use super::extract::client_address;
use crate::app::App;
use crate::budget::Allotment;
use crate::error::{Error, Refusal, Result};

/// All bodies that are there at one time take at most so many bytes, but for small ones.
pub const ROOM_BYTES: usize = 64 * 1024 * 1024;
/// A body of so many bytes is small: for it there is always room.
const SMALL_BYTES_MAX: usize = 8 * 1024;

/// The whole body, of at most so many bytes. Its room is held until the request has been answered.
pub(super) async fn receive(request: &mut Request, app: &App, max_bytes: usize) -> Result<Bytes> {
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > max_bytes) {
        return Err(Refusal::BodyTooLarge.into());
    }
    let mut body = request.take_body();
    let Some(mut piece) = next(&mut body).await? else { return Ok(Bytes::new()) };
    if announced == Some(piece.len()) && piece.len() <= SMALL_BYTES_MAX {
        return Ok(piece);
    }
    let mut whole = Vec::new();
    let mut held: Option<Allotment> = None;
    loop {
        let length = whole.len() + piece.len();
        if length > max_bytes {
            return Err(Refusal::BodyTooLarge.into());
        }
        if length > whole.capacity() {
            let doubled = (2 * whole.capacity()).max(SMALL_BYTES_MAX).min(announced.unwrap_or(max_bytes));
            let capacity = doubled.max(length);
            match &mut held {
                None => held = room(request, app, capacity)?,
                Some(held) => {
                    if !held.grow(capacity - whole.capacity()) {
                        return Err(Refusal::BUSY.into());
                    }
                }
            }
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&piece);
        match next(&mut body).await? {
            Some(next) => piece = next,
            None => break,
        }
    }
    if let Some(held) = held {
        request.extensions_mut().insert(Arc::new(held));
    }
    Ok(whole.into())
}

/// Room for so many bytes that are made of a request's body; small ones need none.
pub(super) fn room(request: &Request, app: &App, bytes: usize) -> Result<Option<Allotment>> {
    if bytes <= SMALL_BYTES_MAX {
        return Ok(None);
    }
    let room = app.body_room.take(client_address(request, app).into(), bytes);
    Ok(Some(room.ok_or(Refusal::BUSY)?))
}

/// What comes next of a body; `None` at its end. Trailers are ignored.
async fn next(body: &mut ReqBody) -> Result<Option<Bytes>> {
    while let Some(frame) = body.try_next().await.map_err(|_| Error::from(Refusal::BodyUnreadable))? {
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}
