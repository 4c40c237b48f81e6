//! Large answers: pages and lists as they are written, and the room that they take until they have left.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use salvo::extract::Metadata;
use salvo::http::header::{HeaderValue, LINK};
use salvo::http::{ResBody, StatusCode};
use salvo::oapi::{
    Components, Content, EndpointArgRegister, EndpointOutRegister, Header, Operation, Response as Described,
    ToSchema,
};
use salvo::{Depot, Extractible, Request, Response, Writer, async_trait};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Semaphore;

use super::answer::{Failure, describe, json_bytes, next_link, put_bytes};
use super::extract::{NOTHING, Seen, address_of, app_of};
use super::input::schema;
use crate::budget::{Allotment, Budget};
use crate::error::{Error, Refusal, Result};
use crate::network::ClientNetwork;

/// An answer of so many bytes needs no room.
const SMALL_BYTES_MAX: usize = 64 * 1024;
/// A page with a cursor has at most so many bytes, or one row.
pub const PAGE_BYTES_MAX: usize = 512 * 1024;
/// All large answers that are being sent take at most so many bytes.
const ANSWERS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// So many rows are read before it is known whether they need room.
const FEW_ROWS: i64 = 20;

/// What large answers may take, all told. Clones share it.
#[derive(Clone, Debug)]
pub struct Answers {
    budget: Budget,
    /// Those that are compressed at one time: what a compressor needs besides is not counted.
    compressing: Arc<Semaphore>,
}

impl Answers {
    /// Nothing is taken yet; so many are compressed at one time.
    pub fn new(compressors: usize) -> Self {
        Self { budget: Budget::new(ANSWERS_BYTES_MAX), compressing: Arc::new(Semaphore::new(compressors)) }
    }
}

/// Leave to make an answer that may be large, for the client at hand.
#[derive(Debug)]
pub struct Room {
    budget: Budget,
    network: ClientNetwork,
}

impl<'ex> Extractible<'ex> for Room {
    fn metadata() -> &'static Metadata {
        &NOTHING
    }

    #[allow(refining_impl_trait)]
    async fn extract(_: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, Failure> {
        Ok(Self { budget: app_of(depot)?.answers.budget.clone(), network: address_of(depot)?.into() })
    }
}

impl EndpointArgRegister for Room {
    fn register(_: &mut Components, _: &mut Operation, _: &str) {}
}

impl Room {
    /// Takes room before so many rows are read, on the thread that is going to read and to write them: what waits for its turn
    /// there holds none, and what is held before the answer's length is known is bounded by the number of threads.
    ///
    /// # Errors
    /// `Busy` when there is none.
    pub fn take(self, rows: i64) -> Result<Taken> {
        let held = match rows {
            ..=FEW_ROWS => None,
            _ => Some(self.budget.take(self.network, PAGE_BYTES_MAX).ok_or(Refusal::BUSY)?),
        };
        Ok(Taken { room: self, held })
    }
}

/// Room for an answer whose length is not known yet.
#[derive(Debug)]
pub struct Taken {
    room: Room,
    held: Option<Allotment>,
}

impl Taken {
    /// Writes an answer and holds what it takes.
    ///
    /// # Errors
    /// `Busy` when that is more than there is.
    pub fn write<T: Serialize>(self, body: &T) -> Result<Large<T>> {
        Ok(Large { body: self.hold(json_bytes(body))?, of: PhantomData })
    }

    /// Holds what these bytes take, and gives back what they do not.
    ///
    /// # Errors
    /// `Busy` when that is more than there is.
    pub fn hold(self, bytes: Vec<u8>) -> Result<Body> {
        let length = bytes.len();
        let room = match self.held {
            _ if length <= SMALL_BYTES_MAX => None,
            None => Some(self.room.budget.take(self.room.network, length).ok_or(Refusal::BUSY)?),
            Some(mut held) => {
                held.shrink_to(length);
                if !held.grow(length.saturating_sub(PAGE_BYTES_MAX)) {
                    return Err(Refusal::BUSY.into());
                }
                Some(held)
            }
        };
        Ok(Body { bytes, room })
    }
}

/// The bytes of an answer, and the room that they take if they are many.
#[derive(Debug)]
pub struct Body {
    bytes: Vec<u8>,
    room: Option<Allotment>,
}

impl Body {
    /// Makes them the response's. The room stays with the request until [`hold`].
    pub fn put(self, depot: &mut Depot, response: &mut Response) {
        if let (Some(room), Ok(seen)) = (self.room, depot.get_typed_mut::<Seen>()) {
            seen.room = Some(room);
        }
        response.body(self.bytes);
    }

    fn put_json(self, depot: &mut Depot, response: &mut Response) {
        put_bytes(response, StatusCode::OK, Vec::new());
        self.put(depot, response);
    }
}

/// Binds the room of a large answer to the bytes that leave, compressed or not. hyper keeps them until the system has taken
/// the last one; of a body it would soon have nothing left but its bytes.
pub(super) async fn hold(answers: &Answers, depot: &mut Depot, response: &mut Response) -> Result<()> {
    let is_small = match &response.body {
        ResBody::None => true,
        ResBody::Once(bytes) => bytes.len() <= SMALL_BYTES_MAX,
        _ => false,
    };
    if is_small {
        return Ok(());
    }
    let Some(mut room) = depot.get_typed_mut::<Seen>().ok().and_then(|seen| seen.room.take()) else {
        return Ok(());
    };
    let bytes = match response.take_body() {
        ResBody::Once(bytes) => bytes,
        compressed => {
            let _turn = answers.compressing.acquire().await;
            collect(compressed).await?
        }
    };
    room.shrink_to(bytes.len());
    response.body(Bytes::from_owner(Held { bytes, _room: room }));
    Ok(())
}

/// The whole of a body, in no more memory than it needs: a compressor leaves buffers that are larger.
async fn collect(mut body: ResBody) -> Result<Bytes> {
    let mut whole = Vec::new();
    while let Some(frame) = body.next().await {
        let frame = frame.map_err(|error| Error::fault(format!("compressing an answer: {error}")))?;
        if let Ok(bytes) = frame.into_data() {
            whole.extend_from_slice(&bytes);
        }
    }
    whole.shrink_to_fit();
    Ok(whole.into())
}

/// Bytes that hold room.
struct Held {
    bytes: Bytes,
    _room: Allotment,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// 200 with a JSON body that may be large, written already.
#[derive(Debug)]
pub struct Large<T> {
    body: Body,
    of: PhantomData<fn() -> T>,
}

/// 200 with a list that may go on: the next page's address is in `Link` (RFC 8288). It is written already.
#[derive(Debug)]
pub struct Page<T> {
    body: Body,
    next: Option<String>,
    of: PhantomData<fn() -> T>,
}

impl<T> Page<T> {
    /// A page with these bytes, and the cursor of the next one, when there is one.
    pub fn new(body: Body, next: Option<String>) -> Self {
        Self { body, next, of: PhantomData }
    }
}

#[async_trait]
impl<T> Writer for Large<T> {
    async fn write(self, _: &mut Request, depot: &mut Depot, response: &mut Response) {
        self.body.put_json(depot, response);
    }
}

#[async_trait]
impl<T> Writer for Page<T> {
    async fn write(self, request: &mut Request, depot: &mut Depot, response: &mut Response) {
        if let Some(next) = self.next {
            let link = next_link(request, &next);
            if let Ok(link) = HeaderValue::try_from(link) {
                // One header more than the others have, and it would have to grow.
                response.headers_mut().reserve(HEADERS);
                response.headers_mut().insert(LINK, link);
            }
        }
        self.body.put_json(depot, response);
    }
}

/// Headers of an answer that has a `Link`.
const HEADERS: usize = 7;

impl<T: ToSchema + 'static> EndpointOutRegister for Page<T> {
    fn register(components: &mut Components, operation: &mut Operation) {
        let header = Header::new(schema(json!({
            "type": "string", "examples": ["</api/v1.0/books/?limit=20&cursor=AAAAAAAAAGQ>; rel=\"next\""],
        })))
        .description("`<…>; rel=\"next\"`: the address of the next page, if there is one (RFC 8288).");
        operation.responses.insert(
            "200",
            Described::new("A page of the list. It ends early at 512 KiB.")
                .add_content("application/json", Content::new(T::to_schema(components)))
                .add_header("Link", header),
        );
    }
}

impl<T: ToSchema + 'static> EndpointOutRegister for Large<T> {
    fn register(components: &mut Components, operation: &mut Operation) {
        describe::<T>("200", "The request succeeded.", components, operation);
    }
}
