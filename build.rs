//! Build script: takes what Satchel carries but does not keep in its repository out of the packages it comes in.
//!
//! - `common_passwords.txt`, which no new password may be: from `zxcvbn`.
//! - `scalar.js.br` and `scalar.js.gz`, the script of the docs page: from `scalar_api_reference`; and
//!   `scalar.hash`, which stands in its address, so that browsers may keep it for ever.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::write::GzEncoder;
use flate2::{Compression, Crc};

/// So many of the list are refused; `domain::auth::weakness` speaks of this number.
const COMMON_PASSWORDS: usize = 10_000;
/// With fewer the list has changed its form, and this script must follow.
const COMMON_PASSWORDS_MIN: usize = 9_000;

fn main() {
    // Everything else comes from packages, and cargo runs this again when one of those changes.
    println!("cargo::rerun-if-changed=build.rs");
    // Embedded by a macro, which does not see a new file.
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=assets");
    let out = PathBuf::from(variable("OUT_DIR"));
    common_passwords(&out);
    docs_script(&out);
}

fn common_passwords(out: &Path) {
    let path = package("zxcvbn").join("src/frequency_lists.rs");
    let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let list = source
        .split_once("const PASSWORDS: &str = \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(list, _)| list)
        .unwrap_or_else(|| panic!("{} has no list of passwords where it used to be", path.display()));
    let most_common: Vec<_> = list.split(',').take(COMMON_PASSWORDS).collect();
    assert!(
        most_common.len() >= COMMON_PASSWORDS_MIN,
        "{} names {} common passwords; at least {COMMON_PASSWORDS_MIN} were expected",
        path.display(),
        most_common.len()
    );
    // Short ones, too: with something around them they are as common.
    let sorted: BTreeSet<_> = most_common.into_iter().map(str::to_lowercase).collect();
    let text = sorted.into_iter().collect::<Vec<_>>().join("\n");
    write(&out.join("common_passwords.txt"), text.as_bytes());
}

fn docs_script(out: &Path) {
    let script = scalar_api_reference::get_asset("scalar.js")
        .expect("the package carries the script of the docs page");

    let mut br = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 9, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut script.as_slice(), &mut br, &params).expect("memory takes every byte");
    write(&out.join("scalar.js.br"), &br);

    let mut gz = GzEncoder::new(Vec::new(), Compression::best());
    gz.write_all(&script).expect("memory takes every byte");
    write(&out.join("scalar.js.gz"), &gz.finish().expect("memory takes every byte"));

    // It need not resist an attacker, only differ when the script does.
    let mut crc = Crc::new();
    crc.update(&script);
    write(&out.join("scalar.hash"), format!("{:08x}{:08x}", crc.sum(), crc.amount()).as_bytes());
}

/// The folder of a package, which cargo alone knows.
fn package(name: &str) -> PathBuf {
    let metadata = metadata(&["--offline"])
        .or_else(|_| metadata(&[]))
        .unwrap_or_else(|why| panic!("cargo metadata does not say where the package {name} lies: {why}"));
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == name)
        .and_then(|package| package["manifest_path"].as_str())
        .unwrap_or_else(|| panic!("cargo metadata knows no package {name}"));
    Path::new(manifest).parent().expect("a manifest lies in a folder").to_owned()
}

fn metadata(more: &[&str]) -> Result<serde_json::Value, String> {
    let output = Command::new(variable("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--filter-platform",
            &variable("HOST"),
            "--manifest-path",
        ])
        .arg(Path::new(&variable("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .args(more)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
