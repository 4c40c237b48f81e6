//! Forwarded: the client's address, as the proxies in front of the server tell it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Once;

use salvo::http::HeaderMap;
use salvo::http::header::{FORWARDED, HeaderName};

use crate::config::{ForwardedHeader, Server};
use crate::network::is_local;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Of a hop that names no address, the log shows so many bytes.
const SHOWN_BYTES_MAX: usize = 64;

/// The address of the client whose request came from `peer`: the last hop that is no trusted proxy. Each proxy appends the peer
/// that it saw, so the hops are read from the right, and what stands left of one that names no address is not believed.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, server: &Server) -> IpAddr {
    let trusted = &server.trusted_proxies;
    let (believed, other) = match server.forwarded_header {
        ForwardedHeader::XForwardedFor => (&X_FORWARDED_FOR, &FORWARDED),
        ForwardedHeader::Forwarded => (&FORWARDED, &X_FORWARDED_FOR),
    };
    if !trusted.contains(peer) {
        if is_local(peer)
            && let Some(header) = [believed, other].into_iter().find(|name| headers.contains_key(*name))
        {
            warn_of_proxy(peer, header);
        }
        return peer;
    }
    let mut client = peer;
    let mut lines = headers.get_all(believed).iter().map(|line| line.as_bytes());
    if headers.contains_key(other) && !headers.contains_key(believed) {
        warn_of_header(peer, believed, other);
    }
    // By bytes: a proxy of ours appends to whatever the client sent, be it text or not.
    while let Some(mut line) = lines.next_back() {
        while !line.is_empty() {
            let (rest, element) = match server.forwarded_header {
                ForwardedHeader::XForwardedFor => cut(line, line.iter().rposition(|byte| *byte == b',')),
                ForwardedHeader::Forwarded => cut(line, last_comma(line)),
            };
            line = rest;
            // Elements without anything are ignored (RFC 9110 §5.6.1.2).
            if element.is_empty() {
                continue;
            }
            let hop = match server.forwarded_header {
                ForwardedHeader::XForwardedFor => address(element),
                ForwardedHeader::Forwarded => node(element).and_then(|node| address(&node)),
            };
            let Some(hop) = hop else {
                warn_of_hop(element, believed, client);
                return client;
            };
            client = hop;
            if !trusted.contains(client) {
                return client;
            }
        }
    }
    client
}

/// What stands before the comma at this place, and what after it.
fn cut(line: &[u8], comma: Option<usize>) -> (&[u8], &[u8]) {
    let (rest, element) = comma.map_or((&[][..], line), |at| (&line[..at], &line[at + 1..]));
    (rest, element.trim_ascii())
}

/// The last comma that is not in a quoted string. It is looked for from the right, where our proxies write: a quotation mark that a
/// client left open swallows nothing of theirs.
fn last_comma(line: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    for (at, byte) in line.iter().enumerate().rev() {
        match byte {
            b'"' => is_quoted = if is_quoted { is_escaped(line, at) } else { true },
            b',' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Whether an odd number of backslashes stands before this place.
fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// What an element of `Forwarded` has after `for=` (RFC 7239 §4); `None` when it has that not exactly once, or is none.
fn node(element: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    let mut rest = element;
    while !rest.is_empty() {
        let length = rest.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(rest.len());
        let name = rest[..length].trim_ascii();
        rest = &rest[length..];
        let Some(after) = rest.strip_prefix(b"=") else {
            if !name.is_empty() {
                return None;
            }
            rest = rest.strip_prefix(b";").unwrap_or_default();
            continue;
        };
        let (value, after) = value(after.trim_ascii_start())?;
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return None;
        }
        let after = after.trim_ascii_start();
        rest = match after.first() {
            None => after,
            Some(b';') => &after[1..],
            Some(_) => return None,
        };
    }
    found
}

/// A token, or a quoted string without its quotation marks (RFC 9110 §5.6.4), and what comes after it. Some proxies write
/// brackets and colons without the quotation marks that they need.
fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let length = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        let value = text[..length].trim_ascii_end();
        return (!value.contains(&b'"')).then(|| (value.to_vec(), &text[length..]));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((value, &quoted[at + 1..])),
            b'\\' => value.push(*bytes.next()?.1),
            byte => value.push(*byte),
        }
    }
    None
}

/// The address of a hop as proxies write it: plain or in brackets, with a port (RFC 7239 §6.3) or a zone (RFC 4007 §11) or
/// neither. `unknown` (§6.2) and names that begin with an underscore (§6.3) are none.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim_ascii();
    if let Some(bracketed) = hop.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']')?;
        return (after.is_empty() || after.strip_prefix(':').is_some_and(is_port)).then(|| v6(address))?;
    }
    if hop.bytes().filter(|byte| *byte == b':').count() > 1 {
        return v6(hop);
    }
    let (address, port) = hop.split_once(':').unwrap_or((hop, "0"));
    is_port(port).then(|| address.parse::<Ipv4Addr>().ok())?.map(IpAddr::V4)
}

/// An IPv6 address, perhaps with the zone of the interface that it is of; one that stands for an IPv4 address is that.
fn v6(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        Some((_, "")) => return None,
        Some((address, _)) => address,
        None => text,
    };
    address.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical())
}

/// Whether this is a port, or a name that stands for one (RFC 7239 §6.3).
fn is_port(port: &str) -> bool {
    match port.strip_prefix('_') {
        Some(name) => {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
    }
}

/// Says once that there seems to be a proxy that is not trusted: then all its clients count as one.
fn warn_of_proxy(peer: IpAddr, header: &HeaderName) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "{header} from {peer} is not believed: if a proxy runs there, name it in server.trusted_proxies, else \
             all its clients count as one address"
        );
    });
}

/// Says once that a trusted proxy writes the header that is not believed.
fn warn_of_header(peer: IpAddr, believed: &HeaderName, other: &HeaderName) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "the trusted proxy {peer} sends {other} and not {believed}, so all its clients count as one address: set \
             server.forwarded_header = \"{other}\" if it writes that header itself"
        );
    });
}

/// Says once that a trusted proxy does not tell whom it saw.
fn warn_of_hop(hop: &[u8], header: &HeaderName, client: IpAddr) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        let shown = hop[..hop.len().min(SHOWN_BYTES_MAX)].escape_ascii();
        tracing::warn!(
            "{header} from a trusted proxy has \"{shown}\", which names no address: all whose requests come by {client} \
             with such a hop count as one address"
        );
    });
}

#[cfg(test)]
mod tests {
    use salvo::http::HeaderValue;

    use super::*;
    use crate::config::Networks;

    const PEER: [u8; 4] = [10, 0, 0, 9];

    /// The client by these lines of the header that is believed, when 10.0.0.0/8 and fe80::/10 are proxies.
    fn client_by(forwarded_header: ForwardedHeader, name: &HeaderName, lines: &[&[u8]]) -> String {
        let networks = ["10.0.0.0/8", "fe80::/10"];
        let trusted_proxies = Networks(networks.map(|network| network.parse().unwrap()).into());
        let server = Server { trusted_proxies, forwarded_header, ..Server::default() };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        client(PEER.into(), &headers, &server).to_string()
    }

    #[track_caller]
    fn check_x(lines: &[&str], expected: &str) {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(
            client_by(ForwardedHeader::XForwardedFor, &X_FORWARDED_FOR, &lines),
            expected,
            "{lines:?}"
        );
    }

    #[track_caller]
    fn check_forwarded(lines: &[&str], expected: &str) {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(client_by(ForwardedHeader::Forwarded, &FORWARDED, &lines), expected, "{lines:?}");
    }

    #[test]
    fn x_forwarded_for_is_read_as_proxies_write_it() {
        check_x(&[], "10.0.0.9");
        check_x(&[""], "10.0.0.9");
        check_x(&["192.0.2.1"], "192.0.2.1");
        check_x(&["192.0.2.1:443"], "192.0.2.1");
        check_x(&["192.0.2.1:_port"], "192.0.2.1");
        check_x(&[" \t192.0.2.1 , 10.0.0.1\t"], "192.0.2.1");
        check_x(&["198.51.100.1,192.0.2.1:65535,10.0.0.1:80"], "192.0.2.1");
        check_x(&["2001:db8::1"], "2001:db8::1");
        check_x(&["[2001:db8::1]"], "2001:db8::1");
        check_x(&["[2001:db8::1]:443, fe80::1%eth0, [fe80::2%25eth0]:443"], "2001:db8::1");
        check_x(&["::ffff:192.0.2.1"], "192.0.2.1");
        check_x(&["[::FFFF:192.0.2.1]:443, ::ffff:10.0.0.1"], "192.0.2.1");
        check_x(&["198.51.100.1", "192.0.2.1", "10.0.0.1"], "192.0.2.1");
        check_x(&["192.0.2.1", ", ,10.0.0.1, ", ""], "192.0.2.1");
    }

    #[test]
    fn a_hop_that_names_no_address_ends_the_walk_at_the_one_after_it() {
        let none = [
            "unknown",
            "UNKNOWN",
            "_hidden",
            "-",
            "localhost",
            "unix:",
            "192.0.2",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "192.0.2.1:+80",
            "192.0.2.1:80:80",
            "192.0.2.1%eth0",
            "[192.0.2.1]",
            "[2001:db8::1",
            "2001:db8::1]",
            "[2001:db8::1]443",
            "[2001:db8::1]:",
            "[]",
            "fe80::1%",
            "\"192.0.2.1\"",
            "for=192.0.2.1",
            "192.0.2.1;x",
        ];
        for none in none {
            check_x(&[&format!("192.0.2.1, {none}")], "10.0.0.9");
            check_x(&[&format!("192.0.2.1, {none}, 10.0.0.1:80, 10.0.0.2")], "10.0.0.1");
            check_x(&[&format!("{none}, 198.51.100.1, 10.0.0.2")], "198.51.100.1");
            check_x(&["192.0.2.1", none, "10.0.0.1"], "10.0.0.1");
        }
        let bytes = b"192.0.2.1, \xff\xfe, 10.0.0.1".as_slice();
        assert_eq!(client_by(ForwardedHeader::XForwardedFor, &X_FORWARDED_FOR, &[bytes]), "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        check_forwarded(&[], "10.0.0.9");
        check_forwarded(&["for=192.0.2.43"], "192.0.2.43");
        check_forwarded(&["For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17");
        check_forwarded(&["for=192.0.2.60;proto=http;by=203.0.113.43"], "192.0.2.60");
        check_forwarded(&["proto=https; host=\"a,b;for=1.2.3.4\" ;FOR=\"192.0.2.60:_x\" "], "192.0.2.60");
        check_forwarded(&["for=192.0.2.43, for=198.51.100.17;by=10.0.0.9"], "198.51.100.17");
        check_forwarded(&["for=192.0.2.43,for=\"10.0.0.1:80\";by=\"10.0.0.2\",for=10.0.0.3"], "192.0.2.43");
        check_forwarded(&["for=198.51.100.17", "for=192.0.2.43;proto=https", "for=10.0.0.1"], "192.0.2.43");
        check_forwarded(&[r#"for="\1\9\2.0.2.43""#], "192.0.2.43");
        check_forwarded(&["for=\"[::ffff:192.0.2.43]\""], "192.0.2.43");
        check_forwarded(&["for=[2001:db8::1]:443;proto=http"], "2001:db8::1");
        check_forwarded(&["for=192.0.2.43:443", ", ,;for=10.0.0.1;, "], "192.0.2.43");
    }

    #[test]
    fn an_element_of_forwarded_that_names_no_address_ends_the_walk_at_the_one_after_it() {
        let none = [
            "for=unknown",
            "for=_hidden",
            "for=\"_SEVKISEK:_port\"",
            "for=\"\"",
            "for=",
            "for",
            "by=192.0.2.1",
            "proto=https",
            "192.0.2.1",
            "for=192.0.2.1;for=192.0.2.1",
            "for=\"192.0.2.1\"x",
            "for=\"192.0.2.1",
            "for=192.0.2.1\"",
            "for=192.0.2.1;x",
            "xfor=192.0.2.1",
            "for=\"2001:db8::1]\"",
            ";",
            "host=\"for=192.0.2.1\"",
        ];
        for none in none {
            check_forwarded(&["for=192.0.2.1", none], "10.0.0.9");
            check_forwarded(&["for=192.0.2.1", none, "for=10.0.0.1, for=10.0.0.2"], "10.0.0.1");
            check_forwarded(&[&format!("{none}, for=198.51.100.1;proto=https")], "198.51.100.1");
        }
    }

    #[test]
    fn what_a_client_quotes_swallows_nothing_that_a_proxy_wrote() {
        for forged in [
            "for=6.6.6.6;x=\"",
            "for=6.6.6.6;x=\"\\\"",
            "for=6.6.6.6;x=\"\\",
            "for=6.6.6.6;x=\"a\" \"",
            "\"",
            "\\",
            "for=\"6.6.6.6",
            "for=6.6.6.6;x=\", for=6.6.6.6;y=\"",
        ] {
            for proxies in [
                "for=192.0.2.1",
                "for=\"192.0.2.1:80\"",
                "proto=\"a,b\\\"\\\\\";for=\"192.0.2.1\", for=10.0.0.1",
            ] {
                check_forwarded(&[&format!("{forged}, {proxies}")], "192.0.2.1");
            }
        }
    }
}
