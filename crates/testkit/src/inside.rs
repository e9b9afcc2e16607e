//! Addresses that callers must not reach through the server.

/// Hosts of addresses inside: this machine, private and special networks, and the service for
/// metadata of clouds, each in the spellings that get past careless checks.
pub const INSIDE: &[&str] = &[
    "127.0.0.1",
    "localhost",
    "localhost.",
    "a.localhost",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "[fd00::1]",
    "[fe80::1]",
    "metadata.google.internal",
    "127.0.0.1\u{3002}",
    "\u{2460}27.0.0.1",
];
