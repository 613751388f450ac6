//! Which addresses a request may be sent to. Pure: no lookups, no sockets.
//!
//! Everything that is not plainly a public unicast address is refused, also when it is wrapped in one of the IPv6
//! transition formats, unless the operator granted the very range. When in doubt the answer is no.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A range of addresses in CIDR notation: `10.20.0.0/16`, `fd00::/8`. A bare address is the range of that one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpNetwork {
    address: IpAddr,
    prefix_bits: u8,
}

/// Why a text is not an [`IpNetwork`]. The operator's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IpNetworkError {
    /// Not an address, or a prefix that does not fit its family.
    #[error("not a network; write `10.20.0.0/16`, `fd00::/8` or a single address")]
    Syntax,
    /// Bits behind the prefix are set, so that it is unclear which range was meant.
    #[error("the network has address bits behind its prefix; did you mean `{meant}`?")]
    HostBits {
        /// The range that contains what was written.
        meant: IpNetwork,
    },
}

/// What kind of network an address belongs to when it is not a public one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NetworkClass {
    /// `0.0.0.0/8` and `::`: this host on this network.
    ThisNetwork,
    /// `127.0.0.0/8` and `::1`.
    Loopback,
    /// RFC 1918 and `fc00::/7` (RFC 4193), and the `fec0::/10` that it replaced.
    Private,
    /// `169.254.0.0/16` and `fe80::/10`: among others where clouds keep their metadata service.
    LinkLocal,
    /// `100.64.0.0/10`, RFC 6598.
    CarrierGradeNat,
    /// `192.0.0.0/24` and `2001::/23`: protocol assignments. One cloud has a metadata service at 192.0.0.192.
    ProtocolAssignment,
    /// RFC 5737, RFC 3849 and RFC 9637.
    Documentation,
    /// `198.18.0.0/15`, RFC 2544.
    Benchmarking,
    /// `224.0.0.0/4` and `ff00::/8`.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// An IPv6 address that stands for an IPv4 one (mapped, compatible, 6to4, Teredo, local NAT64), or a relay of those.
    Translated,
    /// Not assigned for use on the public internet.
    Reserved,
    /// The public internet, where only granted networks may be reached.
    Public,
}

/// Refuses addresses that are not public, except in ranges that the operator granted.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    allow_networks: Vec<IpNetwork>,
    /// Public addresses as well are refused unless they are granted.
    granted_only: bool,
}

impl IpNetwork {
    /// Whether the address is in this range. The families never match each other: `::ffff:10.0.0.1` is not in
    /// `10.0.0.0/8`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix_bits) == self.address
    }
}

impl FromStr for IpNetwork {
    type Err = IpNetworkError;

    fn from_str(text: &str) -> Result<Self, IpNetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| IpNetworkError::Syntax)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => width,
            // `u8::from_str` takes a sign, CIDR notation does not.
            Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => return Err(IpNetworkError::Syntax),
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|bits| *bits <= width)
                .ok_or(IpNetworkError::Syntax)?,
        };
        let network = Self {
            address: masked(address, prefix_bits),
            prefix_bits,
        };
        if network.address == address {
            Ok(network)
        } else {
            Err(IpNetworkError::HostBits { meant: network })
        }
    }
}

impl TryFrom<String> for IpNetwork {
    type Error = IpNetworkError;

    fn try_from(text: String) -> Result<Self, IpNetworkError> {
        text.parse()
    }
}

impl From<IpNetwork> for String {
    fn from(network: IpNetwork) -> Self {
        network.to_string()
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

impl fmt::Display for NetworkClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisNetwork => "this-network",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::CarrierGradeNat => "carrier-grade NAT",
            Self::ProtocolAssignment => "protocol-assignment",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Translated => "translated",
            Self::Reserved => "reserved",
            Self::Public => "public",
        })
    }
}

impl AddressPolicy {
    /// Public addresses, and those in `allow_networks`.
    #[must_use]
    pub fn new(allow_networks: Vec<IpNetwork>) -> Self {
        Self {
            allow_networks,
            granted_only: false,
        }
    }

    /// Those in `networks` and no others: for what must not cross the internet, because nothing encrypts it.
    #[must_use]
    pub fn only(networks: Vec<IpNetwork>) -> Self {
        Self {
            allow_networks: networks,
            granted_only: true,
        }
    }

    /// Whether a connection may go to this address; the error says what kind of network it is in.
    ///
    /// # Errors
    /// The class of a network that is not public and was not granted.
    pub fn check(&self, address: IpAddr) -> Result<(), NetworkClass> {
        if self.allow_networks.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        match classify(address) {
            None if self.granted_only => Err(NetworkClass::Public),
            None => Ok(()),
            Some(class) => Err(class),
        }
    }
}

/// The class of an address that is not public; `None` for a public one.
fn classify(address: IpAddr) -> Option<NetworkClass> {
    match address {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => classify_v6(address),
    }
}

/// After the IANA IPv4 Special-Purpose Address Registry.
fn classify_v4(address: Ipv4Addr) -> Option<NetworkClass> {
    Some(match address.octets() {
        [0, ..] => NetworkClass::ThisNetwork,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => NetworkClass::Private,
        [100, 64..=127, ..] => NetworkClass::CarrierGradeNat,
        [127, ..] => NetworkClass::Loopback,
        [169, 254, ..] => NetworkClass::LinkLocal,
        [192, 0, 0, _] => NetworkClass::ProtocolAssignment,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => NetworkClass::Documentation,
        // The anycast address of 6to4 relays, RFC 7526.
        [192, 88, 99, _] => NetworkClass::Translated,
        [198, 18 | 19, ..] => NetworkClass::Benchmarking,
        [224..=239, ..] => NetworkClass::Multicast,
        [255, 255, 255, 255] => NetworkClass::Broadcast,
        [240..=255, ..] => NetworkClass::Reserved,
        _ => return None,
    })
}

/// After the IANA IPv6 Special-Purpose Address Registry. Of the formats that carry an IPv4 address only the well-known
/// NAT64 prefix is accepted, and only for a public address: that is how an IPv6-only machine reaches every IPv4 carrier
/// (DNS64, RFC 6147). No resolver has an honest reason to answer with any of the others.
fn classify_v6(address: Ipv6Addr) -> Option<NetworkClass> {
    let translated = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        classify_v4(Ipv4Addr::new(a, b, c, d))
    };
    let or_translated = |class: Option<NetworkClass>| class.unwrap_or(NetworkClass::Translated);
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => NetworkClass::ThisNetwork,
        [0, 0, 0, 0, 0, 0, 0, 1] => NetworkClass::Loopback,
        // IPv4-compatible, IPv4-mapped and IPv4-translated (RFC 4291, RFC 2765).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            or_translated(translated(high, low))
        }
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => return translated(high, low),
        // RFC 8215 leaves to each network where in here the IPv4 address stands.
        [0x64, 0xff9b, ..] => NetworkClass::Translated,
        // Teredo hides the client's address by inverting it (RFC 4380 §4).
        [0x2001, 0, .., high, low] => or_translated(translated(!high, !low)),
        [0x2001, 0..=0x1ff, ..] => NetworkClass::ProtocolAssignment,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => NetworkClass::Documentation,
        [0x2002, high, low, ..] => or_translated(translated(high, low)),
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => NetworkClass::Private,
        [0xfe80..=0xfebf, ..] => NetworkClass::LinkLocal,
        [0xff00..=0xffff, ..] => NetworkClass::Multicast,
        // Global unicast is 2000::/3; the rest is unassigned or of a special purpose.
        [0x2000..=0x3fff, ..] => return None,
        _ => NetworkClass::Reserved,
    })
}

fn masked(address: IpAddr, prefix_bits: u8) -> IpAddr {
    // A shift by the whole width, of an empty prefix, is not a number: no bit is kept.
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix_bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix_bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn class(address: &str) -> Option<NetworkClass> {
        classify(address.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_accepted_up_to_the_edges_of_special_ranges() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "203.0.114.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1",
            "3ffe::1",
            "2a00::1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(class(address), None, "{address}");
        }
    }

    #[test]
    fn special_ranges_are_refused_from_first_to_last() {
        use NetworkClass as C;
        for (address, expected) in [
            ("0.0.0.0", C::ThisNetwork),
            ("0.255.255.255", C::ThisNetwork),
            ("10.0.0.0", C::Private),
            ("10.255.255.255", C::Private),
            ("100.64.0.0", C::CarrierGradeNat),
            ("100.127.255.255", C::CarrierGradeNat),
            ("127.0.0.0", C::Loopback),
            ("127.255.255.255", C::Loopback),
            ("169.254.0.0", C::LinkLocal),
            ("169.254.169.254", C::LinkLocal),
            ("169.254.255.255", C::LinkLocal),
            ("172.16.0.0", C::Private),
            ("172.31.255.255", C::Private),
            ("192.0.0.192", C::ProtocolAssignment),
            ("192.0.2.255", C::Documentation),
            ("192.88.99.1", C::Translated),
            ("192.168.0.0", C::Private),
            ("192.168.255.255", C::Private),
            ("198.18.0.0", C::Benchmarking),
            ("198.19.255.255", C::Benchmarking),
            ("198.51.100.1", C::Documentation),
            ("203.0.113.1", C::Documentation),
            ("224.0.0.0", C::Multicast),
            ("239.255.255.255", C::Multicast),
            ("240.0.0.0", C::Reserved),
            ("255.255.255.254", C::Reserved),
            ("255.255.255.255", C::Broadcast),
            ("::", C::ThisNetwork),
            ("::1", C::Loopback),
            ("::2", C::ThisNetwork),
            ("::127.0.0.1", C::Loopback),
            ("::8.8.8.8", C::Translated),
            ("::ffff:127.0.0.1", C::Loopback),
            ("::ffff:169.254.169.254", C::LinkLocal),
            ("::ffff:8.8.8.8", C::Translated),
            ("::ffff:0:10.0.0.1", C::Private),
            ("64:ff9b::169.254.169.254", C::LinkLocal),
            ("64:ff9b::10.0.0.1", C::Private),
            ("64:ff9b:0:0:1::1", C::Translated),
            ("64:ff9b:1::8.8.8.8", C::Translated),
            ("100::1", C::Reserved),
            // Teredo with the client 192.168.0.1, and with a public one.
            ("2001:0:4136:e378:8000:63bf:3f57:fffe", C::Private),
            ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", C::Translated),
            ("2001:20::1", C::ProtocolAssignment),
            ("2001:1ff:ffff::1", C::ProtocolAssignment),
            ("2001:db8::1", C::Documentation),
            ("2002:7f00:1::1", C::Loopback),
            ("2002:808:808::1", C::Translated),
            ("3fff::1", C::Documentation),
            ("3fff:fff::1", C::Documentation),
            ("4000::1", C::Reserved),
            ("5f00::1", C::Reserved),
            ("fbff::1", C::Reserved),
            ("fc00::1", C::Private),
            ("fd00:ec2::254", C::Private),
            ("fdff::1", C::Private),
            ("fe80::1", C::LinkLocal),
            ("febf::1", C::LinkLocal),
            ("fec0::1", C::Private),
            ("ff02::1", C::Multicast),
        ] {
            assert_eq!(class(address), Some(expected), "{address}");
        }
    }

    #[test]
    fn a_granted_range_is_exactly_that_range() {
        let policy = AddressPolicy::new(vec!["10.20.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()]);
        for (address, granted) in [
            ("10.20.255.1", true),
            ("10.21.0.1", false),
            ("fd00:1:2::3", true),
            ("fd00:2::3", false),
            ("::ffff:10.20.0.1", false),
            ("64:ff9b::10.20.0.1", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(policy.check(address.parse().unwrap()).is_ok(), granted, "{address}");
        }
    }

    #[test]
    fn where_only_granted_ranges_may_be_reached_the_internet_may_not() {
        let policy = AddressPolicy::only(vec!["10.20.0.0/16".parse().unwrap()]);
        policy.check("10.20.255.1".parse().unwrap()).unwrap();
        for (address, class) in [
            ("8.8.8.8", NetworkClass::Public),
            ("2606:4700::1111", NetworkClass::Public),
            ("10.21.0.1", NetworkClass::Private),
        ] {
            assert_eq!(policy.check(address.parse().unwrap()), Err(class), "{address}");
        }
    }

    #[test]
    fn networks_are_parsed_strictly() {
        for (text, normal) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("fd00::/8", "fd00::/8"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<IpNetwork>().unwrap().to_string(), normal);
        }
        for text in [
            "",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "::/129",
            "host/8",
            "10.0.0.0/8/8",
            "[::1]/128",
        ] {
            assert_eq!(text.parse::<IpNetwork>(), Err(IpNetworkError::Syntax), "{text}");
        }
        let error = "10.1.2.3/8".parse::<IpNetwork>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the network has address bits behind its prefix; did you mean `10.0.0.0/8`?"
        );
        assert!(
            "0.0.0.0/0"
                .parse::<IpNetwork>()
                .unwrap()
                .contains("255.0.0.1".parse().unwrap())
        );
    }
}
