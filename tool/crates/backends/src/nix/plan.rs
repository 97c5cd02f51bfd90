//! What a run would build and fetch, and whether Nix's builders can: told without building.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::classify::{Told, Trouble, explain};
use super::run::Session;
use super::{Nix, store_name};
use tool_base::ui;
use tool_host::builders;
use tool_host::builders::Lack;

/// Prints what building attributes would build and fetch, one store path on a line.
///
/// # Errors
/// Where they cannot be evaluated, or no builder of Nix can build one of the derivations.
pub fn dry_run(nix: &Nix, attributes: &[String], dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let (_interrupt, interrupts) = tool_base::interrupt::messages()?;
    let mut session = Session::new(nix, &interrupts, &dir.join("log"), false)?;
    session.evaluate(attributes)?;
    let is_built = |path: &&str| Path::new(path).extension().is_some_and(|ext| ext == "drv");
    let (build, fetch): (Vec<&str>, Vec<&str>) = session.planned().iter().map(String::as_str).partition(is_built);
    for (verb, path) in build.iter().map(|drv| ("build", drv)).chain(fetch.iter().map(|path| ("fetch", path))) {
        ui::data(&format!("{verb} {path}"));
    }
    ui::say(&format!("{} to build, {} to fetch", build.len(), fetch.len()));
    if build.is_empty() {
        return Ok(());
    }
    if let Some(store) = nix.options().store.as_deref().filter(|store| store.starts_with("ssh")) {
        ui::warn(&format!("{store} builds: what it can build is not known here"));
        return Ok(());
    }
    let all = builders::read(nix.settings())?;
    for builder in &all {
        ui::say(&builder.to_string());
    }
    let needs = builders::needs(&nix.derivations(&build).read()?)?;
    let told: Vec<Told> = build
        .iter()
        .filter_map(|drv| {
            let needs = needs.get(drv.rsplit('/').next()?)?;
            let lack = builders::lack(&all, needs)?;
            let trouble = match lack {
                Lack::System => Trouble::NoSystem(needs.system.clone()),
                Lack::Features(missing) => Trouble::NoFeature(missing),
            };
            let text = format!("{} asks for {} with {{{}}}", store_name(drv), needs.system, needs.features.join(", "));
            Some(Told { text, drv: Some((*drv).to_owned()), trouble })
        })
        .collect();
    if told.is_empty() { Ok(()) } else { Err(explain(&told).into()) }
}
