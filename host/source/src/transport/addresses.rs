use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// The addresses that must not be reached, whoever asks for it.
///
/// By default these are the link-local ones, `169.254.0.0/16` and `fe80::/10`, and `fd00:ec2::254/128`: clouds hand out the credentials of a machine there to
/// everybody who asks from it. An address is refused in every form that leads to it: also as IPv6 that carries an IPv4 address in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPolicy {
    refused: Vec<IpNet>,
}

/// A host that is, or whose name leads to, an address that must not be reached. Nothing was sent. The message does not tell the address: who may only write
/// names should not learn from it what the names of a foreign network lead to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the host {host} is at an address that must not be reached from here; use another host, or ask who runs the controller to permit it"
)]
pub struct AddressRefused {
    /// The host, as it was asked for.
    pub host: String,
}

/// Text that is not a list of networks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network; write an address, or one with the length of its prefix such as 10.0.0.0/8")]
pub struct InvalidNetwork(String);

impl AddressPolicy {
    /// Refuses the addresses of these networks, and no others.
    pub fn refusing(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { refused: networks.into_iter().collect() }
    }

    /// Refuses besides these all addresses that are not of the public Internet: those of this machine, of private networks, and of no single host.
    #[must_use]
    pub fn public_only(mut self) -> Self {
        let v4 = |a, b, c, d, length| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length));
        let v6 =
            |first, length| IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), length));
        // Source: IANA, "IPv4 Special-Purpose Address Registry" and "IPv6 Special-Purpose Address Registry".
        self.refused.extend([
            v4(0, 0, 0, 0, 8),
            v4(10, 0, 0, 0, 8),
            v4(100, 64, 0, 0, 10),
            v4(127, 0, 0, 0, 8),
            v4(169, 254, 0, 0, 16),
            v4(172, 16, 0, 0, 12),
            v4(192, 0, 0, 0, 24),
            v4(192, 168, 0, 0, 16),
            v4(198, 18, 0, 0, 15),
            v4(224, 0, 0, 0, 3),
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48)),
            v6(0x2001, 23),
            v6(0xfc00, 7),
            v6(0xfe80, 10),
            v6(0xfec0, 10),
            v6(0xff00, 8),
        ]);
        self
    }

    /// Reads networks that are separated by commas, as a flag has them. An empty text refuses nothing.
    pub fn parse(list: &str) -> Result<Self, InvalidNetwork> {
        let networks = list.split(',').map(str::trim).filter(|text| !text.is_empty());
        let network = |text: &str| {
            text.parse()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| InvalidNetwork(text.to_owned()))
        };
        Ok(Self { refused: networks.map(network).collect::<Result<_, _>>()? })
    }

    /// Whether an address may be reached.
    pub fn permits(&self, address: IpAddr) -> bool {
        !same_place(address).any(|address| self.refused.iter().any(|network| network.contains(&address)))
    }

    /// Refuses a URL whose host is written as an address that must not be reached. A name passes: what it leads to is looked at when it is resolved.
    pub fn check(&self, url: &Url) -> Result<(), AddressRefused> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            // Of schemes other than those of the web, the library leaves addresses as they were written.
            Some(Host::Domain(name)) => match Host::parse(name) {
                Ok(Host::Ipv4(address)) => IpAddr::V4(address),
                _ => return Ok(()),
            },
            None => return Ok(()),
        };
        self.check_resolved(url.host_str().unwrap_or_default(), &[address])
    }

    /// Refuses a host when any of its addresses must not be reached.
    pub(crate) fn check_resolved(&self, host: &str, addresses: &[IpAddr]) -> Result<(), AddressRefused> {
        if addresses.iter().all(|address| self.permits(*address)) {
            return Ok(());
        }
        Err(AddressRefused { host: host.to_owned() })
    }
}

impl Default for AddressPolicy {
    fn default() -> Self {
        Self::refusing([
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128)),
        ])
    }
}

impl AddressRefused {
    /// The refusal among the causes of an error of an HTTP client, if it is one.
    pub fn among<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source())
            .find_map(|error| error.downcast_ref::<Self>())
    }
}

/// An address, and all others that lead to the same place.
fn same_place(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let others = match address {
        // A connection to no address goes to this machine.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => [Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), None],
        IpAddr::V4(_) => [None, None],
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            [Some(IpAddr::V6(Ipv6Addr::LOCALHOST)), Some(IpAddr::V4(Ipv4Addr::LOCALHOST))]
        }
        IpAddr::V6(address) => [carried(address).map(IpAddr::V4), None],
    };
    std::iter::once(address).chain(others.into_iter().flatten())
}

/// The IPv4 address that an IPv6 one stands for: mapped or compatible (RFC 4291), translated (RFC 6052), or 6to4 (RFC 3056).
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bytes = address.octets();
    let at = |from: usize| Ipv4Addr::new(bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]);
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] if address != Ipv6Addr::LOCALHOST => Some(at(12)),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(at(12)),
        [0x2002, ..] => Some(at(2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    // Attack 6 (sources): addresses that are not of the public Internet, for those who may not name them.
    #[rstest]
    #[case("127.0.0.1", false)]
    #[case("10.1.2.3", false)]
    #[case("172.31.255.255", false)]
    #[case("172.32.0.1", true)]
    #[case("192.168.0.1", false)]
    #[case("100.64.0.1", false)]
    #[case("169.254.169.254", false)]
    #[case("0.0.0.0", false)]
    #[case("224.0.0.1", false)]
    #[case("255.255.255.255", false)]
    #[case("8.8.8.8", true)]
    #[case("::1", false)]
    #[case("::", false)]
    #[case("::ffff:192.168.0.1", false)]
    #[case("64:ff9b::a00:1", false)]
    #[case("64:ff9b:1::a00:1", false)]
    #[case("2001::1", false)]
    #[case("fd12::1", false)]
    #[case("fe80::1", false)]
    #[case("ff02::1", false)]
    #[case("2606:4700::1111", true)]
    fn only_public_addresses_are_public(#[case] address: &str, #[case] permitted: bool) {
        assert_eq!(AddressPolicy::default().public_only().permits(address.parse().unwrap()), permitted);
    }

    // Attack 6 (sources): a URL that leads to the credentials of the machine, in every spelling.
    #[rstest]
    #[case("http://169.254.169.254/latest/meta-data")]
    #[case("http://169.254.169.254./")]
    #[case("http://0xA9FEA9FE/")]
    #[case("http://2852039166/")]
    #[case("http://0251.0376.0251.0376/")]
    #[case("http://169.254.43518/")]
    #[case("http://%31%36%39.254.169.254/")]
    #[case("http://１６９.254.169.254/")]
    #[case("http://[::ffff:169.254.169.254]/")]
    #[case("http://[::ffff:a9fe:a9fe]/")]
    #[case("http://[::169.254.169.254]/")]
    #[case("http://[64:ff9b::a9fe:a9fe]/")]
    #[case("http://[2002:a9fe:a9fe::1]/")]
    #[case("http://[fe80::1]/")]
    #[case("http://[fd00:ec2::254]/")]
    #[case("https://user:password@169.254.169.254:443/")]
    #[case("ssh://git@169.254.169.254/repo")]
    #[case("ssh://git@0xA9FEA9FE/repo")]
    #[case("ssh://git@[::ffff:169.254.169.254]/repo")]
    fn an_address_is_refused_however_it_is_written(#[case] url: &str) {
        let refused = AddressPolicy::default().check(&Url::parse(url).unwrap()).unwrap_err();
        assert!(!refused.to_string().contains("password"), "{refused}");
    }

    #[rstest]
    #[case("https://github.com/a/b")]
    #[case("https://140.82.121.4/a/b")]
    #[case("https://10.0.0.1/a/b")]
    #[case("https://[2606:50c0::1]/a/b")]
    #[case("http://127.0.0.1:8080/")]
    #[case("http://[::1]:8080/")]
    fn other_addresses_and_names_pass(#[case] url: &str) {
        AddressPolicy::default().check(&Url::parse(url).unwrap()).unwrap();
    }

    #[rstest]
    #[case("127.0.0.0/8", "0.0.0.0")]
    #[case("127.0.0.0/8", "::")]
    #[case("127.0.0.0/8", "::ffff:127.1.2.3")]
    #[case("::1", "::")]
    #[case("10.0.0.0/8, 192.168.0.0/16", "192.168.7.7")]
    fn networks_are_refused_as_configured(#[case] list: &str, #[case] address: &str) {
        let policy = AddressPolicy::parse(list).unwrap();
        assert!(!policy.permits(address.parse().unwrap()));
        assert!(policy.permits("203.0.113.1".parse().unwrap()));
        assert!(AddressPolicy::parse("").unwrap().permits(address.parse().unwrap()));
    }

    #[test]
    fn text_that_is_no_network_is_named() {
        let error = AddressPolicy::parse("10.0.0.0/8,example.com").unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"example.com\" is not a network; write an address, or one with the length of its prefix such as 10.0.0.0/8"
        );
    }
}
