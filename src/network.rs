//! Network: what the requests of one client are counted by.

use std::net::IpAddr;

/// The network that a client's address belongs to: an IPv4 address, or the first 64 bits of an IPv6 address, since
/// one subscriber has all addresses that begin with them (RFC 6177 §2). An IPv4 address mapped into IPv6
/// (RFC 4291 §2.5.5.2) is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNetwork(Prefix);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Prefix {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => Prefix::V4(address.to_bits()),
            IpAddr::V6(address) => Prefix::V6((address.to_bits() >> 64) as u64),
        })
    }
}

impl ClientNetwork {
    /// The bytes that tell this network from others: 4 of an IPv4 address, 8 of an IPv6 one.
    pub fn bytes(self) -> Vec<u8> {
        match self.0 {
            Prefix::V4(bits) => bits.to_be_bytes().to_vec(),
            Prefix::V6(bits) => bits.to_be_bytes().to_vec(),
        }
    }
}

/// Whether an address is this machine's own or of a private network: loopback (RFC 1122 §3.2.1.3), RFC 1918, unique
/// local (RFC 4193), link-local.
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_subscriber_are_one_network() {
        let network = |text: &str| ClientNetwork::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::3"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("192.0.2.1").bytes(), [192, 0, 2, 1]);
        assert_eq!(network("2001:db8:1:2::1").bytes(), [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2]);
    }

    #[test]
    fn an_address_is_local_where_no_stranger_can_have_it() {
        let all = |addresses: &[&str], expected| {
            for address in addresses {
                assert_eq!(is_local(address.parse().unwrap()), expected, "{address}");
            }
        };
        all(&["127.0.0.1", "127.255.0.1", "10.1.2.3", "172.16.0.1", "172.31.9.9", "192.168.7.7"], true);
        all(&["169.254.1.1", "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"], true);
        all(&["172.32.0.1", "192.0.2.1", "100.64.0.1", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8"], false);
    }
}
