//! Where randomness comes from in a run: one seed, split into labelled streams.
//!
//! What the simulation draws itself comes from [`stream`]. Libraries draw from the operating system
//! through the symbol `getrandom`, or make the system call through the symbol `syscall` (`ring` does);
//! this file defines both for the whole process. A thread that was [seeded](seed_thread) gets numbers
//! that its seed decides, every other thread the real ones. So keys, and with them every byte on the
//! wire, are the same whenever a seed is run.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::ffi::{c_long, c_uint, c_void};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread;

use rand::rngs::{OsRng, StdRng};
use rand::{SeedableRng, TryRngCore};
use siphasher::sip::SipHasher13;

/// The random stream of `seed` with that label. A stream that is drawn from more or less often
/// leaves the others as they are.
pub(crate) fn stream(seed: u64, label: &str) -> StdRng {
    let mut hasher = SipHasher13::new_with_keys(seed, LABELS);
    hasher.write(label.as_bytes());
    StdRng::seed_from_u64(hasher.finish())
}

/// From now on this thread's `getrandom` is decided by `seed`.
pub(crate) fn seed_thread(seed: u64) {
    STATE.with(|state| state.set(Some(seed)));
}

/// Checks that libraries draw from this file: without that no run can be repeated.
///
/// # Errors
/// What was drawn, in words.
pub(crate) fn self_test() -> Result<(), String> {
    let drawn = |seed| {
        let work = move || {
            seed_thread(seed);
            let system = OsRng.try_next_u64().map_err(|error| error.to_string())?;
            let mut called = [0_u8; 8];
            // SAFETY: the buffer is as long as it says.
            #[expect(unsafe_code, reason = "as libraries do")]
            let len = unsafe { libc::syscall(libc::SYS_getrandom, called.as_mut_ptr(), called.len(), 0) };
            if len != called.len() as c_long {
                return Err(format!("getrandom by number gave {len} bytes"));
            }
            let called = u64::from_le_bytes(called);
            Ok::<_, String>([system, called, RandomState::new().hash_one(0)])
        };
        let thread = thread::Builder::new().spawn(work).map_err(|error| error.to_string())?;
        thread.join().map_err(|_| "the self-test panicked".to_owned())?
    };
    let (first, again, other) = (drawn(1)?, drawn(1)?, drawn(2)?);
    if first != again || first.iter().zip(&other).any(|(first, other)| first == other) {
        return Err(format!(
            "the interposition of getrandom is not in effect, so that runs cannot be repeated: one seed drew \
             {first:?} and {again:?}, another one {other:?}"
        ));
    }
    Ok(())
}

thread_local! {
    /// The generator's state; `None` on a thread without a seed.
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Fills `buffer` as getrandom(2) does, from the thread's seed if it has one.
///
/// # Safety
/// `buffer` points to `len` bytes that may be written.
#[expect(unsafe_code, reason = "a C symbol has to be defined for libraries to find it")]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(buffer: *mut c_void, len: usize, flags: c_uint) -> isize {
    // A thread that ends has no locals any more; it gets real randomness.
    let Ok(Some(mut state)) = STATE.try_with(Cell::get) else {
        let words = (buffer as c_long, len as c_long, c_long::from(flags));
        // SAFETY: the caller's promise is the system call's.
        return unsafe { kernel(libc::SYS_getrandom, words.0, words.1, words.2, 0, 0, 0) } as isize;
    };
    if len == 0 {
        return 0; // Callers probe with it, and pass a pointer to nowhere.
    }
    // SAFETY: the caller promises that these bytes may be written.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&split_mix(&mut state).to_le_bytes()[..chunk.len()]);
    }
    STATE.with(|cell| cell.set(Some(state)));
    isize::try_from(len).unwrap_or(isize::MAX)
}

/// Makes a system call as syscall(2) does, but for getrandom(2), which is the function above.
///
/// C declares it with a variable number of arguments; on every Linux target with 64 bits those are
/// passed like the six that it can have.
///
/// # Safety
/// As for the system call.
#[expect(unsafe_code, reason = "a C symbol has to be defined for libraries to find it")]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if number == libc::SYS_getrandom {
        // SAFETY: the caller's promise; the kernel, too, takes the low bits of the flags.
        return unsafe { getrandom(a as *mut c_void, b as usize, c as c_uint) } as c_long;
    }
    // SAFETY: the caller's promise.
    unsafe { kernel(number, a, b, c, d, e, f) }
}

/// The C library's `syscall`.
///
/// # Safety
/// As for the system call.
#[expect(unsafe_code, reason = "the C library's symbol of that name is hidden by ours")]
unsafe fn kernel(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long {
    // No lock of the standard library: those make system calls themselves.
    static SYSCALL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    let mut address = SYSCALL.load(Ordering::Relaxed);
    if address.is_null() {
        // SAFETY: the name is a C string; the next definition after ours is the C library's.
        address = unsafe { libc::dlsym(libc::RTLD_NEXT, c"syscall".as_ptr()) };
        assert!(!address.is_null(), "the C library has a syscall");
        SYSCALL.store(address, Ordering::Relaxed);
    }
    // SAFETY: that is its type, as far as it can be said without variable arguments.
    let call: Syscall = unsafe { std::mem::transmute(address) };
    // SAFETY: the caller's promise.
    unsafe { call(number, a, b, c, d, e, f) }
}

type Syscall = unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to look random.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A seed for a command that was given none.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn fresh_seed() -> io::Result<u64> {
    Ok(OsRng.try_next_u64().map_err(io::Error::other)? % 1_000_000_000)
}

/// Second half of the key under which labels are hashed. Arbitrary, fixed for ever.
const LABELS: u64 = 0x7075_7368_6d65_7368;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn libraries_draw_from_the_seed_of_their_thread() {
        self_test().unwrap();
    }

    #[test]
    fn streams_differ_by_seed_and_label_and_by_nothing_else() {
        let drawn = |seed, label| stream(seed, label).next_u64();
        assert_eq!(drawn(1, "a"), drawn(1, "a"));
        assert_ne!(drawn(1, "a"), drawn(1, "b"));
        assert_ne!(drawn(1, "a"), drawn(2, "a"));
    }
}
