//! Opening: what files can be trusted is read, the rest is made from the database.

use super::{Core, Snapshot};
use crate::{
    Error, Result, Settings,
    bitmap::Bitmap,
    segment::{self, Builder, Part, Segment, Tools},
    storage::{self, Place, Pool, Reading, State, Writer},
    text,
};
use arc_swap::ArcSwap;
use std::{
    collections::HashSet,
    fs::{self, File},
    path::Path,
    sync::{Arc, Mutex},
};

/// Of so many chunks at most a segment is made when the index is opened.
const PIECE: usize = 1 << 15;

pub(super) fn create(folder: &Path, settings: &Settings) -> Result<Core> {
    settings.check()?;
    let place = Place::new(folder);
    fs::create_dir_all(folder).map_err(Error::files("create", folder))?;
    let lock = place.lock()?;
    let connection = place.connect()?;
    if storage::begun(&place, &connection)? {
        return Err(Error::Exists(folder.display().to_string()));
    }
    storage::create(&place, &connection, settings)?;
    finish(place, lock, connection, None)
}

/// Opens the index, and makes it if settings are given and there is none.
pub(super) fn open(folder: &Path, settings: Option<&Settings>) -> Result<Core> {
    if let Some(settings) = settings {
        settings.check()?;
    }
    let place = Place::new(folder);
    if !storage::exists(&place) {
        return match settings {
            Some(settings) => create(folder, settings),
            None => Err(Error::Missing(folder.display().to_string())),
        };
    }
    let lock = place.lock()?;
    let connection = place.connect()?;
    if !storage::begun(&place, &connection)? {
        let Some(settings) = settings else {
            return Err(Error::Missing(folder.display().to_string()));
        };
        storage::create(&place, &connection, settings)?;
        return finish(place, lock, connection, None);
    }
    finish(place, lock, connection, settings)
}

fn finish(
    place: Place,
    lock: File,
    connection: rusqlite::Connection,
    settings: Option<&Settings>,
) -> Result<Core> {
    let state = storage::state(&place, &connection)?;
    fs::create_dir_all(&place.segments).map_err(Error::files("create", &place.segments))?;
    let mut writer = Writer::new(place.clone(), connection, state, lock);
    if let Some(settings) = settings {
        agree(&place, &mut writer, settings)?;
    }
    let state = writer.state.clone();
    let tools = Tools::new(state.settings.clone());
    let pool = Pool::new(place.clone());
    let parts = {
        let (reading, generation) = pool.read()?;
        if generation != state.generation {
            return Err(place.damaged("it was changed by another program; open the index again"));
        }
        restore(&place, &tools, &reading, &state, &mut writer)?
    };
    let snapshot = Snapshot { generation: state.generation, parts, closed: false };
    Ok(Core {
        place,
        tools,
        pool,
        snapshot: ArcSwap::from_pointee(snapshot),
        writer: Mutex::new(Some(writer)),
    })
}

/// Holds the settings that are asked for against those of the index.
fn agree(place: &Place, writer: &mut Writer, asked: &Settings) -> Result<()> {
    let own = &writer.state.settings;
    let folder = place.folder.display();
    if own.dimension != asked.dimension {
        let (own, asked) = (own.dimension, asked.dimension);
        return Err(Error::invalid(format!(
            "the index in `{folder}` has vectors of {own} numbers, not {asked}; use {own}, or \
             another folder"
        )));
    }
    if own.metric != asked.metric {
        let (own, asked) = (own.metric, asked.metric);
        return Err(Error::invalid(format!(
            "the index in `{folder}` has the metric `{own:?}`, not `{asked:?}`; use that, or \
             another folder"
        )));
    }
    if own != asked {
        writer.set_settings(asked)?;
    }
    Ok(())
}

/// Tells files that were made with other settings or by another version.
pub(super) fn fingerprint(settings: &Settings) -> u32 {
    let Settings { dimension, metric, text, bm25: _ } = settings;
    let made_by = serde_json::json!([text::VERSION, dimension, metric, text]);
    crc32fast::hash(made_by.to_string().as_bytes())
}

fn restore(
    place: &Place,
    tools: &Tools,
    reading: &Reading<'_>,
    state: &State,
    writer: &mut Writer,
) -> Result<Vec<Part>> {
    let rows = reading.rows(state.digest)?;
    let mut parts: Vec<Part> = Vec::new();
    let (mut kept, mut lost) = (HashSet::new(), Vec::new());
    for (name, checksum) in reading.segments()? {
        let path = place.segments.join(&name);
        let fingerprint = fingerprint(&tools.settings);
        match segment::load(&path, checksum, fingerprint, tools.rotation.width()) {
            Ok(segment) => {
                drop(segment.file.set(name.clone()));
                let set = alive(&segment, &rows);
                parts.push(Part::with(Arc::new(segment), set));
                kept.insert(name);
            }
            Err(reason) => {
                tracing::info!(file = %path.display(), reason, "a segment is made again");
                lost.push(name);
            }
        }
    }
    parts.sort_by_key(|part| part.segment.rows.first().copied());
    let mut end = 0;
    parts.retain(|part| {
        // Rows never belong to two segments; should files say so, the later one is made again.
        let (first, last) = (part.segment.rows.first(), part.segment.rows.last());
        let keep = part.len() > 0 && first.is_some_and(|first| *first > end);
        match (keep, part.segment.file.get()) {
            (true, _) => end = last.copied().unwrap_or(end),
            (false, Some(name)) => {
                kept.remove(name);
                lost.push(name.clone());
            }
            (false, None) => {}
        }
        keep
    });
    if !lost.is_empty() {
        writer.set_segments(&lost, &[])?;
    }
    clean(place, &kept)?;
    parts.extend(missing(tools, reading, &rows, &parts)?);
    parts.sort_by_key(|part| part.segment.rows.first().copied());
    Ok(parts)
}

/// Which chunks of a segment the database still has.
fn alive(segment: &Segment, rows: &[u64]) -> Bitmap {
    let mut set = Bitmap::none(segment.len());
    let Some(first) = segment.rows.first() else { return set };
    let mut rest = rows[rows.partition_point(|row| row < first)..].iter().peekable();
    for (position, row) in segment.rows.iter().enumerate() {
        while rest.next_if(|other| *other < row).is_some() {}
        if rest.next_if_eq(&row).is_some() {
            set.insert(position);
        }
    }
    set
}

/// Removes files that belong to no segment.
fn clean(place: &Place, kept: &HashSet<String>) -> Result<()> {
    let failed = || Error::files("read", &place.segments);
    for entry in fs::read_dir(&place.segments).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let known = entry.file_name().to_str().is_some_and(|name| kept.contains(name));
        if !known && entry.path().is_file() {
            fs::remove_file(entry.path()).map_err(Error::files("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Segments of the rows that are in no file, none of which reaches over one that is.
fn missing(
    tools: &Tools,
    reading: &Reading<'_>,
    rows: &[u64],
    parts: &[Part],
) -> Result<Vec<Part>> {
    let mut made = Vec::new();
    let mut builder = Builder::new(tools);
    let mut ends = parts.iter().peekable();
    for &row in rows {
        // Past the end of a segment a new one begins.
        while let Some(part) = ends.peek() {
            let (Some(first), Some(last)) = (part.segment.rows.first(), part.segment.rows.last())
            else {
                ends.next();
                continue;
            };
            if row < *first {
                break;
            }
            if builder.len() > 0 {
                made.push(Part::new(std::mem::replace(&mut builder, Builder::new(tools)).finish()));
            }
            if row <= *last {
                break;
            }
            ends.next();
        }
        let inside = ends.peek().is_some_and(|part| part.segment.position(row).is_some());
        if inside {
            continue;
        }
        let chunk = reading.whole(reading.row(row)?)?;
        builder.add(row, &chunk);
        if builder.len() >= PIECE {
            made.push(Part::new(std::mem::replace(&mut builder, Builder::new(tools)).finish()));
        }
    }
    if builder.len() > 0 {
        made.push(Part::new(builder.finish()));
    }
    Ok(made)
}
