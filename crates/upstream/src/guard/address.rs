//! Which addresses are public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not public (IANA's special-purpose registry): address, prefix length, why.
const IPV4: &[([u8; 4], u32, &str)] = &[
    ([0, 0, 0, 0], 8, "an unspecified address"),
    ([10, 0, 0, 0], 8, "a private address"),
    ([100, 64, 0, 0], 10, "a shared address of a provider's network"),
    ([127, 0, 0, 0], 8, "a loopback address"),
    // The service of Azure that hands out credentials to virtual machines.
    ([168, 63, 129, 16], 32, "a metadata address"),
    ([169, 254, 0, 0], 16, "a link-local address"),
    ([172, 16, 0, 0], 12, "a private address"),
    ([192, 0, 0, 0], 24, "a reserved address"),
    ([192, 0, 2, 0], 24, "a documentation address"),
    ([192, 88, 99, 0], 24, "a relay address"),
    ([192, 168, 0, 0], 16, "a private address"),
    ([198, 18, 0, 0], 15, "a benchmarking address"),
    ([198, 51, 100, 0], 24, "a documentation address"),
    ([203, 0, 113, 0], 24, "a documentation address"),
    ([224, 0, 0, 0], 4, "a multicast address"),
    ([240, 0, 0, 0], 4, "a reserved address"),
];

/// Networks inside the public range of IPv6 that are not public themselves.
const IPV6: &[([u16; 3], u32, &str)] = &[
    ([0x2001, 0xdb8, 0], 32, "a documentation address"),
    ([0x2001, 0, 0], 23, "a reserved address"),
    ([0x2002, 0, 0], 16, "an address of a 6to4 relay"),
    ([0x3fff, 0, 0], 20, "a documentation address"),
];

/// Why nothing may be fetched from the address; nothing if it is public.
pub(super) fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => ipv4(address),
        IpAddr::V6(address) => ipv6(address),
    }
}

fn ipv4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let holds = |network: &[u8; 4], prefix: u32| {
        (bits ^ u32::from_be_bytes(*network)).checked_shr(32 - prefix).unwrap_or_default() == 0
    };
    IPV4.iter().find(|(network, prefix, _)| holds(network, *prefix)).map(|(.., why)| *why)
}

fn ipv6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    let [.., high, low] = segments;
    let embedded = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match segments {
        // Addresses that stand for one of IPv4: mapped, and behind the well-known NAT64 prefix.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => return ipv4(embedded),
        [0, 0, 0, 0, 0, 0, 0, 1] => return Some("a loopback address"),
        [0, 0, 0, 0, 0, 0, 0, 0] => return Some("an unspecified address"),
        [first, ..] if first & 0xfe00 == 0xfc00 => return Some("a private address"),
        [first, ..] if first & 0xffc0 == 0xfe80 => return Some("a link-local address"),
        [first, ..] if first & 0xff00 == 0xff00 => return Some("a multicast address"),
        [first, ..] if first & 0xe000 != 0x2000 => return Some("a reserved address"),
        _ => {}
    }
    let start = |of: [u16; 3]| u64::from(of[0]) << 32 | u64::from(of[1]) << 16 | u64::from(of[2]);
    let bits = start([segments[0], segments[1], segments[2]]);
    let holds = |network: [u16; 3], prefix: u32| (bits ^ start(network)) >> (48 - prefix) == 0;
    IPV6.iter().find(|(network, prefix, _)| holds(*network, *prefix)).map(|(.., why)| *why)
}
