//! What one frame costs: `cargo bench --bench decode`. Times are per batch of [`FRAMES`] frames.

#![expect(clippy::unwrap_used, reason = "a bench may stop at the first thing that is wrong")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use etherparse::{PacketBuilder, VlanId};

use sekisho::decode::{Rejects, decode};
use sekisho::frame::{Batch, Frame, LinkType};
use sekisho::time::Timestamp;

fn bench(c: &mut Criterion) {
    let tcp4 = ethernet(|out, payload| {
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 0, 0, 1], [203, 0, 113, 2], 64)
            .tcp(50_000, 443, 1, 1024)
            .write(out, payload)
            .unwrap();
    });
    let udp4 = ethernet(|out, payload| {
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 0, 0, 1], [203, 0, 113, 2], 64)
            .udp(50_000, 443)
            .write(out, payload)
            .unwrap();
    });
    let tcp6 = ethernet(|out, payload| {
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv6([0x20; 16], [0x2a; 16], 64)
            .tcp(50_000, 443, 1, 1024)
            .write(out, payload)
            .unwrap();
    });
    let vlan = ethernet(|out, payload| {
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .single_vlan(VlanId::try_new(7).unwrap())
            .ipv4([10, 0, 0, 1], [203, 0, 113, 2], 64)
            .tcp(50_000, 443, 1, 1024)
            .write(out, payload)
            .unwrap();
    });
    let mut vxlan = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([192, 168, 0, 1], [192, 168, 0, 2], 64)
        .udp(50_000, 4789)
        .write(&mut vxlan, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &tcp4].concat())
        .unwrap();
    let mut arp = vec![0; 60];
    arp[12..14].copy_from_slice(&[8, 6]);
    // Shares as on an office uplink; interleaved, so that branches are not all foreseen.
    let mix = [(70, &tcp4), (15, &udp4), (5, &vlan), (7, &tcp6), (1, &vxlan), (2, &arp)];
    let mix: Vec<&Vec<u8>> =
        mix.iter().flat_map(|&(share, frame)| std::iter::repeat_n(frame, share)).collect();
    let mixed: Vec<&Vec<u8>> = (0..FRAMES).map(|at| mix[at * 37 % mix.len()]).collect();

    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for (name, frame) in [
        ("tcp4", &tcp4),
        ("udp4", &udp4),
        ("tcp6", &tcp6),
        ("vlan", &vlan),
        ("vxlan", &vxlan),
        ("arp", &arp),
    ] {
        run(&mut group, name, &batch(&vec![frame; FRAMES]));
    }
    run(&mut group, "mix", &batch(&mixed));
    group.finish();
}

fn run<M: criterion::measurement::Measurement>(
    group: &mut criterion::BenchmarkGroup<'_, M>,
    name: &str,
    batch: &Batch,
) {
    group.bench_with_input(BenchmarkId::from_parameter(name), batch, |b, batch| {
        let mut rejects = Rejects::default();
        b.iter(|| {
            for frame in batch.frames() {
                // By reference, as the pipeline does: moving a segment costs as much as decoding it.
                let decoded = decode(&frame);
                match &decoded {
                    Ok(segment) => {
                        black_box(segment);
                    }
                    Err(reject) => rejects.count(*reject),
                }
            }
        });
        black_box(rejects);
    });
}

fn ethernet(write: impl Fn(&mut Vec<u8>, &[u8])) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, &[0x55; 600]);
    bytes
}

fn batch(frames: &[&Vec<u8>]) -> Batch {
    let mut batch = Batch::default();
    for bytes in frames {
        let wire_len = u32::try_from(bytes.len()).unwrap();
        batch.push(Frame { at: Timestamp::EPOCH, link: LinkType::ETHERNET, wire_len, bytes });
    }
    batch
}

/// A batch that stays in the second-level cache.
const FRAMES: usize = 1000;

criterion_group!(benches, bench);
criterion_main!(benches);
