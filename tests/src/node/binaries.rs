//! The real binaries of the workspace, built once per test process into the directory that the
//! running test comes from.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where the binaries are.
#[derive(Debug, Clone)]
pub struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// Builds all binaries of the workspace, with the profile of the running test; the first
    /// call does it (and may take minutes), the others wait for it. With `TESTS_SKIP_BUILD` in
    /// the environment it takes those that are there.
    ///
    /// # Panics
    /// If cargo fails.
    pub fn get() -> &'static Binaries {
        static BUILT: OnceLock<Binaries> = OnceLock::new();
        BUILT.get_or_init(|| {
            let test = env::current_exe().expect("the path of the running test");
            if let Some(directory) = beside(&test) {
                return Binaries { directory };
            }
            let place = Place::of(&test, |file| file.exists())
                .unwrap_or_else(|| panic!("{} is not in a cargo target directory", test.display()));
            if env::var_os("TESTS_SKIP_BUILD").is_none() {
                place.build();
            }
            Binaries {
                directory: place.directory,
            }
        })
    }

    /// The path of a binary.
    ///
    /// # Panics
    /// If the workspace has none of that name.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.directory.join(name);
        assert!(path.is_file(), "no binary {}", path.display());
        path
    }
}

/// The directory of a program that is no test, such as the demo: it was built with all others.
fn beside(program: &Path) -> Option<PathBuf> {
    let directory = program.parent()?;
    let is_there = !directory.ends_with("deps") && directory.join("downloader").is_file();
    is_there.then(|| directory.to_owned())
}

/// Where a test lies in cargo's target directory.
#[derive(Debug, PartialEq)]
struct Place {
    /// The target directory itself.
    target: PathBuf,
    /// `--target`'s value, if the build was for one.
    triple: Option<String>,
    /// `debug`, `release` or a profile's name.
    profile: String,
    /// Where the binaries are.
    directory: PathBuf,
}

impl Place {
    /// Takes apart `TARGET/[TRIPLE/]PROFILE/deps/TEST-HASH`. A target directory is known by the
    /// file `.rustc_info.json` that cargo keeps there.
    fn of(test: &Path, exists: impl Fn(&Path) -> bool) -> Option<Place> {
        let directory = test.ancestors().find(|at| at.ends_with("deps"))?.parent()?;
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        let above = directory.parent()?;
        let is_target = |path: &Path| exists(&path.join(".rustc_info.json"));
        let (target, triple) = if is_target(above) || !is_target(above.parent()?) {
            (above, None)
        } else {
            (above.parent()?, Some(name(above)?))
        };
        Some(Place {
            target: target.to_owned(),
            triple,
            profile: name(directory)?,
            directory: directory.to_owned(),
        })
    }

    fn build(&self) {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // What cargo told the running test about itself would reach the build scripts, which
        // would take it for a change and build everything again.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            let about_the_test = ["CARGO_PKG_", "CARGO_BIN_", "CARGO_MANIFEST_"];
            if about_the_test.iter().any(|start| name.starts_with(start))
                || ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"].contains(&&*name)
            {
                command.env_remove(&*name);
            }
        }
        command
            .args(["build", "--workspace", "--bins", "--quiet"])
            .current_dir(workspace.expect("the workspace above this crate"))
            .env("CARGO_TARGET_DIR", &self.target)
            .stdin(Stdio::null());
        match self.profile.as_str() {
            "debug" => {}
            profile => {
                command.args(["--profile", profile]);
            }
        }
        if let Some(triple) = &self.triple {
            command.args(["--target", triple]);
        }
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("cannot run cargo: {error}"));
        assert!(
            output.status.success(),
            "cargo build --workspace --bins failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_test() {
        let root = |path: &Path| path == Path::new("/t/.rustc_info.json");
        let table = [
            ("/t/debug/deps/x-1", "/t/debug", None, "debug"),
            ("/t/release/deps/x-1", "/t/release", None, "release"),
            (
                "/t/x86_64-unknown-linux-gnu/bench/deps/x-1",
                "/t/x86_64-unknown-linux-gnu/bench",
                Some("x86_64-unknown-linux-gnu"),
                "bench",
            ),
        ];
        for (test, directory, triple, profile) in table {
            let place = Place::of(Path::new(test), root).unwrap();
            let expected = Place {
                target: "/t".into(),
                triple: triple.map(str::to_owned),
                profile: profile.to_owned(),
                directory: directory.into(),
            };
            assert_eq!(place, expected);
        }
        assert_eq!(Place::of(Path::new("/usr/bin/x"), root), None);
    }
}
