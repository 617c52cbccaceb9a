//! Runs that are killed, whose files are damaged, or whose disk is full: resumed, they give the bytes of a run that nothing happened to.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic and says its seed, in its helpers too"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use common::{Bench, fails, little_memory, microtome, succeeds, text};

/// splitmix64, seeded by `MICROTOME_TEST_SEED` or the clock; says its seed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = match std::env::var("MICROTOME_TEST_SEED") {
            Ok(seed) => seed.parse().expect("a whole number"),
            Err(_) => {
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos()
                    as u64
            }
        };
        println!("MICROTOME_TEST_SEED={seed}");
        Self(seed)
    }

    /// In 0..1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn start(args: &[String]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microtome"));
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

/// Runs until the moment comes or the program ends; true when it was killed.
fn kill_after(args: &[String], moment: Duration) -> bool {
    let mut child = start(args);
    let begun = Instant::now();
    while begun.elapsed() < moment {
        if let Some(status) = child.try_wait().expect("asked") {
            assert!(status.success(), "{args:?} failed on its own");
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    // It may have ended by itself just now.
    !child.wait().expect("ended").success()
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

fn with(args: &[String], more: &str) -> Vec<String> {
    args.iter().cloned().chain([more.to_string()]).collect()
}

fn run(args: &[String]) -> Output {
    microtome(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Every file below a folder with its contents, hidden ones too.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("listed") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            out.extend(contents(&path));
        } else {
            out.insert(path.clone(), fs::read(&path).expect("read"));
        }
    }
    out
}

/// Takes the wall time out of what is meant to state it.
fn without_times(files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in files {
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
        if name == "report.html" || name == "page.json" {
            bytes.clear();
        }
    }
}

/// Kills the command at random moments, goes on each time, and compares the folder with that of an uninterrupted run.
fn survives_kills(dir: &Path, args: &[String], n_kills: usize, random: &mut Random) {
    fs::create_dir_all(dir).expect("made");
    let begun = Instant::now();
    let out = run(args);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let whole = begun.elapsed();
    let mut expected = contents(dir);
    assert!(!expected.is_empty());
    fs::remove_dir_all(dir).expect("removed");
    fs::create_dir_all(dir).expect("made");
    let (mut killed, mut resumed) = (0, args.to_vec());
    for _ in 0..n_kills {
        let moment = whole.mul_f64(random.share());
        let hit = kill_after(&resumed, moment);
        println!("killed after {moment:?} of {whole:?}: {hit}");
        killed += usize::from(hit);
        resumed = with(args, "--resume");
        if !hit {
            break;
        }
    }
    let out = run(&resumed);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    // A run that had finished says so, and leaves its files alone.
    assert!(
        out.status.success() || said.contains("exists already") || said.contains("finished run"),
        "{said}"
    );
    let mut found = contents(dir);
    for files in [&mut expected, &mut found] {
        without_times(files);
    }
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&expected), names(&found), "other files after {killed} kills");
    for (path, bytes) in &expected {
        assert!(found[path] == *bytes, "{} differs after {killed} kills", path.display());
    }
}

#[test]
fn killed_at_random_moments_embed_and_scan_give_the_same_bytes() {
    let mut random = Random::new();
    let bench = Bench::new();
    let (cells, model) = (bench.path("many.h5ad"), bench.path("model"));
    succeeds(&["simulate", "--cells", "600", "--out", text(&cells), "--quiet"]);
    let dir = bench.path("embedded");
    let embed = ["embed", text(&cells), "--model", text(&model), "--sites", "blocks.*.resid_post"];
    let memory = little_memory(&embed, &bench.path("no.h5ad"));
    let embed = [&embed[..], &["--memory", &memory]].concat();
    let out = dir.join("out.h5ad");
    for _ in 0..2 {
        survives_kills(&dir, &words(&[&embed[..], &["--out", text(&out)]].concat()), 4, &mut random);
        fs::remove_dir_all(&dir).expect("removed");
    }
    let dir = bench.path("scanned");
    let scan =
        ["scan", text(&cells), "--model", text(&model), "--task", "trajectory", "--time", "pseudotime"];
    let out = dir.join("result");
    let more = ["--max-cells", "150", "--bootstrap", "100", "--out", text(&out)];
    survives_kills(&dir, &words(&[&scan[..], &more].concat()), 4, &mut random);
}

#[test]
fn a_damaged_chunk_is_noticed_and_made_again() {
    let bench = Bench::new();
    let (cells, model, out) = (bench.path("cells.h5ad"), bench.path("model"), bench.path("out.h5ad"));
    let embed = ["embed", text(&cells), "--model", text(&model)];
    let memory = little_memory(&embed, &bench.path("no.h5ad"));
    let args = words(&[&embed[..], &["--memory", &memory, "--out", text(&out)]].concat());
    succeeds(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let expected = fs::read(&out).expect("read");
    fs::remove_file(&out).expect("removed");
    let chunk = bench.path("out.h5ad.partial").join("chunk-000000.safetensors");
    let mut child = start(&args);
    let begun = Instant::now();
    while !chunk.exists() && begun.elapsed().as_secs() < 60 && child.try_wait().expect("asked").is_none() {
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(chunk.exists(), "the run ended before it could be killed");
    let mut bytes = fs::read(&chunk).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&chunk, bytes).expect("written");
    let resumed = run(&with(&args, "--resume"));
    let said = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(resumed.status.success(), "{said}");
    assert!(
        said.contains("chunk-000000") && said.contains("damaged") && said.contains("made again"),
        "{said}"
    );
    assert!(fs::read(&out).expect("read") == expected);
}

/// A small file system of its own, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, kilobytes: usize) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(|e| e.to_string())?;
        let options = format!("size={kilobytes}k");
        let out = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs", text(at)]).output();
        match out {
            Ok(out) if out.status.success() => Ok(Self(at.to_path_buf())),
            Ok(out) => Err(String::from_utf8_lossy(&out.stderr).trim().to_string()),
            Err(e) => Err(e.to_string()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Fills the disk but for so many bytes.
fn fill(disk: &Path, but: usize) -> PathBuf {
    use std::io::Write;
    let ballast = disk.join("ballast");
    let mut file = fs::File::create(&ballast).expect("created");
    let mut n = 0usize;
    while file.write_all(&[1; 4096]).is_ok() {
        n += 4096;
    }
    let file = fs::OpenOptions::new().write(true).open(&ballast).expect("opened");
    file.set_len(n.saturating_sub(but) as u64).expect("cut");
    ballast
}

#[test]
fn a_full_disk_is_explained_and_the_run_goes_on_after_room_is_made() {
    let bench = Bench::new();
    let disk = bench.path("disk");
    let (cells, model) = (bench.path("cells.h5ad"), bench.path("model"));
    let mounted = SmallDisk::mount(&disk, 8192);
    if let Err(why) = &mounted {
        println!("no small file system ({why}); a limit on file size stands in for the full disk");
        fs::create_dir_all(&disk).expect("made");
    }
    let embed = ["embed", text(&cells), "--model", text(&model), "--sites", "blocks.*.resid_post"];
    let memory = little_memory(&embed, &bench.path("no.h5ad"));
    let embed = [&embed[..], &["--memory", &memory]].concat();
    let out = disk.join("out.h5ad");
    let args = words(&[&embed[..], &["--out", text(&out)]].concat());
    assert!(run(&args).status.success());
    let expected = fs::read(&out).expect("read");
    fs::remove_file(&out).expect("removed");
    // Room for nothing but the manifest; for some chunks; for all chunks but not for the file.
    for room in [8 << 10, 150 << 10, 450 << 10] {
        let failed = if mounted.is_ok() {
            let ballast = fill(&disk, room);
            let failed = run(&args);
            fs::remove_file(ballast).expect("removed");
            failed
        } else {
            // SIGXFSZ ignored, so that writing fails as on a full disk.
            let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", room / 1024);
            let shell = Command::new("sh")
                .args(["-c", &script, env!("CARGO_BIN_EXE_microtome")])
                .args(&args)
                .output();
            shell.expect("sh starts")
        };
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        println!("{room}: {said}");
        assert_eq!(failed.status.code(), Some(2), "{room}: {said}");
        assert!(said.contains("out.h5ad") && said.contains("space"), "{room}: {said}");
        assert!(!out.exists(), "half a file under the name of the output");
        let partial = disk.join("out.h5ad.partial");
        let resumed = if partial.exists() { with(&args, "--resume") } else { args.clone() };
        if partial.exists() {
            assert!(said.contains("--resume"), "{said}");
        }
        let resumed = run(&resumed);
        assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
        assert!(fs::read(&out).expect("read") == expected, "{room}: other bytes");
        assert_eq!(contents(&disk).len(), 1, "something was left behind");
        fs::remove_file(&out).expect("removed");
    }
    // Nothing is begun where nothing can be written.
    let nowhere = bench.path("no/such/place.h5ad");
    fails(&["embed", text(&cells), "--model", text(&model), "--out", text(&nowhere)], 2);
}
