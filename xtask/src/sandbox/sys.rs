//! The few system calls that have no safe wrapper.
