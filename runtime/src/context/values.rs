//! The values of a context: a list from the innermost outwards, shared by all contexts derived from one.
//!
//! Values are found by their type. Go finds them by a key of any type and advises to make one's own type
//! for it; in Rust that type can as well be the value's, and no cast is needed to get it out. A search
//! compares type ids along the list, which is short in practice; a map per context would have to be copied
//! with each value.

use std::any::{Any, TypeId};
use std::sync::Arc;

/// One value, and those it was added to.
pub(super) struct Values {
    outer: Option<Arc<Values>>,
    /// `TypeId` of the value, asked for once.
    type_id: TypeId,
    value: Box<dyn Any + Send + Sync>,
}

impl Values {
    /// `value` in front of those of `outer`.
    pub(super) fn add<T: Any + Send + Sync>(outer: Option<Arc<Values>>, value: T) -> Arc<Values> {
        Arc::new(Values {
            outer,
            type_id: TypeId::of::<T>(),
            value: Box::new(value),
        })
    }

    /// The innermost value of this type.
    pub(super) fn find<T: Any>(&self) -> Option<&T> {
        let mut at = self;
        while at.type_id != TypeId::of::<T>() {
            at = at.outer.as_deref()?;
        }
        at.value.downcast_ref()
    }
}

impl Drop for Values {
    /// Drops those that only it has kept, one after the other: the list may be long.
    fn drop(&mut self) {
        let mut next = self.outer.take();
        while let Some(mut values) = next.and_then(Arc::into_inner) {
            next = values.outer.take();
        }
    }
}
