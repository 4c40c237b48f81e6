//! Forms: bodies that are URL-encoded or multipart, or JSON as well, and uploads.

use std::convert::Infallible;

use bytes::Bytes;
use salvo::Request;
use salvo::http::HeaderMap;
use salvo::http::header::CONTENT_TYPE;
use salvo::oapi::{Components, Operation};
use serde_json::{Map, Value};

use super::input::{Fields, Input, Json, Limits, Parts, body, describe_body, media_type, pairs, read_fields};
use super::rules::File;
use super::validate::{Broken, Invalid};
use crate::error::{Refusal, Result};

const URL_ENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";
/// What stands around a file in a multipart body, in bytes, at most.
const AROUND_FILE_BYTES_MAX: usize = 64 * 1024;

/// A form body, URL-encoded or multipart.
pub struct Form<T>(pub T);

impl<T: Input + Send> Parts for Form<T> {
    const IS_BODY: bool = true;

    async fn read(request: &mut Request, limits: &Limits, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let body = body(request, limits, limits.body_max_bytes).await?;
        let mut values = match media_type(request.headers()).as_deref() {
            Some(URL_ENCODED) => pairs(&body),
            Some(MULTIPART) => texts(multipart(request.headers(), body).await?),
            _ => Map::new(),
        };
        // A form cannot say null: a field left empty was not filled in.
        values.retain(|_, value| value.as_str() != Some(""));
        Ok(read_fields("body", &values, false, limits, faults).map(Self))
    }

    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        let what = "A form, URL-encoded or multipart. A field left empty counts as missing.";
        let mut faults = describe_body::<T>(what, &[URL_ENCODED, MULTIPART], components, operation);
        // As in `Fields::required`: of a form nothing is shown where a field is missing.
        faults.iter_mut().for_each(|fault| fault.input = Value::Null);
        faults
    }
}

/// A JSON body, or a form that a page sends.
pub struct JsonOrForm<T>(pub T);

impl<T: Input + Send> Parts for JsonOrForm<T> {
    const IS_BODY: bool = true;

    async fn read(request: &mut Request, limits: &Limits, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        match media_type(request.headers()).as_deref() {
            Some(URL_ENCODED | MULTIPART) => {
                Ok(Form::read(request, limits, faults).await?.map(|Form(given)| Self(given)))
            }
            _ => Ok(Json::read(request, limits, faults).await?.map(|Json(given)| Self(given))),
        }
    }

    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        let what = "A JSON object or a form. Fields that are not listed are ignored.";
        describe_body::<T>(what, &["application/json", URL_ENCODED, MULTIPART], components, operation)
    }
}

/// The file `file` of a multipart body, of at most `BYTES_MAX` bytes.
pub struct Upload<const BYTES_MAX: usize>(pub Bytes);

/// The form of an [`Upload`], for the document.
struct UploadForm;

impl Input for UploadForm {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.required("file", File).map(|()| Self)
    }
}

impl<const BYTES_MAX: usize> Parts for Upload<BYTES_MAX> {
    const IS_BODY: bool = true;

    async fn read(request: &mut Request, limits: &Limits, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let body = body(request, limits, BYTES_MAX + AROUND_FILE_BYTES_MAX).await?;
        let file = match media_type(request.headers()).as_deref() {
            Some(MULTIPART) => {
                let fields = multipart(request.headers(), body).await?;
                fields.into_iter().find(|(name, _)| name == "file").map(|(_, bytes)| bytes)
            }
            _ => None,
        };
        if file.is_none() {
            faults.push(Broken::missing().at(vec!["body".into(), "file".into()], Value::Null));
        }
        if file.as_ref().is_some_and(|bytes| bytes.len() > BYTES_MAX) {
            return Err(Refusal::BodyTooLarge.into());
        }
        Ok(file.map(Self))
    }

    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        let what = "A multipart form with the file.";
        let mut faults = describe_body::<UploadForm>(what, &[MULTIPART], components, operation);
        faults.iter_mut().for_each(|fault| fault.input = Value::Null);
        faults
    }
}

/// The fields of a multipart form (RFC 7578), in their order; files count as their content.
async fn multipart(headers: &HeaderMap, body: Bytes) -> Result<Vec<(String, Bytes)>> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(content_type).map_err(|_| Refusal::BodyUnreadable)?;
    let whole = futures_util::stream::iter([Ok::<_, Infallible>(body)]);
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut fields = Vec::new();
    while let Some(field) = parts.next_field().await.map_err(|_| Refusal::BodyUnreadable)? {
        let name = field.name().unwrap_or_default().to_owned();
        fields.push((name, field.bytes().await.map_err(|_| Refusal::BodyUnreadable)?));
    }
    Ok(fields)
}

/// The same as texts: the last of a name counts. One that is no UTF-8 becomes null, which no rule takes.
fn texts(fields: Vec<(String, Bytes)>) -> Map<String, Value> {
    let text = |bytes: Bytes| String::from_utf8(bytes.into()).map_or(Value::Null, Value::from);
    fields.into_iter().map(|(name, bytes)| (name, text(bytes))).collect()
}
