//! Causes of trouble beyond KVM, with their fixes.

use crate::finding::Entry;

/// The table, in the order of the documentation.
pub static ALL: &[&Entry] = &[];
