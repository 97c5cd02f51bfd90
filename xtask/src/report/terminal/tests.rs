//! Runs as they are told on a terminal and in a log.
