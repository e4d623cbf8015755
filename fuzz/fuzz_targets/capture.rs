//! Any bytes, read as a capture file: frames lie within their batch, memory follows the input.
#![no_main]

use std::io::Cursor;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sekisho::capture::files::{FileSource, Options};
use sekisho::capture::{Polled, Source};
use sekisho::frame::Batch;

fuzz_target!(|file: &[u8]| {
    let bytes = Cursor::new(file.to_vec());
    let Ok(mut source) = FileSource::read(Path::new("fuzz"), bytes, Options::default()) else {
        return;
    };
    let mut batch = Batch::default();
    while let Ok(Polled::Frames) = source.poll(&mut batch) {
        assert!(!batch.heads.is_empty());
        let captured: usize = batch.frames().map(|frame| frame.bytes.len()).sum();
        assert!(captured <= batch.bytes.len());
        batch.clear();
    }
    assert!(source.notices().len() <= 1);
});
