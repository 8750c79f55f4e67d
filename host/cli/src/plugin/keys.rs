//! The passwords of private keys.

use anyhow::Context as _;
use plumb_api::Sensitive;

/// The variable that cosign takes it from, too.
const VARIABLE: &str = "COSIGN_PASSWORD";

/// The password of a private key; it may be empty.
pub(super) fn password() -> anyhow::Result<Sensitive<String>> {
    std::env::var(VARIABLE).map(Sensitive::new).with_context(|| {
        format!("there is no password for the private key; set {VARIABLE} as for cosign, to nothing for none")
    })
}
