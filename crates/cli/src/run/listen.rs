//! Which addresses are listened on, and which are refused.

use crate::failure::{Failure, Outcome};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

/// What the command line and the configuration say about addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) hosts: &'a [String],
    pub(super) port: u16,
    pub(super) ipv6: bool,
    /// Whether callers must show credentials.
    pub(super) authenticated: bool,
    pub(super) insecure: bool,
}

/// The addresses to listen on.
///
/// Without authentication that is this machine only: whoever reaches the port can use every model
/// and every key that is configured. Other addresses have to be asked for by name.
pub(super) fn addresses(wanted: Wanted<'_>) -> Outcome<Vec<SocketAddr>> {
    let hosts = if wanted.hosts.is_empty() {
        let (four, six) = if wanted.authenticated {
            (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED)
        } else {
            (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST)
        };
        let mut hosts = vec![IpAddr::V4(four)];
        if wanted.ipv6 {
            hosts.push(IpAddr::V6(six));
        }
        hosts
    } else {
        let mut hosts = Vec::new();
        for text in wanted.hosts {
            hosts.extend(parse(text, wanted.ipv6)?);
        }
        hosts
    };
    if !wanted.authenticated
        && !wanted.insecure
        && let Some(open) = hosts.iter().find(|host| !host.to_canonical().is_loopback())
    {
        return Err(Failure::failed(format!(
            "refused to listen on {open}: no authentication is configured, so everyone who reaches \
             this address could use every model and every key of this stack"
        ))
        .hint(
            "set `server.auth.endpoint` in the run configuration, or leave `--host` away to serve \
             this machine only, or add `--insecure` if something else keeps strangers out",
        ));
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for host in hosts {
        let address = SocketAddr::new(host, wanted.port);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// The addresses as this machine can listen on them.
///
/// `given` addresses are taken as they are; of the others those are left out that this machine does
/// not have. One port is chosen for all where 0 is asked for.
pub(super) fn on_this_machine(mut addresses: Vec<SocketAddr>, given: bool) -> Vec<SocketAddr> {
    if !given && TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        addresses.retain(SocketAddr::is_ipv4);
    }
    let any_four = |address: &SocketAddr| address.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let any_six = addresses.iter().any(|address| address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    if any_six && addresses.iter().any(any_four) && six_takes_four() {
        addresses.retain(|address| !any_four(address));
    }
    if let [first, _, ..] = addresses.as_slice()
        && first.port() == 0
        && let Ok(chosen) = TcpListener::bind(first).and_then(|listener| listener.local_addr())
    {
        for address in &mut addresses {
            address.set_port(chosen.port());
        }
    }
    addresses
}

/// Whether who listens on all IPv6 addresses is reached over IPv4 too, as Linux has it. Then both
/// cannot be listened on with one port.
fn six_takes_four() -> bool {
    let Ok(six) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else { return false };
    let Ok(address) = six.local_addr() else { return false };
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()))
        .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn parse(text: &str, ipv6: bool) -> Outcome<Vec<IpAddr>> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if bare.eq_ignore_ascii_case("localhost") {
        let mut hosts = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        if ipv6 {
            hosts.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
        }
        return Ok(hosts);
    }
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) if !ipv6 => Err(Failure::usage(format!(
            "`--host {text}` is an IPv6 address, and `--disable-ipv6` leaves those out"
        ))),
        Ok(host) => Ok(vec![host]),
        Err(_) => Err(Failure::usage(format!(
            "`--host` takes an IP address of this machine or `localhost`, not `{text}`"
        ))
        .hint("examples: `--host 127.0.0.1`, `--host 0.0.0.0`, `--host ::`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: &[&str], flags: &str, expected: Result<&[&str], &str>) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let wanted = Wanted {
            hosts: &hosts,
            port: 1,
            ipv6: !flags.contains("no-ipv6"),
            authenticated: flags.contains("auth"),
            insecure: flags.contains("insecure"),
        };
        match (addresses(wanted), expected) {
            (Ok(found), Ok(expected)) => {
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                assert_eq!(found, expected, "{hosts:?} {flags}");
            }
            (Err(failure), Err(expected)) => {
                let message = failure.message.unwrap_or_default();
                assert!(message.contains(expected), "{message}");
            }
            (found, expected) => panic!("{hosts:?} {flags}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn only_this_machine_is_served_without_authentication() {
        check(&[], "", Ok(&["127.0.0.1:1", "[::1]:1"]));
        check(&[], "no-ipv6", Ok(&["127.0.0.1:1"]));
        check(&["localhost"], "", Ok(&["127.0.0.1:1", "[::1]:1"]));
        check(&["127.0.0.9"], "", Ok(&["127.0.0.9:1"]));
        check(&["0.0.0.0"], "", Err("refused to listen on 0.0.0.0: no authentication"));
        check(&["::"], "", Err("refused to listen on ::"));
        check(&["127.0.0.1", "10.0.0.1"], "", Err("refused to listen on 10.0.0.1"));
        check(&["::ffff:10.0.0.1"], "", Err("refused to listen on"));
    }

    #[test]
    fn everyone_is_served_with_authentication_or_when_told_so() {
        check(&[], "auth", Ok(&["0.0.0.0:1", "[::]:1"]));
        check(&[], "auth no-ipv6", Ok(&["0.0.0.0:1"]));
        check(&["0.0.0.0"], "insecure", Ok(&["0.0.0.0:1"]));
        check(&["::"], "auth", Ok(&["[::]:1"]));
        check(&[], "insecure", Ok(&["127.0.0.1:1", "[::1]:1"]));
    }

    #[test]
    fn one_port_is_chosen_for_all_addresses() {
        let both = vec!["127.0.0.1:0".parse().unwrap(), "127.0.0.2:0".parse().unwrap()];
        let chosen = on_this_machine(both, true);
        assert_eq!(chosen.len(), 2);
        assert!(chosen[0].port() != 0 && chosen[0].port() == chosen[1].port(), "{chosen:?}");
    }

    #[test]
    fn what_is_listened_on_twice_is_listened_on_once() {
        let both = vec!["0.0.0.0:0".parse().unwrap(), "[::]:0".parse().unwrap()];
        let kept = on_this_machine(both, false);
        let listeners: Vec<_> = kept.iter().map(TcpListener::bind).collect();
        assert!(!kept.is_empty() && listeners.iter().all(Result::is_ok), "{kept:?}");
    }

    #[test]
    fn what_is_no_address_is_a_mistake_on_the_command_line() {
        check(&["example.org"], "", Err("not `example.org`"));
        check(&["::1"], "no-ipv6", Err("IPv6"));
        check(&["[::1]", "::1"], "", Ok(&["[::1]:1"]));
    }
}
