//! Forms: bodies that are URL-encoded or multipart, or JSON as well, and uploads.

use std::convert::Infallible;

use bytes::Bytes;
use salvo::Request;
use salvo::http::HeaderMap;
use salvo::http::header::CONTENT_TYPE;
use salvo::oapi::{Components, Operation};
use serde_json::Value;

use super::body::receive;
use super::input::{Fields, Input, Json, Parts, describe_body, media_type, read_fields, values};
use super::rules::File;
use super::validate::{Broken, Invalid};
use crate::app::App;
use crate::error::{Refusal, Result};

/// The media type of a form without files (WHATWG URL §5).
pub const URL_ENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";
/// What stands around a file in a multipart body, in bytes, at most.
const AROUND_FILE_BYTES_MAX: usize = 64 * 1024;

/// A form body, URL-encoded or multipart.
pub struct Form<T>(pub T);

impl<T: Input + Send> Parts for Form<T> {
    const IS_BODY: bool = true;

    async fn read(request: &mut Request, app: &App, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let body = receive(request, app, app.config.server.body_max_bytes).await?;
        let mut values = values::<T>();
        match media_type(request.headers()).as_deref() {
            Some(URL_ENCODED) => values.read_pairs(&body),
            // One that is no UTF-8 becomes null, which no rule takes.
            Some(MULTIPART) => {
                multipart(request.headers(), body, |name, _, bytes| {
                    if let Some(number) = values.number(name) {
                        let text = String::from_utf8(bytes.into());
                        values.set(number, text.map_or(Value::Null, Value::from));
                    }
                })
                .await?
            }
            _ => {}
        }
        // A form cannot say null: a field left empty was not filled in.
        values.drop_empty();
        Ok(read_fields("body", &values, false, app, faults).map(Self))
    }

    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        let what = "A form; `multipart/form-data` is taken as well. A field left empty counts as missing.";
        let mut faults = describe_body::<T>(what, URL_ENCODED, components, operation);
        // As in `Fields::required`: of a form nothing is shown where a field is missing.
        faults.iter_mut().for_each(|fault| fault.input = Value::Null);
        faults
    }
}

/// A JSON body, or a form that a page sends.
pub struct JsonOrForm<T>(pub T);

impl<T: Input + Send> Parts for JsonOrForm<T> {
    const IS_BODY: bool = true;

    async fn read(request: &mut Request, app: &App, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        match media_type(request.headers()).as_deref() {
            Some(URL_ENCODED | MULTIPART) => {
                Ok(Form::read(request, app, faults).await?.map(|Form(given)| Self(given)))
            }
            _ => Ok(Json::read(request, app, faults).await?.map(|Json(given)| Self(given))),
        }
    }

    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        let what = "A JSON object; a form is taken as well. Fields that are not listed are ignored.";
        describe_body::<T>(what, "application/json", components, operation)
    }
}

/// The file `file` of a multipart body, of at most `BYTES_MAX` bytes.
pub struct Upload<const BYTES_MAX: usize>(pub Bytes);

/// The form of an [`Upload`], for the document.
struct FileUpload;

impl Input for FileUpload {
    const ABOUT: &'static str = "A form with one file.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.required("file", File).map(|()| Self)
    }
}

impl<const BYTES_MAX: usize> Parts for Upload<BYTES_MAX> {
    const IS_BODY: bool = true;

    async fn read(request: &mut Request, app: &App, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let body = receive(request, app, BYTES_MAX + AROUND_FILE_BYTES_MAX).await?;
        let mut file = None;
        if media_type(request.headers()).as_deref() == Some(MULTIPART) {
            let mut take = |name: &str, file_name: Option<&str>, bytes: Bytes| {
                // What a page sends where no file was chosen.
                let is_none = bytes.is_empty() && file_name == Some("");
                if name == "file" && !is_none && file.is_none() {
                    file = Some(bytes);
                }
            };
            multipart(request.headers(), body, &mut take).await?;
        }
        if file.is_none() {
            faults.push(Broken::missing().at(vec!["body".into(), "file".into()], Value::Null));
        }
        if file.as_ref().is_some_and(|bytes| bytes.len() > BYTES_MAX) {
            return Err(Refusal::BodyTooLarge.into());
        }
        Ok(file.map(Self))
    }

    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        let what = "A multipart form with the file in its field `file`. The file's name and declared type do not count.";
        let mut faults = describe_body::<FileUpload>(what, MULTIPART, components, operation);
        faults.iter_mut().for_each(|fault| fault.input = Value::Null);
        faults
    }
}

/// Gives the fields of a multipart form (RFC 7578) in their order, each with the name of its file, if it has one.
async fn multipart(
    headers: &HeaderMap,
    body: Bytes,
    mut take: impl FnMut(&str, Option<&str>, Bytes),
) -> Result<()> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(content_type).map_err(|_| Refusal::BodyUnreadable)?;
    let whole = futures_util::stream::iter([Ok::<_, Infallible>(body)]);
    let mut parts = multer::Multipart::new(whole, boundary);
    while let Some(field) = parts.next_field().await.map_err(|_| Refusal::BodyUnreadable)? {
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let bytes = field.bytes().await.map_err(|_| Refusal::BodyUnreadable)?;
        take(&name, file_name.as_deref(), bytes);
    }
    Ok(())
}
