//! The sandbox: a machine made of Linux namespaces, for hosts without Nix and KVM.

pub mod applets;
pub mod init;
pub mod sys;
