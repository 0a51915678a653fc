//! Which method a fault belongs to.

use forebay_wire::Method;

/// The class and method of a method frame; zero when a fault belongs to none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MethodId {
    pub(crate) class_id: u16,
    pub(crate) method_id: u16,
}

impl MethodId {
    /// `basic.publish`, which content belongs to.
    pub(crate) const BASIC_PUBLISH: Self = Self { class_id: 60, method_id: 40 };

    /// `connection.open`.
    pub(crate) const CONNECTION_OPEN: Self = Self { class_id: 10, method_id: 40 };

    pub(crate) const fn of(method: &Method) -> Self {
        Self { class_id: method.class_id(), method_id: method.method_id() }
    }
}
