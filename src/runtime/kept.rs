//! State that outlives the tree it was made for: limits of connections, tokens, key sets, caches.
//!
//! Each load notes what it made under an identity: a digest of all that the state depends on. The
//! next load takes over what has the same identity; the rest ends with the last request of the
//! old tree. A load that fails takes nothing away, as the state is shared until the tree is replaced.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Digest of all that a piece of state depends on.
pub type Identity = [u8; 32];

type Entries = HashMap<(TypeId, Identity, u32), Arc<dyn Any + Send + Sync>>;

/// The state that a load made or took over.
#[derive(Clone, Default)]
pub struct Kept {
    entries: Arc<Entries>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("entries", &self.entries.len())
            .finish()
    }
}

/// Takes over state while a configuration is loaded.
#[derive(Default)]
pub struct Keeper {
    before: Kept,
    now: RefCell<Entries>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    /// A keeper that finds what an earlier load left.
    pub fn new(before: Kept) -> Self {
        Self {
            before,
            now: RefCell::default(),
        }
    }

    /// The state of this identity. Asked for again in the same load, an identity means another
    /// piece of the same kind: two alike blocks do not share.
    pub fn keep<T>(&self, identity: Identity, make: impl FnOnce() -> T) -> Arc<T>
    where
        T: Any + Send + Sync,
    {
        let kind = TypeId::of::<T>();
        let mut now = self.now.borrow_mut();
        let free = (0..u32::MAX).find(|number| !now.contains_key(&(kind, identity, *number)));
        let key = (kind, identity, free.unwrap_or(0));
        let before = self.before.entries.get(&key).cloned();
        let state = before
            .and_then(|state| state.downcast().ok())
            .unwrap_or_else(|| Arc::new(make()));
        now.insert(key, Arc::clone(&state) as _);
        state
    }

    /// What this load made or took over.
    pub fn finish(self) -> Kept {
        Kept {
            entries: Arc::new(self.now.into_inner()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_same_identity_is_taken_over() {
        let first = Keeper::default();
        let [one, two] = [1, 1].map(|n| first.keep([7; 32], || n));
        assert!(!Arc::ptr_eq(&one, &two));
        let text = first.keep([7; 32], || "text");
        let second = Keeper::new(first.finish());
        assert!(Arc::ptr_eq(&one, &second.keep([7; 32], || 2)));
        assert!(Arc::ptr_eq(&two, &second.keep([7; 32], || 2)));
        assert_eq!(*second.keep([7; 32], || 3), 3);
        assert!(Arc::ptr_eq(&text, &second.keep([7; 32], || "other")));
        assert_eq!(*second.keep([8; 32], || 4), 4);
    }

    #[test]
    fn what_a_load_does_not_ask_for_ends() {
        let first = Keeper::default();
        let kept = Arc::downgrade(&first.keep([1; 32], || 1));
        let second = Keeper::new(first.finish());
        second.keep([2; 32], || 2);
        let _second = second.finish();
        assert!(kept.upgrade().is_none());
    }
}
