//! The media path does not allocate per frame once its buffers have grown: counted by the allocator itself.
//!
//! One test in a binary of its own, because other tests would be counted, too.
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strowger_audio::{
    Encoding, Inbound, Level, Levels, Monotonic, Playout, PlayoutConfig, PlayoutEvent, Recorder, SampleRate, Side,
    Tone, WireFormat,
};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_warm_call_does_not_allocate() {
    let wire = WireFormat::new(Encoding::Pcmu, SampleRate::Hz8000);
    let agent_rate = SampleRate::Hz24000;
    let mut inbound = Inbound::new(wire, agent_rate, 20);
    let mut playout = Playout::new(PlayoutConfig::new(wire, agent_rate), Monotonic::default());
    let mut recorder = Recorder::new(wire.rate, 1_000);
    let mut levels = Levels::new(wire.rate);
    let mut tone = Tone::new(agent_rate, 440.0, -10.0);

    let payload = wire.silence_frame(20);
    let mut speech = vec![0; agent_rate.samples_in_ms(20)];
    let (mut to_agent, mut stereo, mut drawn) = (Vec::new(), Vec::new(), Vec::<Level>::new());
    let mut frames_out = 0;
    let mut run = |frames: std::ops::Range<u64>| {
        for n in frames {
            let now = Monotonic::default() + Duration::from_millis(20 * n);
            to_agent.clear();
            stereo.clear();
            drawn.clear();
            // Every tenth frame is lost, and every seventh comes after its successor.
            let sequence = match n {
                n if n % 10 == 3 => continue,
                n if n % 7 == 0 => n + 1,
                n if n % 7 == 1 && n > 1 => n - 1,
                n => n,
            };
            inbound.push(&payload, Some(sequence), Some(sequence * 20), &mut to_agent);
            recorder.push_arrived(Side::Caller, playout.position(now), inbound.wire_pcm());
            levels.push(inbound.wire_pcm(), &mut drawn);

            tone.fill(&mut speech);
            assert_eq!(playout.push_audio(&speech), Ok(()));
            while let Some(event) = playout.poll(now) {
                if let PlayoutEvent::Frame(frame) = event {
                    recorder.push(Side::Agent, frame.position, frame.pcm);
                    frames_out += 1;
                }
            }
            recorder.drain(playout.position(now), &mut stereo);
        }
        ALLOCATIONS.load(Ordering::Relaxed)
    };

    let warm = run(0..500);
    let after = run(500..5_500);
    assert_eq!(after - warm, 0, "allocations in 5000 frames");
    assert!(frames_out > 4_500);
}
