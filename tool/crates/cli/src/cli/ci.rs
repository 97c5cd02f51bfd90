//! For CI.

use std::num::NonZeroUsize;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::{Selection, positive};

#[derive(Debug, Args)]
pub struct Ci {
    /// Test the tool itself as well (tool/): for those who work on it; minutes
    #[arg(long)]
    pub tool: bool,
    /// Limit for all of it, in seconds: what runs then of the checks is ended and reported; other steps are not ended
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = positive::<u64>)]
    pub global_timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub struct CiMatrix {
    /// Which checks, of those that have a NAME.nix
    #[command(flatten)]
    pub selection: Selection,
    /// For whom
    #[arg(long, value_enum, default_value_t = MatrixFormat::Json)]
    pub format: MatrixFormat,
    /// System to check for; may be repeated
    #[arg(long, default_value = "x86_64-linux")]
    pub system: Vec<String>,
    /// Share the checks among so many rows; `auto` gives a row about ten minutes of checks, by the times of earlier runs [default: a row each]
    #[arg(long, value_name = "N|auto")]
    pub rows: Option<Rows>,
}

/// How many rows a matrix has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// By the recorded times of the checks.
    Auto,
    /// So many at most.
    Of(NonZeroUsize),
}

impl FromStr for Rows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Of).map_err(|_| "neither a number from 1 nor `auto`".to_owned()),
        }
    }
}

/// A form of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MatrixFormat {
    /// One JSON document (tool/docs/ci-matrix.schema.json describes it)
    Json,
    /// Lines for `$GITHUB_OUTPUT`: `matrix=` and `any=`
    Github,
    /// A child pipeline
    Gitlab,
}
