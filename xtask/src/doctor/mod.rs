//! What else the workflow needs of a machine.

pub mod advice;
