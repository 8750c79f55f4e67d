//! The host's side of `wit/`, generated from it. The world `every` has all that the worlds have, so that they share
//! one set of types; which of its exports a plugin must have is for [`crate::component`] to say.
#![allow(missing_docs, unused_qualifications, clippy::all, reason = "generated from the documented WIT")]

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package plumbline:host;
        world every {
            include plumbline:plugin/renderer@0.1.0;
            include plumbline:plugin/transformer@0.1.0;
            include plumbline:plugin/decryptor@0.1.0;
            include plumbline:plugin/validator@0.1.0;
            include plumbline:plugin/health-check@0.1.0;
        }
    ",
    world: "plumbline:host/every",
    imports: { default: trappable },
    with: { "plumbline:plugin/tree.dir": crate::state::Root },
});

pub(crate) use exports::plumbline::plugin::{decrypt, health, render, transform, validate};
pub(crate) use plumbline::plugin::{clock, cluster_read, http, log, random, secrets, tree, types};
