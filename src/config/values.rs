//! Values that are more than a number or a text: networks, limits, a secret.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is shown to nobody: it has no `Debug`, and is serialised as a placeholder.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(hidden)" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "(hidden)" })
    }
}

/// How often a caller may use one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// As often as they like.
    Off,
    /// `count` times in a window of `per_seconds`.
    Rate {
        /// Requests in one window, at least 1.
        count: u32,
        /// The window: 1, 60, 3,600 or 86,400 seconds.
        per_seconds: u32,
    },
}

const UNITS: [(&str, u32); 4] = [("second", 1), ("minute", 60), ("hour", 3_600), ("day", 86_400)];

impl Limit {
    /// `count` times a minute.
    pub const fn per_minute(count: u32) -> Self {
        Self::Rate { count, per_seconds: 60 }
    }
}

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "\"off\" or a count per second, minute, hour or day, such as \"10/minute\"";
        if text == "off" {
            return Ok(Self::Off);
        }
        let (count, unit) = text.split_once('/').ok_or(FORM)?;
        let (_, per_seconds) = *UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or(FORM)?;
        match count.trim().parse() {
            Ok(count @ 1..=1_000_000) => Ok(Self::Rate { count, per_seconds }),
            _ => Err(FORM),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Rate { count, per_seconds } => {
                match UNITS.iter().find(|(_, seconds)| seconds == per_seconds) {
                    Some((unit, _)) => write!(f, "{count}/{unit}"),
                    None => write!(f, "{count}/{per_seconds} seconds"),
                }
            }
        }
    }
}

/// A range of addresses in CIDR notation (RFC 4632 §3.1); an address alone is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `ip` lies inside. An IPv4 address mapped into IPv6 counts as what it is.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                (base.to_bits() ^ ip.to_bits()) & mask == 0
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                (base.to_bits() ^ ip.to_bits()) & mask == 0
            }
            _ => false,
        }
    }

    /// Whether every address of its family lies inside.
    pub const fn is_everybody(&self) -> bool {
        self.prefix == 0
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "an address or a network such as 10.0.0.0/8";
        let (base, prefix) = text.split_once('/').map_or((text, None), |(base, prefix)| (base, Some(prefix)));
        let base: IpAddr = base.parse().map_err(|_| FORM)?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= longest).ok_or(FORM)?
            }
            Some(_) => return Err(FORM),
        };
        // ::ffff:a.b.c.d is compared as the IPv4 address it stands for.
        match (base, base.to_canonical()) {
            (IpAddr::V6(_), canonical @ IpAddr::V4(_)) if prefix >= 96 => {
                Ok(Self { base: canonical, prefix: prefix - 96 })
            }
            _ => Ok(Self { base, prefix }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// Several networks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Networks(pub Vec<Network>);

impl Networks {
    /// Whether `ip` lies in one of them.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(ip))
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// `localhost`: both loopback addresses, since a browser may try either (RFC 6761 §6.3).
    Localhost,
    /// One address; an unspecified one is every address of its family.
    Address(IpAddr),
}

impl Host {
    /// Whether only programs on the same machine reach it.
    pub fn is_loopback(self) -> bool {
        match self {
            Self::Localhost => true,
            Self::Address(ip) => ip.to_canonical().is_loopback(),
        }
    }

    /// Whether it is every address of the machine.
    pub fn is_unspecified(self) -> bool {
        matches!(self, Self::Address(ip) if ip.is_unspecified())
    }

    /// What a program on the same machine calls it in an address of the web.
    pub fn reached_at(self) -> String {
        match self {
            Self::Localhost => String::from("localhost"),
            Self::Address(IpAddr::V4(ip)) if ip.is_unspecified() => String::from("127.0.0.1"),
            Self::Address(IpAddr::V6(ip)) if ip.is_unspecified() => String::from("[::1]"),
            Self::Address(IpAddr::V4(ip)) => ip.to_string(),
            Self::Address(IpAddr::V6(ip)) => format!("[{ip}]"),
        }
    }
}

impl FromStr for Host {
    type Err = &'static str;

    /// Takes `localhost` or an address, bare or in brackets.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "localhost" {
            return Ok(Self::Localhost);
        }
        let ip = match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            Some(inner) => inner.parse().ok().filter(IpAddr::is_ipv6),
            None => text.parse().ok(),
        };
        ip.map(Self::Address).ok_or("an IP address or \"localhost\"")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost => f.write_str("localhost"),
            Self::Address(ip) => write!(f, "{ip}"),
        }
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
