use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::transport::addresses::AddressPolicy;

/// Resolves names for an HTTP client and refuses those that lead to where it must not go.
///
/// The client connects to the very addresses that were looked at, so a name server that answers differently the next time gains nothing.
pub(crate) struct Guarded<L> {
    policy: AddressPolicy,
    lookup: L,
}

impl<L> Guarded<L> {
    pub(crate) fn new(policy: AddressPolicy, lookup: L) -> Self {
        Self { policy, lookup }
    }
}

impl<L, F> Resolve for Guarded<L>
where
    L: Fn(String) -> F + Send + Sync,
    F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
{
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (policy, lookup) = (self.policy.clone(), (self.lookup)(host.clone()));
        Box::pin(async move {
            let addresses = lookup.await?;
            policy.check_resolved(&host, &addresses)?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// The addresses of a name, as this machine resolves it.
pub(crate) async fn system(host: String) -> io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::transport::AddressRefused;

    fn answers(lists: &'static [&'static [&'static str]]) -> impl Resolve {
        let asked = AtomicUsize::new(0);
        Guarded::new(AddressPolicy::default(), move |_| {
            let turn = asked.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok(lists[turn].iter().map(|address| address.parse().unwrap()).collect()))
        })
    }

    async fn resolve(resolver: &impl Resolve) -> Result<Vec<String>, AddressRefused> {
        match resolver.resolve("rebind.example.com".parse().unwrap()).await {
            Ok(addresses) => Ok(addresses.map(|address| address.ip().to_string()).collect()),
            Err(error) => Err(error.downcast_ref::<AddressRefused>().unwrap().clone()),
        }
    }

    // Attack 6 (sources): DNS rebinding. What was looked at is what is connected to, every time.
    #[tokio::test]
    async fn each_answer_of_a_name_server_is_looked_at() {
        let resolver = answers(&[&["203.0.113.1", "2001:db8::1"], &["169.254.169.254"]]);
        assert_eq!(resolve(&resolver).await.unwrap(), ["203.0.113.1", "2001:db8::1"]);
        assert_eq!(resolve(&resolver).await.unwrap_err().host, "rebind.example.com");
    }

    #[tokio::test]
    async fn one_bad_address_among_good_ones_is_enough() {
        let refused = resolve(&answers(&[&["203.0.113.1", "::ffff:169.254.169.254"]])).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the host rebind.example.com is at an address that must not be reached from here; use another host, or ask who runs the controller to permit it"
        );
    }
}
