//! What those who use links keep for each of them: one value of a type of their own, for as long as the link.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The values, each made when it is first asked for.
#[derive(Default)]
pub(crate) struct Attached(Mutex<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Attached {
    /// The value of this type.
    pub(crate) fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut values = self.0.lock().expect("no panic happens under this lock");
        let value = values.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        Arc::clone(value).downcast().expect("a value is kept under its type")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_one_value() {
        #[derive(Default)]
        struct Count(Mutex<u32>);
        let attached = Attached::default();
        *attached.get::<Count>().0.lock().unwrap() += 1;
        *attached.get::<Count>().0.lock().unwrap() += 1;
        assert_eq!(*attached.get::<Count>().0.lock().unwrap(), 2);
        assert_eq!(*attached.get::<Mutex<u32>>().lock().unwrap(), 0);
    }
}
