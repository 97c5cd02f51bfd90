//! The project on disk: its root, `ioc.toml`, the checks.
