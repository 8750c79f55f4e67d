use std::fmt;

use plumb_api::{ApplierKind, Owner};

use crate::Key;

/// Names an applier: a Kustomization and a Pipeline of the same name are two.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ApplierId {
    pub(crate) kind: ApplierKind,
    pub(crate) key: Key,
}

impl ApplierId {
    pub(crate) fn owner(&self) -> Owner {
        Owner { kind: self.kind, namespace: self.key.namespace.clone(), name: self.key.name.clone() }
    }
}

impl From<&Owner> for ApplierId {
    fn from(owner: &Owner) -> Self {
        let key = Key { namespace: owner.namespace.clone(), name: owner.name.clone() };
        Self { kind: owner.kind, key }
    }
}

/// `Kustomization/NAMESPACE/NAME`.
impl fmt::Display for ApplierId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.key)
    }
}
