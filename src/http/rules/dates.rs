//! The rule for calendar dates.

use serde_json::{Value, json};
use strum::EnumMessage;

use super::Rule;
use crate::http::validate::Broken;

/// A calendar date from year 1 to 9999; a time of day of zero may follow it.
pub struct CalendarDate;

impl Rule for CalendarDate {
    type Out = jiff::civil::Date;

    fn check(&self, value: &Value) -> Result<jiff::civil::Date, Broken> {
        let Value::String(text) = value else {
            return Err(Broken::new("date_type", "Input should be a valid date"));
        };
        let unreadable = |error: &str| {
            Broken::with(
                "date_from_datetime_parsing",
                format!("Input should be a valid date or datetime, {error}"),
                json!({ "error": error }),
            )
        };
        let date = match speedate::Date::parse_str_rfc3339(text) {
            Ok(date) => date,
            Err(_) => match speedate::DateTime::parse_str_rfc3339(text) {
                Ok(moment) if is_midnight(&moment.time) => moment.date,
                Ok(_) => {
                    return Err(Broken::new(
                        "date_from_datetime_inexact",
                        "Datetimes provided to dates should have zero time - e.g. be exact dates",
                    ));
                }
                Err(error) => {
                    return Err(unreadable(error.get_documentation().unwrap_or("invalid date")));
                }
            },
        };
        if date.year == 0 {
            return Err(unreadable("year 0 is out of range"));
        }
        let parts = (i16::try_from(date.year), i8::try_from(date.month), i8::try_from(date.day));
        match parts {
            (Ok(year), Ok(month), Ok(day)) => jiff::civil::Date::new(year, month, day)
                .map_err(|_| unreadable("day value is outside expected range")),
            _ => Err(unreadable("day value is outside expected range")),
        }
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "format": "date", "examples": ["1965-08-01"] })
    }
}

fn is_midnight(time: &speedate::Time) -> bool {
    time.hour == 0 && time.minute == 0 && time.second == 0 && time.microsecond == 0
}
