//! Checks a finished component before anybody relies on it.

use anyhow::{Context, Result, ensure};
use plumb_component::{Contract, INITIALIZE};
use wasmtime::Store;
use wasmtime::component::Component;

use crate::initialize::{engine, instantiate_alone};

/// Loads the component, compares its imports and exports with its world, and runs it once.
///
/// The tool that takes the snapshot of an initialised component can report success and still write a component that
/// does not load, or that traps when it is called; this finds both.
///
/// # Errors
/// When the component does not load, imports more than its world allows, lacks an export, or traps.
pub(crate) fn verify(component: &[u8], contract: &Contract) -> Result<()> {
    let engine = engine()?;
    let component =
        Component::new(&engine, component).map_err(anyhow::Error::from).context("it does not load")?;
    check_names(&engine, &component, contract)?;
    tokio::runtime::Builder::new_current_thread().build()?.block_on(run(&engine, &component))
}

fn check_names(engine: &wasmtime::Engine, component: &Component, contract: &Contract) -> Result<()> {
    let ty = component.component_type();
    let shape = contract.shape();
    let allowed = shape.imports;
    let surplus: Vec<_> =
        ty.imports(engine).map(|(name, _)| name).filter(|name| !allowed.iter().any(|a| a == name)).collect();
    ensure!(
        surplus.is_empty(),
        "it imports {}; its world allows {} only",
        surplus.join(", "),
        allowed.join(", ")
    );
    for export in shape.exports {
        ensure!(component.get_export(None, &export).is_some(), "it does not export {export}");
    }
    Ok(())
}

/// Instantiates the component and, where it has one, calls the function that initialised it, which does a whole
/// round of work.
async fn run(engine: &wasmtime::Engine, component: &Component) -> Result<()> {
    let mut store = Store::new(engine, ());
    let instance = instantiate_alone(&mut store, component)
        .await
        .map_err(anyhow::Error::from)
        .context("it cannot be instantiated")?;
    if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut store, INITIALIZE) {
        initialize
            .call_async(&mut store, ())
            .await
            .map_err(anyhow::Error::from)
            .context("it loads, but traps when it is called")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use plumb_component::Contract;

    use super::verify;

    fn error(component: &str) -> String {
        let contract =
            Contract::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit").as_ref(), "renderer").unwrap();
        format!("{:#}", verify(&wat::parse_str(component).unwrap(), &contract).unwrap_err())
    }

    #[test]
    fn an_import_that_the_world_does_not_have_is_named() {
        let message = error(
            r#"(component
                 (import "wasi:random/random@0.2.0" (instance))
                 (import "plumbline:plugin/log@0.1.0" (instance)))"#,
        );
        assert!(message.starts_with("it imports wasi:random/random@0.2.0; its world allows"), "{message}");
        assert!(message.contains("plumbline:plugin/tree@0.1.0"), "{message}");
    }

    #[test]
    fn an_export_that_is_missing_is_named() {
        assert_eq!(error("(component)"), "it does not export plumbline:plugin/render@0.1.0");
    }

    #[test]
    fn what_is_not_a_component_does_not_load() {
        assert!(error("(module)").starts_with("it does not load"));
    }
}
