//! One file per command: arguments → domain calls → report.
