//! Makes the template the user's: `rename` and `new-check`.
//!
//! What a name may be (`names`), where it stands in a text (`places`, `records`) and what all of it comes to (`plan`,
//! `check`) is judged by pure functions over texts. `apply` and `new_files` then write, all or nothing.

pub mod apply;
pub mod check;
pub mod names;
pub mod places;
pub mod plan;
pub mod records;
