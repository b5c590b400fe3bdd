//! Writes the files of a run.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use jiff::{Timestamp, tz::TimeZone};
use lb_bench::{Report, document::Document};

use crate::arguments::Asked;

/// Writes the files that the user wants, and says which.
pub fn write(asked: &Asked, report: &Report) -> Result<Vec<PathBuf>> {
    let document = Document::of(report)?;
    let mut written = Vec::new();
    // A report that was read from a file needs no new directory, unless the user names one.
    if asked.out.is_some() || asked.from.is_none() {
        let folder = match &asked.out {
            Some(folder) => folder.clone(),
            None => new_folder(report)?,
        };
        written.push(save(&folder, "report.json", &json(report)?)?);
        written.push(publish(&folder, &document)?);
    }
    if asked.docs {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let folder = folder.canonicalize().unwrap_or(folder);
        written.push(save(&folder, "performance/report.json", &json(report)?)?);
        written.push(publish(&folder, &document)?);
    }
    Ok(written)
}

/// Writes the document and its plots. Returns the document's path.
fn publish(folder: &Path, document: &Document) -> Result<PathBuf> {
    for plot in &document.plots {
        save(folder, &plot.path(), &plot.svg)?;
    }
    save(folder, "performance.md", &document.text)
}

fn save(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn json(report: &Report) -> Result<String> {
    let text = serde_json::to_string_pretty(report).context("cannot write the report as JSON")?;
    Ok(text + "\n")
}

/// A directory in cargo's target directory: this program is TARGET/release/bench.
fn new_folder(report: &Report) -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program is")?;
    let target = own.parent().and_then(Path::parent);
    let target = target.with_context(|| {
        let own = own.display();
        format!("{own} is not in a target directory: say where to write, with --out DIR")
    })?;
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let name = format!("{}-{}", now.strftime("%Y%m%d-%H%M%S"), report.origin.commit);
    Ok(target.join("bench").join(name))
}
