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
}
