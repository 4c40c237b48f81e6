//! Numbers: the rules by which whole and real ones are read.

use serde_json::{Value, json};

use super::Rule;
use crate::http::validate::Broken;

/// A whole number from `min` to `max`; the text of one counts.
pub fn integer(min: i64, max: i64, example: i64) -> Integer {
    Integer { min, max, example }
}

/// See [`integer`].
pub struct Integer {
    min: i64,
    max: i64,
    example: i64,
}

impl Rule for Integer {
    type Out = i64;

    fn check(&self, value: &Value) -> Result<i64, Broken> {
        let number = match value {
            Value::Bool(flag) => i128::from(*flag),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(whole), ..) => i128::from(whole),
                (None, Some(whole), _) => i128::from(whole),
                (None, None, Some(float)) if float.fract() == 0.0 => whole_float(float),
                _ => {
                    return Err(Broken::new(
                        "int_from_float",
                        "Input should be a valid integer, got a number with a fractional part",
                    ));
                }
            },
            Value::String(text) => whole_number(text).ok_or_else(|| {
                Broken::new(
                    "int_parsing",
                    "Input should be a valid integer, unable to parse string as an integer",
                )
            })?,
            _ => return Err(Broken::new("int_type", "Input should be a valid integer")),
        };
        if number < i128::from(self.min) {
            return Err(Broken::with(
                "greater_than_equal",
                format!("Input should be greater than or equal to {}", self.min),
                json!({ "ge": self.min }),
            ));
        }
        if number > i128::from(self.max) {
            return Err(Broken::with(
                "less_than_equal",
                format!("Input should be less than or equal to {}", self.max),
                json!({ "le": self.max }),
            ));
        }
        Ok(i64::try_from(number).expect("the bounds are within 64 bits"))
    }

    fn schema(&self) -> Value {
        json!({
            "type": "integer", "format": "int64",
            "minimum": self.min, "maximum": self.max, "examples": [self.example],
        })
    }
}

/// A float without a fraction. JSON gives whole numbers beyond 64 bits as one, rounded: to -2^63 many that lie below.
fn whole_float(float: f64) -> i128 {
    const LEAST: f64 = -9_223_372_036_854_775_808.0;
    if float == LEAST { i128::from(i64::MIN) - 1 } else { float as i128 }
}

/// A finite number from `min` to `max`; the text of one counts.
pub fn number(min: f64, max: f64, example: f64) -> Number {
    Number { min, max, example }
}

/// See [`number`].
pub struct Number {
    min: f64,
    max: f64,
    example: f64,
}

impl Rule for Number {
    type Out = f64;

    fn check(&self, value: &Value) -> Result<f64, Broken> {
        let number = match value {
            Value::Bool(flag) => f64::from(u8::from(*flag)),
            Value::Number(number) => number.as_f64().unwrap_or(f64::INFINITY),
            Value::String(text) => real_number(text).ok_or_else(|| {
                Broken::new(
                    "float_parsing",
                    "Input should be a valid number, unable to parse string as a number",
                )
            })?,
            _ => return Err(Broken::new("float_type", "Input should be a valid number")),
        };
        if !number.is_finite() {
            return Err(Broken::new("finite_number", "Input should be a finite number"));
        }
        if number < self.min {
            return Err(Broken::with(
                "greater_than_equal",
                format!("Input should be greater than or equal to {}", self.min),
                json!({ "ge": self.min }),
            ));
        }
        if number > self.max {
            return Err(Broken::with(
                "less_than_equal",
                format!("Input should be less than or equal to {}", self.max),
                json!({ "le": self.max }),
            ));
        }
        // Not the negative zero, which nobody means.
        Ok(number + 0.0)
    }

    fn schema(&self) -> Value {
        json!({
            "type": "number", "format": "double",
            "minimum": self.min, "maximum": self.max, "examples": [self.example],
        })
    }
}

/// Reads `12.5`, ` 12.5 `, `1_000.5`, `1e3`, `inf` and `nan` alike.
fn real_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let underscores_between = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    if underscores_between { text.replace('_', "").parse().ok() } else { None }
}

/// Reads `12`, ` 12 `, `+12`, `1_000` and `12.0` alike; numbers beyond 128 bits stop at the end of the range.
fn whole_number(text: &str) -> Option<i128> {
    let text = text.trim();
    let text = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits_only = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let underscores_between = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    if digits.is_empty() || !digits_only || !underscores_between {
        return None;
    }
    let magnitude = digits
        .bytes()
        .filter(|byte| *byte != b'_')
        .fold(0_i128, |sum, digit| sum.saturating_mul(10).saturating_add(i128::from(digit - b'0')));
    Some(if negative { -magnitude } else { magnitude })
}
