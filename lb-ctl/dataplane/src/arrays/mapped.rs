//! Array maps, mapped into memory: the daemon reads and writes them without a system call, while
//! the packet path uses them.

use std::{
    marker::PhantomData,
    ops::Range,
    os::fd::AsRawFd as _,
    ptr,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Pod,
    maps::{Map, MapData},
};
use memmap2::{MmapOptions, MmapRaw};

/// The entries of an array map that was made with `BPF_F_MMAPABLE`. Where an entry of the map is
/// itself an array of `T`, the elements of all these arrays.
pub struct Mapped<T> {
    memory: MmapRaw,
    /// Where in `memory` the first entry begins, in bytes.
    offset: usize,
    entries: u32,
    frozen: bool,
    _entries: PhantomData<T>,
}

// The kernel rounds the size of an entry up to this.
const ALIGNMENT: usize = 8;

impl<T: Pod> Mapped<T> {
    /// Maps all entries of an array map.
    pub fn new(name: &str, map: &Map) -> Result<Self> {
        Self::blocks::<T>(name, map)
    }

    /// Maps all of an array map whose entries are arrays of `T`: each entry is a `W`.
    pub fn blocks<W>(name: &str, map: &Map) -> Result<Self> {
        let data = array(name, map)?;
        let in_each = size_of::<W>() / size_of::<T>();
        let entries = data.info()?.max_entries() * in_each as u32;
        Self::of::<W>(data, 0, entries).with_context(|| not_mapped(name))
    }

    /// Maps a part of an array map whose one entry is a `W`: `entries` times `T`, from `offset`
    /// bytes on.
    pub fn part<W>(name: &str, map: &Map, offset: usize, entries: u32) -> Result<Self> {
        let data = array(name, map)?;
        Self::of::<W>(data, offset, entries).with_context(|| not_mapped(name))
    }

    /// Entries in this process's own memory, all zero. The kernel provides a page of it only when
    /// something is written there.
    pub fn private(entries: u32) -> Result<Self> {
        // The kernel maps no empty range.
        let length = (size_of::<T>() * entries as usize).max(1);
        let memory = MmapOptions::new()
            .len(length)
            .map_anon()
            .context("no memory for a copy of a map")?;
        Ok(Self {
            memory: memory.into(),
            offset: 0,
            entries,
            frozen: false,
            _entries: PhantomData,
        })
    }

    fn of<W>(data: &MapData, offset: usize, entries: u32) -> Result<Self> {
        let info = data.info()?;
        ensure!(
            info.value_size() as usize == size_of::<W>(),
            "its entries have {} bytes, not {}",
            info.value_size(),
            size_of::<W>()
        );
        let length = size_of::<W>() * info.max_entries() as usize;
        ensure!(
            size_of::<T>().is_multiple_of(ALIGNMENT)
                && offset.is_multiple_of(ALIGNMENT)
                && offset + size_of::<T>() * entries as usize <= length,
            "{entries} times {} bytes from {offset} on are not part of it",
            size_of::<T>()
        );
        let memory = MmapOptions::new()
            .len(length)
            .map_raw(data.fd().as_raw_fd_for_map())?;
        Ok(Self {
            memory,
            offset,
            entries,
            frozen: false,
            _entries: PhantomData,
        })
    }

    /// From here on, nothing is written to it: for those who only look.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// Number of entries.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Bytes of memory of the whole map.
    pub fn bytes(&self) -> u64 {
        self.memory.len() as u64
    }

    /// A copy of an entry; `None` beyond the end.
    pub fn read(&self, index: u32) -> Option<T> {
        // SAFETY: in bounds; the memory is shared, hence volatile, and T is plain old data.
        (index < self.entries).then(|| unsafe { ptr::read_volatile(self.entry(index)) })
    }

    /// Overwrites an entry; nothing happens beyond the end, or where it is frozen.
    pub fn write(&self, index: u32, value: T) {
        if index < self.entries && !self.frozen {
            // SAFETY: as in `read`.
            unsafe { ptr::write_volatile(self.entry(index), value) }
        }
    }

    /// True if these entries have the same bytes in both arrays.
    pub fn is_same(&self, other: &Self, entries: Range<u32>) -> bool {
        let end = entries.end.min(self.entries).min(other.entries);
        let count = end.saturating_sub(entries.start) as usize;
        // SAFETY: in bounds of both. A byte that the packet path changes meanwhile may count as
        // equal or not: either answer is right.
        count == 0
            || unsafe {
                let length = count * size_of::<T>();
                let (one, two) = (self.entry(entries.start), other.entry(entries.start));
                libc::memcmp(one.cast(), two.cast(), length) == 0
            }
    }

    /// The `word`th 64-bit word of an entry, for atomic access.
    pub fn word(&self, index: u32, word: usize) -> Option<&AtomicU64> {
        if index >= self.entries || (word + 1) * 8 > size_of::<T>() {
            return None;
        }
        // SAFETY: in bounds and aligned; the packet path, too, accesses shared words atomically.
        Some(unsafe { AtomicU64::from_ptr(self.entry(index).cast::<u64>().add(word)) })
    }

    fn entry(&self, index: u32) -> *mut T {
        self.memory
            .as_mut_ptr()
            .wrapping_add(self.offset)
            .cast::<T>()
            .wrapping_add(index as usize)
    }
}

fn array<'a>(name: &str, map: &'a Map) -> Result<&'a MapData> {
    match map {
        Map::Array(data) => Ok(data),
        _ => anyhow::bail!("map `{name}` is not an array"),
    }
}

fn not_mapped(name: &str) -> String {
    format!("cannot map `{name}` into memory")
}

/// Adds to a word and gives the value before.
pub fn add(word: &AtomicU64, change: u64) -> u64 {
    word.fetch_add(change, SeqCst)
}

/// A map's file descriptor in the form that `memmap2` takes.
trait AsRawFdForMap {
    fn as_raw_fd_for_map(&self) -> i32;
}

impl AsRawFdForMap for aya::maps::MapFd {
    fn as_raw_fd_for_map(&self) -> i32 {
        use std::os::fd::AsFd as _;
        self.as_fd().as_raw_fd()
    }
}
