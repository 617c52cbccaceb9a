//! Damaged and malicious files are refused, without panics and within bounded memory.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use microtome_weights::{Checkpoint, npy, pickle};

fn open(bytes: &[u8]) -> microtome_core::Result<Checkpoint> {
    Checkpoint::from_bytes(Path::new("hostile"), bytes.to_vec())
}

fn refusal(bytes: &[u8]) -> String {
    open(bytes).unwrap_err().to_string()
}

/// A zip archive of `(name, content, compression method, declared size)`.
fn zip(entries: &[(&str, &[u8], u16, usize)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content, method, size) in entries {
        let at = out.len() as u32;
        let mut common = vec![20, 0, 0, 0];
        common.extend(method.to_le_bytes());
        common.extend([0; 4]);
        let mut crc = flate2::Crc::new();
        crc.update(content);
        common.extend(crc.sum().to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((*size as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(*content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

fn stored<'a>(name: &'a str, content: &'a [u8]) -> (&'a str, &'a [u8], u16, usize) {
    (name, content, 0, content.len())
}

fn torch_zip(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    zip(&[stored("m/data.pkl", pickle), stored("m/data/0", storage)])
}

/// `{"w": tensor}` over storage 0 of `n` floats, with the given offset, shape and strides pushed as pickle opcodes.
fn one_tensor(n: &[u8], offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    [
        &b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu"[..],
        n, b"tQ", offset, shape, strides, b"\x89NtRs.",
    ]
    .concat()
}

#[test]
fn dangerous_globals_are_refused_by_name_through_every_opcode() {
    let cases: [(&str, Vec<u8>); 13] = [
        ("os.system", b"cos\nsystem\n(S'true'\ntR.".to_vec()),
        ("posix.system", b"cposix\nsystem\n(S'true'\ntR.".to_vec()),
        ("builtins.eval", b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.".to_vec()),
        ("builtins.exec", b"\x80\x04\x8c\x08builtins\x94\x8c\x04exec\x94\x93.".to_vec()),
        ("builtins.getattr", b"\x80\x02}X\x01\0\0\0acbuiltins\ngetattr\ns.".to_vec()),
        ("__builtin__.__import__", b"c__builtin__\n__import__\n(S'os'\ntR.".to_vec()),
        ("subprocess.Popen", b"(S'true'\nisubprocess\nPopen\n.".to_vec()),
        ("subprocess.check_output", b"(csubprocess\ncheck_output\nS'true'\no.".to_vec()),
        ("nt.system", b"\x80\x02cnt\nsystem\n)\x81.".to_vec()),
        ("runpy.run_path", b"\x80\x04crunpy\nrun_path\n)}\x92.".to_vec()),
        ("torch.storage._load_from_bytes", b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x00\x85R.".to_vec()),
        ("extension code 1", b"\x80\x02\x82\x01.".to_vec()),
        ("extension code 65536", b"\x80\x02\x84\0\0\x01\0.".to_vec()),
    ];
    for (name, bytes) in cases {
        let e = pickle::parse(&bytes).unwrap_err().to_string();
        assert!(e.contains(name), "{name}: {e}");
        let e = refusal(&torch_zip(&bytes, &[]));
        assert!(e.contains(name), "{name}: {e}");
    }
}

#[test]
fn a_dangerous_global_in_tensor_metadata_is_found() {
    let mut bytes = one_tensor(b"K\x01", b"K\x00", b"K\x01\x85", b"K\x01\x85");
    assert_eq!(open(&torch_zip(&bytes, &1f32.to_le_bytes())).unwrap().read_f32("w").unwrap(), [1.0]);
    bytes.truncate(bytes.len() - 1);
    bytes.extend(b"X\x01\0\0\0hcos\nsystem\nX\x04\0\0\0true\x85Rs.");
    assert!(refusal(&torch_zip(&bytes, &[0; 4])).contains("os.system"));
}

#[test]
fn tensors_stay_inside_their_storage() {
    let max = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let minus = b"J\xff\xff\xff\xff";
    let shape = |d: &[u8]| [d, b"\x85"].concat();
    let cases = [
        (&b"K\x02"[..], &b"K\x01"[..], shape(b"K\x02"), shape(b"K\x01")),
        (b"K\x02", b"K\x00", shape(b"K\x02"), shape(b"K\x02")),
        (b"K\x02", max, shape(b"K\x01"), shape(b"K\x01")),
        (b"K\x02", b"K\x00", shape(max), shape(b"K\x00")),
        (b"K\x02", b"K\x00", shape(b"K\x02"), shape(max)),
        (b"K\x02", b"K\x00", shape(b"K\x02"), shape(minus)),
        (b"K\x02", minus, shape(b"K\x02"), shape(b"K\x01")),
        (b"K\x02", b"K\x00", shape(b"K\x02"), b")".to_vec()),
        (b"K\x03", b"K\x00", shape(b"K\x02"), shape(b"K\x01")),
        (max, b"K\x00", shape(b"K\x02"), shape(b"K\x01")),
        (minus, b"K\x00", shape(b"K\x02"), shape(b"K\x01")),
    ];
    for (n, offset, shape, strides) in cases {
        let bytes = one_tensor(n, offset, &shape, &strides);
        assert!(open(&torch_zip(&bytes, &[0; 8])).is_err(), "{n:?} {offset:?} {shape:?} {strides:?}");
    }
}

#[test]
fn pickles_cannot_exhaust_stack_memory_or_time() {
    // A million nested tuples.
    let deep = [b")".as_slice(), &b"\x85".repeat(1_000_000), b"."].concat();
    assert!(pickle::parse(&deep).unwrap_err().to_string().contains("deeply"));
    // Each list holds the last one twice: 2^100 paths, 101 objects.
    let mut doubling = b"]q\x00".to_vec();
    for i in 1..=100u8 {
        doubling.extend([b']', b'q', i, b'(', b'h', i - 1, b'h', i - 1, b'e']);
    }
    doubling.push(b'.');
    pickle::parse(&doubling).unwrap();
    assert!(refusal(&torch_zip(&doubling, &[])).contains("inside itself"));
    // One long list turned into a set over and over.
    let mut copies = b"(".to_vec();
    copies.extend(b"N".repeat(100_000));
    copies.extend(b"lq\x00c__builtin__\nset\nq\x01");
    copies.extend(b"h\x01h\x00\x85R".repeat(100_000));
    copies.push(b'.');
    assert!(pickle::parse(&copies).unwrap_err().to_string().contains("over and over"));
    // Lengths far beyond the input.
    for bytes in [
        &b"X\xff\xff\xff\xff"[..],
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8e\0\0\0\0\0\0\0\x80",
        b"\x8b\xff\xff\xff\x7f",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x96\0\0\0\0\xff\0\0\0",
        b"",
        b".",
        b"(.",
        b"t.",
        b"h\0.",
        b"(0.",
        b"N(u.",
        b"\x80\x06N.",
    ] {
        assert!(pickle::parse(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn zip_bombs_overlaps_and_escapes_are_refused() {
    let good = one_tensor(b"K\x01", b"K\x00", b"K\x01\x85", b"K\x01\x85");
    // Declares a thousand million bytes from four.
    assert!(
        refusal(&zip(&[stored("m/data.pkl", &good), ("m/data/0", b"abcd", 8, 1_000_000_000)]))
            .contains("size")
    );
    // Declares more than the stored bytes.
    assert!(refusal(&zip(&[stored("m/data.pkl", &good), ("m/data/0", b"abcd", 0, 5)])).contains("size"));
    // Deflates to far more than it declares.
    let mut bomb = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![0u8; 50_000_000]).unwrap();
    let bomb = bomb.finish().unwrap();
    let archive = zip(&[stored("m/data.pkl", &good), ("m/data/0", &bomb, 8, 4)]);
    assert!(open(&archive).unwrap().read_f32("w").is_err());
    assert!(refusal(&zip(&[("m/data.pkl", &bomb, 8, 50_000_000), stored("x", b"")])).contains("checksum"));
    for name in ["../data.pkl", "/data.pkl", "m/../data.pkl", "a\\..\\data.pkl"] {
        assert!(refusal(&zip(&[stored(name, &good)])).contains("outside"), "{name}");
    }
    assert!(
        refusal(&zip(&[stored("m/data.pkl", &good), stored("m/data.pkl", &good)])).contains("share a name")
    );
    assert!(refusal(&zip(&[stored("m/data.pkl", &good)])).contains("missing"));
    assert!(refusal(&zip(&[stored("m/readme", b"")])).contains("torch"));
    // The second directory entry is made to point at the first one's header, under the same name or its own.
    let mut overlap = zip(&[stored("m/data.pkl", &good), stored("m/data.pkx", &good)]);
    let second = overlap.len() - 22 - 10;
    overlap[second - 4..second].copy_from_slice(&[0; 4]);
    assert!(refusal(&overlap).contains("disagree"));
    // The first entry is made to run over the second one.
    let mut overlap = zip(&[stored("m/data.pkl", &good), stored("m/data.pkx", &good)]);
    let first = overlap.len() - 22 - 2 * 56;
    let longer = (good.len() as u32 + 20).to_le_bytes();
    overlap[first + 20..first + 24].copy_from_slice(&longer);
    overlap[first + 24..first + 28].copy_from_slice(&longer);
    assert!(refusal(&overlap).contains("overlap"));
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn safetensors_headers_are_held_to_the_format() {
    let entry = |name: &str, from: u64, to: u64| {
        format!(
            r#""{name}":{{"dtype":"F32","shape":[{}],"data_offsets":[{from},{to}]}}"#,
            to.wrapping_sub(from) / 4
        )
    };
    let header = |entries: &[String]| format!("{{{}}}", entries.join(","));
    assert!(open(&safetensors(&header(&[entry("a", 0, 4), entry("b", 4, 8)]), &[0; 8])).is_ok());
    let cases = [
        (header(&[entry("a", 0, 8), entry("b", 4, 12)]), 12, "overlapping"),
        (header(&[entry("a", 0, 4), entry("b", 8, 12)]), 12, "holes"),
        (header(&[entry("a", 0, 4)]), 8, "cover"),
        (header(&[entry("a", 0, 16)]), 8, "offsets"),
        (header(&[entry("a", 8, 4)]), 8, "offsets"),
        (header(&[entry("a", 0, 4), entry("a", 4, 8)]), 8, "twice"),
        (r#"{"__metadata__":{},"__metadata__":{}}"#.into(), 0, "twice"),
        (r#"{"__metadata__":{"a":1}}"#.into(), 0, "text"),
        (r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#.into(), 8, "shape"),
        (r#"{"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}}"#.into(), 4, "shape"),
        (r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#.into(), 4, "JSON"),
        (r#"{"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}}"#.into(), 4, "element type"),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#.into(), 4, "JSON"),
        (format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)), 0, "JSON"),
        ("{".into(), 0, "JSON"),
    ];
    for (header, n, word) in cases {
        let e = refusal(&safetensors(&header, &vec![0; n]));
        assert!(e.contains(word), "{header:.200}: {e}");
    }
    for n in [1u64 << 63, u64::MAX, 99_999_999, 3] {
        let bytes = [&n.to_le_bytes()[..], b"{}"].concat();
        assert!(open(&bytes).is_err(), "{n}");
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"<html>", "web page"),
        (b"\x80\x04}.", "bare Python pickle"),
    ] {
        assert!(refusal(bytes).contains(word), "{word}");
    }
    let script = zip(&[stored("m/data.pkl", b"\x80\x02}."), stored("m/constants.pkl", b"")]);
    assert!(refusal(&script).contains("TorchScript"));
}

/// Opens, lists and reads; whatever the bytes are, this must come back.
fn exercise(bytes: &[u8]) {
    if let Ok(checkpoint) = open(bytes) {
        for name in checkpoint.names() {
            let _ = checkpoint.read_f32(name);
            let _ = checkpoint.read_i64(name);
        }
    }
    let _ = pickle::parse(bytes);
    let _ = npy::parse(bytes);
}

/// Cuts every golden file at every offset and damages every byte. Run by the test below in a process of limited memory.
#[test]
#[ignore = "run by damaged_files_never_panic_nor_take_much_memory"]
fn damage_every_golden_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/checkpoints");
    let mut n = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if matches!(path.extension().and_then(|e| e.to_str()), Some("py" | "json" | "tsv")) {
            continue;
        }
        n += 1;
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            exercise(&good[..at]);
            let mut bad = good.clone();
            for byte in [0, 0xff, good[at] ^ 1, good[at] ^ 0x80, good[at].wrapping_add(1), b'.', b'('] {
                bad[at] = byte;
                exercise(&bad);
            }
        }
    }
    assert_eq!(n, 15);
}

#[test]
#[cfg(target_os = "linux")]
fn damaged_files_never_panic_nor_take_much_memory() {
    // 64 MiB of address space, threads and code included: one allocation sized by a damaged field would fail.
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "ulimit -v 65536 && exec \"$0\" --exact --ignored damage_every_golden_file --test-threads=1",
        ])
        .arg(program)
        // glibc reserves 64 MiB for each further arena, and tries again on every allocation when it cannot.
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
