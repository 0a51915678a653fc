//! The allocator of the program: jemalloc, because it gives back what was freed. The C library keeps it
//! in each of its arenas.

use std::ffi::c_char;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Read by jemalloc when it starts, as a C string.
///
/// - Two arenas: threads have caches of their own, and each arena keeps pages that others could use.
/// - What was freed goes back to the system after half a second, which is long enough for what is
///   taken again under load, and short beside the intervals at which memory is looked at.
/// - A thread does so: otherwise an arena would give back only when somebody uses it.
const SETTINGS: &[u8] = b"narenas:2,dirty_decay_ms:500,muzzy_decay_ms:0,background_thread:true\0";

#[allow(unsafe_code, reason = "jemalloc looks for its settings in a symbol of this name")]
// SAFETY: nothing else has this name; jemalloc reads it as a pointer to a C string, which it is.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static JEMALLOC_SETTINGS: Option<&'static c_char> = settings();

const fn settings() -> Option<&'static c_char> {
    let first: *const u8 = SETTINGS.as_ptr();
    #[allow(unsafe_code, reason = "a C string is a pointer to its first character")]
    // SAFETY: it points to the beginning of a constant, and bytes and characters have one layout.
    unsafe {
        first.cast::<c_char>().as_ref()
    }
}
