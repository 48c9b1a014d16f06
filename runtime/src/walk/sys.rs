//! What is loaded: the program and its libraries, with their tables for unwinding.
//!
//! Each image has a header `.eh_frame_hdr` with a sorted index into its `.eh_frame`; the loader knows the header
//! (`PT_GNU_EH_FRAME`), the header the table's start, and its end is found by going through its records. No file
//! is read.

use framehop::{ExplicitModuleSectionInfo, Module};
use std::ffi::c_int;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

/// In the header: the table's start is a signed 32-bit number, relative to itself. What all linkers write.
const PCREL_SDATA4: u8 = 0x1b;
/// In a table: the length of a record is in the eight bytes that follow.
const EXTENDED: u32 = u32::MAX;

/// One image.
pub(super) struct Image {
    /// Its tables; `None` if it has none, or none that we can read.
    pub(super) module: Option<Module<Vec<u8>>>,
    /// Where its code lies.
    pub(super) executable: Vec<(u64, u64)>,
}

/// All images that are loaded at the moment.
pub(super) fn loaded() -> Vec<Image> {
    let mut images: Vec<Image> = Vec::new();
    // SAFETY: `visit` gets the pointer to `images` back, which lives until the call returns.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut images).cast()) };
    images
}

unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    images: *mut libc::c_void,
) -> c_int {
    // SAFETY: `loaded` passed a pointer to its vector, to which it has no other reference meanwhile.
    let images = unsafe { &mut *images.cast::<Vec<Image>>() };
    // SAFETY: the loader passes a valid pointer, and keeps the image loaded until we return.
    let Some(image) = catch_unwind(AssertUnwindSafe(|| read(unsafe { &*info }))).ok() else {
        return 1;
    };
    images.push(image);
    0
}

/// The image, its tables copied. To be called while the loader keeps it loaded.
fn read(info: &libc::dl_phdr_info) -> Image {
    let headers = match info.dlpi_phdr.is_null() {
        true => &[],
        // SAFETY: the loader's table of segments, of the length that it says.
        false => unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) },
    };
    let base = info.dlpi_addr;
    let range = |header: &libc::Elf64_Phdr| -> Range<u64> {
        let start = base.wrapping_add(header.p_vaddr);
        start..start.saturating_add(header.p_memsz)
    };
    let segments = || {
        headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD)
    };
    let executable = segments()
        .filter(|header| header.p_flags & libc::PF_X != 0)
        .map(range)
        .map(|range| (range.start, range.end))
        .collect();
    let all = segments()
        .map(range)
        .reduce(|all, range| all.start.min(range.start)..all.end.max(range.end));
    let header = headers
        .iter()
        .find(|header| header.p_type == libc::PT_GNU_EH_FRAME)
        .map(range);
    // Read-only segments hold the tables; of a writable one the contents might change while we read.
    let readable: Vec<Range<u64>> = segments()
        .filter(|header| header.p_flags & (libc::PF_R | libc::PF_W) == libc::PF_R)
        .map(range)
        .collect();
    let bytes_from = |address: u64| -> Option<&[u8]> {
        let segment = readable.iter().find(|segment| segment.contains(&address))?;
        let len = (segment.end - address) as usize;
        // SAFETY: the loader has mapped the segment readable and keeps it so while we are called; nobody
        // writes to it.
        Some(unsafe { slice::from_raw_parts(address as *const u8, len) })
    };
    let module = all.zip(header).and_then(|(all, header)| {
        let header_bytes = bytes_from(header.start)?;
        let header_bytes = header_bytes.get(..(header.end - header.start) as usize)?;
        let frames = header
            .start
            .checked_add_signed(frames_from_header(header_bytes)?)?;
        let frames_bytes = table(bytes_from(frames)?)?;
        let frames_end = frames + frames_bytes.len() as u64;
        Some(Module::new(
            String::new(),
            all,
            base,
            ExplicitModuleSectionInfo {
                base_svma: 0,
                eh_frame_svma: Some(frames.wrapping_sub(base)..frames_end.wrapping_sub(base)),
                eh_frame: Some(frames_bytes.to_vec()),
                eh_frame_hdr_svma: Some(
                    header.start.wrapping_sub(base)..header.end.wrapping_sub(base),
                ),
                eh_frame_hdr: Some(header_bytes.to_vec()),
                ..ExplicitModuleSectionInfo::default()
            },
        ))
    });
    Image { module, executable }
}

/// The distance from the header to the table that it is for.
fn frames_from_header(header: &[u8]) -> Option<i64> {
    let (&[version, encoding, ..], at) = (header.first_chunk::<4>()?, 4);
    let distance = i32::from_ne_bytes(*header.get(at..)?.first_chunk()?);
    (version == 1 && encoding == PCREL_SDATA4).then(|| i64::from(distance) + at as i64)
}

/// The beginning of `bytes` that is the table: up to and with the record of length zero.
fn table(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0usize;
    loop {
        let rest = bytes.get(at..)?;
        let Some(length) = rest.first_chunk().map(|length| u32::from_ne_bytes(*length)) else {
            // The section ends with its segment, without an end record.
            return bytes.get(..at);
        };
        at = match length {
            0 => return bytes.get(..at + 4),
            EXTENDED => {
                let length = u64::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
                at.checked_add(12)?
                    .checked_add(usize::try_from(length).ok()?)?
            }
            length => at.checked_add(4)?.checked_add(length as usize)?,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_and_the_c_library_have_tables() {
        let images = loaded();
        let address = loaded as fn() -> Vec<Image> as usize as u64;
        let libc = libc::malloc as unsafe extern "C" fn(usize) -> *mut libc::c_void as usize as u64;
        for address in [address, libc] {
            let of = images.iter().find(|image| {
                let mut code = image.executable.iter();
                code.any(|&(start, end)| (start..end).contains(&address))
            });
            let module = of.and_then(|image| image.module.as_ref());
            assert!(module.is_some_and(|module| module.avma_range().contains(&address)));
        }
    }

    #[test]
    fn a_table_ends_where_its_last_record_says() {
        let record = |length: u32| {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.resize(4 + length as usize, 1);
            bytes
        };
        let mut bytes = [record(12), record(4), record(0)].concat();
        let len = bytes.len();
        assert_eq!(table(&bytes).map(<[u8]>::len), Some(len));
        bytes.extend([9; 50]);
        assert_eq!(table(&bytes).map(<[u8]>::len), Some(len));
        assert_eq!(table(&bytes[..len - 4]).map(<[u8]>::len), Some(len - 4));
        // A record that is longer than what is there.
        assert_eq!(table(&bytes[..len - 6]), None);
        assert_eq!(table(&[0xff; 64]), None);
        assert_eq!(table(&[]), Some(&[][..]));
    }

    #[test]
    fn headers_of_other_kinds_are_refused() {
        assert_eq!(
            frames_from_header(&[1, 0x1b, 3, 0x3b, 0x10, 0, 0, 0]),
            Some(0x14)
        );
        assert_eq!(
            frames_from_header(&[1, 0x1b, 3, 0x3b, 0xf0, 0xff, 0xff, 0xff]),
            Some(-12)
        );
        assert_eq!(frames_from_header(&[2, 0x1b, 3, 0x3b, 0, 0, 0, 0]), None);
        assert_eq!(frames_from_header(&[1, 0x03, 3, 0x3b, 0, 0, 0, 0]), None);
        assert_eq!(frames_from_header(&[1, 0x1b, 3]), None);
    }
}
